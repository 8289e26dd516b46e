package codec

import (
	"encoding/binary"
	"errors"
	"math/bits"
	"sync"
)

// A prefix code gives each of 64 symbols a code of at most eleven bits, the shorter the
// more frequent the symbol. The codes are canonical: lengths alone define them.
const (
	symbols     = 64
	longestCode = 11
)

// prefixCode is one code. It is not modified once it is made, except for what
// multi makes.
type prefixCode struct {
	lengths [symbols]uint8  // 0: the symbol has no code
	codes   [symbols]uint16 // the first bit is the lowest
	filler  uint8           // a symbol with a code of the least length

	once  sync.Once
	table *[1 << longestCode]uint64
}

// newPrefixCode assigns the codes of given lengths, which must use up all codes there are:
// so any bits mean something.
func newPrefixCode(lengths [symbols]uint8) (*prefixCode, error) {
	var count [longestCode + 1]int
	for _, n := range lengths {
		if n > longestCode {
			return nil, corrupt("a code of %d bits", n)
		}
		count[n]++
	}
	used := 0
	for n := 1; n <= longestCode; n++ {
		used += count[n] << (longestCode - n)
	}
	if used != 1<<longestCode {
		return nil, corrupt("codes take %d of %d places", used, 1<<longestCode)
	}
	c := &prefixCode{lengths: lengths}
	next := uint16(0)
	for n := uint8(1); n <= longestCode; n++ {
		next <<= 1
		for s, have := range lengths {
			if have == n {
				c.codes[s] = bits.Reverse16(next) >> (16 - n)
				next++
			}
		}
	}
	for s, n := range lengths {
		if n > 0 && (c.lengths[c.filler] == 0 || n < c.lengths[c.filler]) {
			c.filler = uint8(s)
		}
	}
	return c, nil
}

// fitPrefixCode makes a code for symbols of the given frequencies. Symbols near those that
// occur get codes too, for the blocks to come.
func fitPrefixCode(counts *[symbols]int32) *prefixCode {
	var weights [symbols]int32
	least, most := symbols, 0
	for s, n := range counts {
		if n > 0 {
			least, most = min(least, s), max(most, s)
		}
	}
	for s := max(least-2, 0); s <= min(most+2, symbols-1); s++ {
		weights[s] = 4*counts[s] + 1
	}
	for {
		lengths, longest := huffman(&weights)
		if longest <= longestCode {
			c, err := newPrefixCode(lengths)
			if err != nil {
				panic("bug: " + err.Error())
			}
			return c
		}
		for s, w := range weights { // flatter, until the longest code is short enough
			weights[s] = (w + 1) / 2
		}
	}
}

// huffman returns the code lengths of symbols by weight; 0 for weight 0. At least two
// weights are not 0.
func huffman(weights *[symbols]int32) (lengths [symbols]uint8, longest uint8) {
	var weight [2 * symbols]int32
	var parent [2 * symbols]uint8
	var open [symbols]uint8 // nodes without a parent
	n := 0
	for s, w := range weights {
		if w > 0 {
			weight[s] = w
			open[n] = uint8(s)
			n++
		}
	}
	next := uint8(symbols)
	takeLeast := func() uint8 {
		at := 0
		for i := 1; i < n; i++ {
			if weight[open[i]] < weight[open[at]] {
				at = i
			}
		}
		node := open[at]
		n--
		open[at] = open[n]
		return node
	}
	for n > 1 {
		a, b := takeLeast(), takeLeast()
		weight[next] = weight[a] + weight[b]
		parent[a], parent[b] = next, next
		open[n] = next
		n++
		next++
	}
	root := next - 1
	for s, w := range weights {
		if w > 0 {
			for node := uint8(s); node != root; node = parent[node] {
				lengths[s]++
			}
			longest = max(longest, lengths[s])
		}
	}
	return lengths, longest
}

// cost returns the bits that symbols of the given frequencies take; those without a
// code become exceptions.
func (c *prefixCode) cost(counts *[symbols]int32) int {
	total := 0
	for s, n := range counts {
		length := int32(c.lengths[s])
		if length == 0 {
			length = 8 * exceptionBytes
		}
		total += int(n * length)
	}
	return total
}

// mostAtOnce is how many symbols one entry of a decoding table gives.
const mostAtOnce = 6

// multi returns the decoding table: for each eleven bits the symbols that are whole in
// them, up to six, the first in the lowest byte, then in one byte their number and in the
// highest the bits that they take.
func (c *prefixCode) multi() *[1 << longestCode]uint64 {
	c.once.Do(func() {
		var one [1 << longestCode]struct{ symbol, length uint8 }
		for s, n := range c.lengths {
			if n == 0 {
				continue
			}
			for i := int(c.codes[s]); i < len(one); i += 1 << n {
				one[i].symbol, one[i].length = uint8(s), n
			}
		}
		table := new([1 << longestCode]uint64)
		for i := range table {
			entry, count, taken := uint64(0), 0, uint8(0)
			for rest := i; count < mostAtOnce; count++ {
				e := one[rest]
				if taken+e.length > longestCode {
					break
				}
				entry |= uint64(e.symbol) << (8 * count)
				taken += e.length
				rest >>= e.length
			}
			table[i] = entry | uint64(count)<<48 | uint64(taken)<<56
		}
		c.table = table
	})
	return c.table
}

// appendSymbols appends the codes of symbols, each of which has one.
func (c *prefixCode) appendSymbols(dst []byte, syms []uint8) []byte {
	var acc uint64
	n := uint(0)
	for _, s := range syms {
		s &= symbols - 1
		acc |= uint64(c.codes[s]) << n
		if n += uint(c.lengths[s]); n >= 48 {
			dst = binary.LittleEndian.AppendUint32(dst, uint32(acc))
			dst = binary.LittleEndian.AppendUint16(dst, uint16(acc>>32))
			acc >>= 48
			n -= 48
		}
	}
	for ; n > 0; n -= min(n, 8) {
		dst = append(dst, byte(acc))
		acc >>= 8
	}
	return dst
}

// bitStream is a stream of codes being decoded.
type bitStream struct {
	src []byte
	pos int // in bits
	out int // symbols so far
}

// half is the symbols of a stream, with room for an entry's unused places past the end.
type half [maxHalf + 8]uint8

const maxHalf = 1024

// lookups is how many entries of the table 57 bits hold at least.
const lookups = 5

// decodeHalves decodes two streams at a time: each look-up waits for the one before, so
// two chains of them take hardly longer than one.
func (c *prefixCode) decodeHalves(first, second *half, n1, n2 int, src1, src2 []byte) error {
	table := c.multi()
	a, b := bitStream{src: src1}, bitStream{src: src2}
	const ahead = lookups * mostAtOnce
	for a.out+ahead <= n1 && b.out+ahead <= n2 && a.pos>>3+8 <= len(src1) && b.pos>>3+8 <= len(src2) {
		x := binary.LittleEndian.Uint64(src1[a.pos>>3:]) >> (a.pos & 7)
		y := binary.LittleEndian.Uint64(src2[b.pos>>3:]) >> (b.pos & 7)
		for range lookups {
			e, f := table[x&(1<<longestCode-1)], table[y&(1<<longestCode-1)]
			binary.LittleEndian.PutUint64(first[a.out:], e)
			binary.LittleEndian.PutUint64(second[b.out:], f)
			a.out += int(e >> 48 & 7)
			b.out += int(f >> 48 & 7)
			t, u := e>>56, f>>56
			x >>= t & 63
			y >>= u & 63
			a.pos += int(t)
			b.pos += int(u)
		}
	}
	return errors.Join(a.finish(table, first, n1), b.finish(table, second, n2))
}

// finish decodes up to n symbols.
func (s *bitStream) finish(table *[1 << longestCode]uint64, into *half, n int) error {
	for s.out < n {
		var x uint64
		at := s.pos >> 3
		if at+8 <= len(s.src) {
			x = binary.LittleEndian.Uint64(s.src[at:]) >> (s.pos & 7)
		} else {
			if at >= len(s.src) {
				return corrupt("%d symbols in %d bytes, want %d", s.out, len(s.src), n)
			}
			var tail [8]byte
			copy(tail[:], s.src[at:])
			x = binary.LittleEndian.Uint64(tail[:]) >> (s.pos & 7)
		}
		for range lookups {
			e := table[x&(1<<longestCode-1)]
			binary.LittleEndian.PutUint64(into[s.out:], e)
			s.out += int(e >> 48 & 7)
			x >>= e >> 56 & 63
			s.pos += int(e >> 56)
			if s.out >= n {
				break
			}
		}
	}
	return nil
}

// Tables are the prefix codes that the blocks of a column refer to. They are safe for
// concurrent use.
type Tables struct{ codes []*prefixCode }

// maxTables bounds the codes of a column.
const maxTables = 16

// appendTables appends codes: their number, and four bits for each length.
func appendTables(dst []byte, codes []*prefixCode) []byte {
	dst = append(dst, byte(len(codes)))
	for _, c := range codes {
		for s := 0; s < symbols; s += 2 {
			dst = append(dst, c.lengths[s]|c.lengths[s+1]<<4)
		}
	}
	return dst
}

// ParseTables reads what Encoder.AppendTables wrote and returns what follows.
func ParseTables(src []byte) (*Tables, []byte, error) {
	r := reader{src: src}
	n := int(r.byte())
	if n > maxTables {
		return nil, nil, corrupt("%d prefix codes", n)
	}
	t := &Tables{}
	for range n {
		packed := r.bytes(symbols / 2)
		if r.err != nil {
			return nil, nil, r.err
		}
		var lengths [symbols]uint8
		for i, b := range packed {
			lengths[2*i], lengths[2*i+1] = b&15, b>>4
		}
		c, err := newPrefixCode(lengths)
		if err != nil {
			return nil, nil, err
		}
		t.codes = append(t.codes, c)
	}
	return t, r.src, r.err
}
