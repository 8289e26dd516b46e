package codec

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"slices"
)

// Encoder encodes the blocks of one column, one after the other: it remembers what
// worked for the block before, and the prefix codes that the blocks so far refer to, which
// must be stored beside them (AppendTables). The zero value is ready. It is not safe for
// concurrent use.
type Encoder struct {
	scratch
	plain    bool // without prefix codes
	raw      int  // blocks in a row that were not decimal
	decimals Decimals
	codes    []*prefixCode
}

// Decimals are doubles as integers: value i is Ints[i] / 10^Exponent, to the bit.
type Decimals struct {
	Ints     []int64
	Exponent int
}

// AppendTables appends the prefix codes of the blocks so far.
func (e *Encoder) AppendTables(dst []byte) []byte { return appendTables(dst, e.codes) }

// Ints appends vals, encoded; a Decoder with the column's tables reads them.
func (e *Encoder) Ints(dst []byte, vals []int64) []byte { return e.ints(dst, vals, true) }

// leastCoded is the least number of values for which prefix codes are tried.
const leastCoded = 32

// Flags of coded blocks; the number of low bits is above them.
const (
	codedDifferences = 1
	codedPlain       = 2 // the centre is 0 and there are no exceptions: they are left out
)

// changesAtMost: blocks with fewer changes than one in so many values are tried as a
// list of changes.
const changesAtMost = 3

// ints takes the smallest of the forms of AppendInts and, for blocks that are not tiny,
// of those with prefix codes. outer says that vals are not part of another block.
func (e *Encoder) ints(dst []byte, vals []int64, outer bool) []byte {
	n := len(vals)
	if n < leastCoded || n > 2*maxHalf {
		return e.appendInts(dst, vals)
	}
	// Differences, the first of which is not one.
	e.deltas = slices.Grow(e.deltas[:0], n)[:n]
	lo, hi := vals[0], vals[0]
	least, most := vals[1]-vals[0], vals[1]-vals[0]
	changes := 0
	for i := 1; i < n; i++ {
		v := vals[i]
		d := v - vals[i-1]
		e.deltas[i] = d
		lo, hi, least, most = min(lo, v), max(hi, v), min(least, d), max(most, d)
		if d != 0 {
			changes++
		}
	}
	frame := packedBytes(n, bits.Len64(uint64(hi)-uint64(lo)))
	packed := min(frame, packedBytes(n, bits.Len64(uint64(most)-uint64(least))))
	plan, seq := e.planBest(vals)
	if changes*changesAtMost > n && frame <= packed && frame-frame/64 < plan.inBlock() {
		return e.appendInts(dst, vals) // evenly spread: a code saves next to nothing, and takes as long again to decode
	}
	if changes*changesAtMost > n && plan.size < packed-packed/32 && plan.size > n/6 {
		return e.appendCoded(dst, seq, plan) // no other form comes near
	}
	before := len(dst)
	if plan.size <= 8*n { // else seq may be what the next line uses
		dst = e.appendCoded(dst, seq, plan)
	}
	size := len(dst) - before
	consider := func(out []byte) {
		if size == 0 || len(out)+len(out)/64 < size {
			dst, size = append(dst[:before], out...), len(out)
		}
	}
	codes := len(e.codes)
	consider(e.appendInts(nil, vals))
	if outer && changes > 0 && changes*changesAtMost <= n {
		consider(e.appendChanges(nil, vals))
	}
	if plan.fresh != nil && dst[before] != intCoded && dst[before] != intChanges && codes == len(e.codes) && size > 0 && plan.size <= 8*n {
		e.codes = e.codes[:codes-1] // not used after all
	}
	return dst
}

// planBest plans values or differences, whichever spread less.
func (e *Encoder) planBest(vals []int64) (codePlan, []int64) {
	values, v := sampled(vals)
	deltas, d := sampled(e.deltas[1:])
	deltas.differences, deltas.first = true, vals[0]
	if d/2 <= v {
		e.count(&deltas, e.deltas[1:])
	}
	if v/2 <= d {
		e.count(&values, vals)
	}
	if values.size < deltas.size {
		return values, vals
	}
	return deltas, e.deltas
}

// appendChanges stores where values change, and by how much.
func (e *Encoder) appendChanges(dst []byte, vals []int64) []byte {
	var gaps, steps []int64
	last := 0
	for i := 1; i < len(vals); i++ {
		if vals[i] != vals[i-1] {
			gaps, steps = append(gaps, int64(i-last)), append(steps, vals[i]-vals[i-1])
			last = i
		}
	}
	dst = append(dst, intChanges)
	dst = binary.AppendVarint(dst, vals[0])
	dst = binary.AppendUvarint(dst, uint64(len(gaps)))
	return e.ints(e.ints(dst, gaps, false), steps, false)
}

// codePlan is how a sequence is stored with a prefix code: each number, less centre, as a
// symbol (its high bits, plus half the number of symbols) and low bits as they are.
type codePlan struct {
	size        int // bytes, about
	centre      int64
	low         int
	code        int         // in Encoder.codes
	fresh       *prefixCode // nil, or the code to add there
	differences bool
	first       int64 // with differences
}

const zeroSymbol = symbols / 2

// storedCode is what a code takes, before the index is compressed.
const storedCode = symbols / 2

// inBlock is the size without the code, which the blocks to come will share.
func (p *codePlan) inBlock() int {
	if p.fresh != nil {
		return p.size - storedCode
	}
	return p.size
}

// symbolOf returns the symbol of a number, or one out of range.
func (p *codePlan) symbolOf(v int64) uint64 {
	return uint64((v-p.centre)>>p.low) + zeroSymbol
}

// sampled finds centre and low bits by the quartiles of a sample, and how far these are apart.
func sampled(seq []int64) (codePlan, uint64) {
	const samples = 64
	var sample [samples]int64
	for i := range sample {
		// Even, but in no step that the data may repeat at.
		sample[i] = seq[uint64(uint32(i)*2654435769)*uint64(len(seq))>>32]
	}
	slices.Sort(sample[:])
	p := codePlan{centre: sample[samples/2], size: 1 << 30}
	spread := uint64(sample[samples*3/4]) - uint64(sample[samples/4])
	p.low = max(0, bits.Len64(spread)-3) // the middle half in 4 to 8 symbols
	// Centred at 0 where that is near: then blocks are alike and share a code.
	if c := p.centre >> p.low; -symbols/8 < c && c < symbols/8 {
		p.centre = 0
	}
	return p, spread
}

// count finds the code and the size.
func (e *Encoder) count(p *codePlan, seq []int64) {
	var counts [symbols]int32
	exceptions := 0
	for _, v := range seq {
		if s := p.symbolOf(v); s < symbols {
			counts[s]++
		} else {
			exceptions++
		}
	}
	if exceptions > len(seq)/8 {
		return
	}
	const header = 10
	base := header + exceptions*exceptionBytes + packedBytes(len(seq), p.low)
	for i, c := range e.codes {
		if size := base + c.cost(&counts)/8; size < p.size {
			p.size, p.code = size, i
		}
	}
	if len(e.codes) < maxTables && base+storedCode+entropy(&counts)/8 < p.size {
		fresh := fitPrefixCode(&counts)
		if size := base + fresh.cost(&counts)/8 + storedCode; size < p.size {
			p.size, p.code, p.fresh = size, len(e.codes), fresh
		}
	}
}

// entropy returns the bits that symbols of the given frequencies take with the best code.
func entropy(counts *[symbols]int32) int {
	total, sum := 0, 0.0
	for _, n := range counts {
		if n > 0 {
			total += int(n)
			sum += float64(n) * math.Log2(float64(n))
		}
	}
	return int(float64(total)*math.Log2(float64(max(total, 1))) - sum)
}

func (e *Encoder) appendCoded(dst []byte, seq []int64, p codePlan) []byte {
	if p.fresh != nil {
		e.codes = append(e.codes, p.fresh)
	}
	code := e.codes[p.code]
	n := len(seq)
	e.syms = slices.Grow(e.syms[:0], n)[:n]
	e.packed = slices.Grow(e.packed[:0], n)[:n]
	e.exceptions = e.exceptions[:0]
	mask := uint64(1)<<p.low - 1
	for i, v := range seq {
		s := p.symbolOf(v)
		e.packed[i] = uint64(v-p.centre) & mask
		if p.differences && i == 0 {
			s, e.packed[i] = uint64(code.filler), 0
		} else if s >= symbols || code.lengths[s] == 0 {
			e.exceptions = append(e.exceptions, i)
			s, e.packed[i] = uint64(code.filler), 0
		}
		e.syms[i] = uint8(s)
	}
	flags := byte(p.low << 2)
	if p.differences {
		flags |= codedDifferences
	}
	plain := p.centre == 0 && len(e.exceptions) == 0
	if plain {
		flags |= codedPlain
	}
	dst = append(dst, intCoded, flags, byte(p.code))
	if p.differences {
		dst = binary.AppendVarint(dst, p.first)
	}
	if !plain {
		dst = binary.AppendVarint(dst, p.centre)
		dst = binary.AppendUvarint(dst, uint64(len(e.exceptions)))
	}
	last := 0
	for _, i := range e.exceptions {
		dst = binary.AppendUvarint(dst, uint64(i-last))
		dst = binary.AppendVarint(dst, seq[i])
		last = i
	}
	dst = appendPacked(dst, e.packed, p.low)
	e.stream = code.appendSymbols(e.stream[:0], e.syms[:n/2])
	length := len(e.stream)
	e.stream = code.appendSymbols(e.stream, e.syms[n/2:])
	dst = binary.AppendUvarint(dst, uint64(length))
	dst = binary.AppendVarint(dst, int64(len(e.stream)-2*length))
	return append(dst, e.stream...)
}

// Decoder decodes blocks with buffers of its own. The zero value is ready for blocks
// that were encoded without tables; it is not safe for concurrent use.
type Decoder struct {
	Tables        *Tables // of the column that the block is of
	ints, lists   []int64
	first, second half
}

// Ints fills dst and returns what follows the block.
func (d *Decoder) Ints(dst []int64, src []byte) ([]byte, error) {
	if len(dst) == 0 {
		return src, nil
	}
	r := reader{src: src}
	switch r.byte() {
	case intCoded:
		return d.coded(dst, r)
	case intChanges:
		return d.changes(dst, r)
	}
	return DecodeInts(dst, src)
}

func (d *Decoder) coded(dst []int64, r reader) ([]byte, error) {
	flags, number := r.byte(), int(r.byte())
	differences, low := flags&codedDifferences != 0, int(flags>>2)
	var first, centre int64
	count := 0
	if differences {
		first = r.varint()
	}
	if flags&codedPlain == 0 {
		centre = r.varint()
		count = r.count(len(dst))
	}
	exceptions := r // read again once the other values are there
	for range count {
		r.uvarint()
		r.varint()
	}
	if r.err != nil {
		return nil, r.err
	}
	n := len(dst)
	switch {
	case d.Tables == nil || number >= len(d.Tables.codes):
		return nil, corrupt("prefix code %d does not exist", number)
	case n < leastCoded || n > 2*maxHalf:
		return nil, corrupt("%d values with prefix codes", n)
	}
	rest := r.src
	if low > 0 {
		var err error
		if rest, err = unpack(dst, r.src, low, 0); err != nil {
			return nil, err
		}
	}
	r = reader{src: rest}
	length := r.count(len(rest))
	more := r.varint()
	if more < -int64(length) || more > int64(len(rest)) {
		return nil, corrupt("a second stream of %d bytes more than %d", more, length)
	}
	src1, src2 := r.bytes(length), r.bytes(length+int(more))
	if r.err != nil {
		return nil, r.err
	}
	if err := d.Tables.codes[number].decodeHalves(&d.first, &d.second, n/2, n-n/2, src1, src2); err != nil {
		return nil, err
	}
	if low == 0 && count == 0 && differences {
		dst[0] = first
		sum := addUp(dst[1:n/2], d.first[1:], first, centre-zeroSymbol)
		addUp(dst[n/2:], d.second[:], sum, centre-zeroSymbol)
		return r.src, nil
	}
	fromSymbols(dst[:n/2], d.first[:], low, centre)
	fromSymbols(dst[n/2:], d.second[:], low, centre)
	at := uint64(0)
	for range count {
		at += exceptions.uvarint()
		if at >= uint64(n) {
			return nil, corrupt("exception at position %d of %d", at, n)
		}
		dst[at] = exceptions.varint()
	}
	if differences {
		prefixSum(dst, first)
	}
	return r.src, nil
}

// addUp fills dst with running sums of symbols and returns the last.
func addUp(dst []int64, syms []uint8, sum, base int64) int64 {
	syms = syms[:len(dst)]
	for i, s := range syms {
		sum += int64(s) + base
		dst[i] = sum
	}
	return sum
}

// fromSymbols joins symbols with the low bits, which are in dst.
func fromSymbols(dst []int64, syms []uint8, low int, centre int64) {
	syms = syms[:len(dst)]
	if low == 0 {
		for i, s := range syms {
			dst[i] = int64(s) + centre - zeroSymbol
		}
		return
	}
	for i, s := range syms {
		dst[i] += (int64(s)-zeroSymbol)<<(low&63) + centre
	}
}

// prefixSum makes values of differences; the first is given.
func prefixSum(dst []int64, first int64) {
	dst[0] = first
	sum := first
	for i, d := range dst[1:] {
		sum += d
		dst[1+i] = sum
	}
}

func (d *Decoder) changes(dst []int64, r reader) ([]byte, error) {
	first := r.varint()
	n := r.count(len(dst))
	if r.err != nil {
		return nil, r.err
	}
	d.lists = slices.Grow(d.lists[:0], 2*n)[:2*n]
	gaps, steps := d.lists[:n], d.lists[n:]
	rest, err := d.part(gaps, r.src)
	if err == nil {
		rest, err = d.part(steps, rest)
	}
	if err != nil {
		return nil, err
	}
	v, at := first, 0
	for i, gap := range gaps {
		if gap < 1 || gap >= int64(len(dst)-at) {
			return nil, corrupt("a change %d values past value %d of %d", gap, at, len(dst))
		}
		for end := at + int(gap); at < end; at++ {
			dst[at] = v
		}
		v += steps[i]
	}
	for ; at < len(dst); at++ {
		dst[at] = v
	}
	return rest, nil
}

// part decodes integers that are part of a block of changes, and not such a block themselves.
func (d *Decoder) part(dst []int64, src []byte) ([]byte, error) {
	if len(src) > 0 && src[0] == intChanges {
		return nil, corrupt("changes within changes")
	}
	return d.Ints(dst, src)
}

// DescribeInts names the form of an encoded block, for weir inspect.
func DescribeInts(src []byte) string {
	if len(src) < 2 {
		return "cut short"
	}
	switch src[0] {
	case intRaw:
		return "raw"
	case intFrame:
		return "frame"
	case intDelta:
		return "deltas"
	case intLine:
		return "line"
	case intChanges:
		return "changes"
	case intCoded:
		text := "coded values"
		if src[1]&codedDifferences != 0 {
			text = "coded deltas"
		}
		if low := src[1] >> 2; low > 0 {
			text += fmt.Sprintf(" + %d bits", low)
		}
		return text + fmt.Sprintf(", code %d", src[min(2, len(src)-1)])
	}
	return fmt.Sprintf("form %d", src[0])
}

// DescribeFloats is like DescribeInts.
func DescribeFloats(src []byte) string {
	if len(src) < 3 {
		return "cut short"
	}
	switch src[0] {
	case floatRaw:
		return "raw"
	case floatConstant:
		return "constant"
	case floatDecimal:
		if src[2] == 0 {
			return fmt.Sprintf("decimals /10^%d, ", src[1]) + DescribeInts(src[3:])
		}
		return fmt.Sprintf("decimals /10^%d with exceptions", src[1])
	}
	if src[0]&15 == floatDecimals {
		return fmt.Sprintf("decimals /10^%d, ", src[0]>>4) + DescribeInts(src[1:])
	}
	return fmt.Sprintf("form %d", src[0])
}
