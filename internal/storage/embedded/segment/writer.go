package segment

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math"

	"github.com/klauspost/compress/zstd"

	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/storage/embedded/codec"
	"github.com/weir-db/weir/internal/vec"
)

// Writer writes one segment to an io.Writer, front to back; it holds a block of rows, and
// the series table and index, in memory.
type Writer struct {
	out     io.Writer
	off     int64
	columns []storage.Column
	coders  []codec.Encoder // of each column
	err     error           // of out; sticks

	series  seriesTable
	blocks  []Block
	chunks  []chunk        // per block: times, versions, then one per column
	exact   []decimalStats // per block and column
	minTime int64
	maxTime int64
	rows    int64

	// The block being filled.
	times    []int64
	versions []int64
	oldest   bool // all versions so far are 1
	runs     []Run
	pending  []Data
	lent     bool // pending is the caller's

	buf []byte
}

// chunk is a chunk's place in the file.
type chunk struct {
	length uint32 // 0: the chunk is absent (versions all 1, column all null)
	crc    uint32
	stats  Stats // of value columns
}

// chunksPerBlock: times, versions, columns.
func chunksPerBlock(columns int) int { return 2 + columns }

// NewWriter begins a segment with the given value columns.
func NewWriter(out io.Writer, columns []storage.Column) *Writer {
	return &Writer{
		out: out, columns: columns, coders: make([]codec.Encoder, len(columns)), pending: make([]Data, len(columns)),
		oldest: true, minTime: math.MaxInt64, maxTime: math.MinInt64,
	}
}

// Rows returns the number of rows added so far.
func (w *Writer) Rows() int64 { return w.rows }

// Span returns the least and greatest time added so far.
func (w *Writer) Span() (minTime, maxTime int64) { return w.minTime, w.maxTime }

// Add appends the rows of one series, sorted by time, each time once. Series are
// added once each, in any order that readers may rely on later (it is kept). data has one
// entry per column; versions may be nil for all 1. The slices may be reused after
// Add returns; strings are kept until their block is written.
func (w *Writer) Add(s Series, times, versions []int64, data []Data) error {
	if len(times) == 0 {
		return w.err
	}
	return w.add(w.series.add(s, int64(len(times)), times[0], times[len(times)-1]), times, versions, data)
}

// More appends rows to the series that was added last, all later than those it has.
func (w *Writer) More(times, versions []int64, data []Data) error {
	if len(times) == 0 {
		return w.err
	}
	w.series.extend(int64(len(times)), times[len(times)-1])
	return w.add(int32(w.series.len()-1), times, versions, data)
}

func (w *Writer) add(index int32, times, versions []int64, data []Data) error {
	if len(w.times) > 0 && (len(times) >= ownRows || len(w.times)+len(times) > MaxBlockRows) {
		w.flush()
	}
	w.rows += int64(len(times))
	w.minTime, w.maxTime = min(w.minTime, times[0]), max(w.maxTime, times[len(times)-1])
	for from := 0; from < len(times); {
		to := from + blockRows(len(times)-from)
		if to-from >= ownRows {
			w.lend(data, from, to)
			w.begin(index, times, versions, from, to)
			w.flush()
		} else {
			w.append(index, times, versions, data, from, to)
		}
		if len(w.times) >= BlockRows {
			w.flush()
		}
		from = to
	}
	return w.err
}

// blockRows returns how many of the rows that are left of a series the next block takes: all of them, or so many
// that the blocks become alike. A short last block would cost an entry of the index, and codes that fit it badly, for few rows.
func blockRows(left int) int {
	if left <= MaxBlockRows {
		return left
	}
	blocks := (left + BlockRows/2) / BlockRows
	return (left + blocks - 1) / blocks
}

// lend makes rows of the caller's the columns of a block that is written at once: most blocks of a series
// with many rows are, and need no copy.
func (w *Writer) lend(data []Data, from, to int) {
	w.lent = true
	for c := range w.columns {
		w.pending[c] = data[c].slice(from, to)
	}
}

// slice returns the rows from <= i < to.
func (d *Data) slice(from, to int) (s Data) {
	if d.Ints != nil {
		s.Ints = d.Ints[from:to]
	}
	if d.Floats != nil {
		s.Floats = d.Floats[from:to]
	}
	if d.Bools != nil {
		s.Bools = d.Bools[from:to]
	}
	if d.Strs != nil {
		s.Strs = d.Strs[from:to]
	}
	if d.Nulls != nil {
		s.Nulls = d.Nulls[from:to]
	}
	return s
}

func (w *Writer) append(series int32, times, versions []int64, data []Data, from, to int) {
	before := len(w.times)
	w.begin(series, times, versions, from, to)
	for c := range w.columns {
		w.pending[c].append(w.columns[c].Type.Kind, &data[c], before, from, to)
	}
}

// begin adds rows to the block without their columns.
func (w *Writer) begin(series int32, times, versions []int64, from, to int) {
	w.times = append(w.times, times[from:to]...)
	if versions == nil {
		for range to - from {
			w.versions = append(w.versions, 1)
		}
	} else {
		w.versions = append(w.versions, versions[from:to]...)
		for _, v := range versions[from:to] {
			w.oldest = w.oldest && v == 1
		}
	}
	if n := len(w.runs); n > 0 && w.runs[n-1].Series == series {
		w.runs[n-1].Rows += int32(to - from)
	} else {
		w.runs = append(w.runs, Run{series, int32(to - from)})
	}
}

// append adds rows from <= i < to of src to d, which has before rows.
func (d *Data) append(kind vec.Kind, src *Data, before, from, to int) {
	if src.AllNull() && d.AllNull() {
		return
	}
	after := before + to - from
	if d.AllNull() && before > 0 || src.AllNull() || src.Nulls != nil || d.Nulls != nil {
		d.padNulls(before)
	}
	switch kind.Storage() {
	case vec.StoreInts:
		d.Ints = appendRows(d.Ints, src.Ints, before, from, to)
	case vec.StoreFloats:
		d.Floats = appendRows(d.Floats, src.Floats, before, from, to)
	case vec.StoreBools:
		d.Bools = appendRows(d.Bools, src.Bools, before, from, to)
	case vec.StoreStrs:
		d.Strs = appendRows(d.Strs, src.Strs, before, from, to)
	}
	switch {
	case d.Nulls == nil:
	case src.AllNull():
		for len(d.Nulls) < after {
			d.Nulls = append(d.Nulls, true)
		}
	case src.Nulls != nil:
		d.Nulls = append(d.Nulls, src.Nulls[from:to]...)
	default:
		d.Nulls = append(d.Nulls, make([]bool, to-from)...)
	}
}

// padNulls makes the flags of the first n rows exist.
func (d *Data) padNulls(n int) {
	if d.Nulls == nil {
		absent := d.AllNull()
		d.Nulls = make([]bool, n, MaxBlockRows)
		for i := range d.Nulls {
			d.Nulls[i] = absent
		}
	}
}

// appendRows appends rows of src, or zeros where src is nil, to dst, first filled up with
// zeros to before rows.
func appendRows[T any](dst, src []T, before, from, to int) []T {
	if dst == nil { // at once for a block, which short series would double to in ten steps
		dst = make([]T, 0, BlockRows)
	}
	if n := before - len(dst); n > 0 {
		dst = append(dst, make([]T, n)...)
	}
	if src == nil {
		return append(dst, make([]T, to-from)...)
	}
	return append(dst, src[from:to]...)
}

// flush writes the pending rows as a block.
func (w *Writer) flush() {
	n := len(w.times)
	if n == 0 {
		return
	}
	b := Block{Rows: n, MinTime: math.MaxInt64, MaxTime: math.MinInt64, Runs: append([]Run(nil), w.runs...)}
	for _, t := range w.times {
		b.MinTime, b.MaxTime = min(b.MinTime, t), max(b.MaxTime, t)
	}
	w.blocks = append(w.blocks, b)
	if times := appendTimes(w.buf[:0], &b, w.times); len(times) > 0 {
		w.chunk(times, Stats{})
	} else {
		w.chunks = append(w.chunks, chunk{})
	}
	if w.oldest {
		w.chunks = append(w.chunks, chunk{})
	} else {
		w.chunk(codec.AppendInts(w.buf[:0], w.versions), Stats{})
	}
	for c := range w.columns {
		d := &w.pending[c]
		kind := w.columns[c].Type.Kind
		b, stats, exact := encodeColumn(w.buf[:0], kind, d, n, &w.coders[c])
		w.exact = append(w.exact, exact)
		if stats.NonNull == 0 {
			w.chunks = append(w.chunks, chunk{stats: stats})
		} else {
			w.chunk(b, stats)
		}
		if w.lent {
			*d = Data{}
		} else {
			d.reset()
		}
	}
	w.lent = false
	w.times, w.versions, w.runs, w.oldest = w.times[:0], w.versions[:0], w.runs[:0], true
}

func (d *Data) reset() {
	clear(d.Strs)
	truncate(&d.Ints)
	truncate(&d.Floats)
	truncate(&d.Bools)
	truncate(&d.Strs)
	d.Nulls = nil
}

// truncate makes the slice nil: Data tells absent columns by that. Blocks are small, so
// this costs less than keeping the buffers apart.
func truncate[T any](s *[]T) { *s = nil }

// chunk writes one chunk, encoded.
func (w *Writer) chunk(b []byte, stats Stats) {
	w.buf = b
	w.chunks = append(w.chunks, chunk{uint32(len(b)), crc32.Checksum(b, castagnoli), stats})
	w.write(b)
}

func (w *Writer) write(b []byte) {
	if w.err != nil {
		return
	}
	_, w.err = w.out.Write(b)
	w.off += int64(len(b))
}

const (
	validAll   = 0
	validNone  = 1
	validFlags = 2
)

// encodeColumn encodes n rows of a column and computes their statistics.
func encodeColumn(dst []byte, kind vec.Kind, d *Data, n int, e *codec.Encoder) ([]byte, Stats, decimalStats) {
	if d.AllNull() {
		return dst, Stats{FirstNull: true, LastNull: true}, decimalStats{}
	}
	nulls := d.Nulls
	if nulls != nil {
		nulls = nulls[:n]
	}
	if !anyTrue(nulls) {
		dst, nulls = append(dst, validAll), nil
	} else {
		dst = codec.AppendBools(append(dst, validFlags), nulls)
	}
	var exact decimalStats
	switch kind.Storage() {
	case vec.StoreInts:
		vals := present(d.Ints[:n], nulls)
		if dst = e.Ints(dst, vals); len(vals) > 0 {
			exact = decimalsOf(vals, 0)
		}
	case vec.StoreFloats:
		dst = e.Floats(dst, present(d.Floats[:n], nulls))
		if as, ok := e.Decimals(); ok {
			exact = decimalsOf(as.Ints, as.Exponent)
		}
	case vec.StoreBools:
		dst = codec.AppendBools(dst, present(d.Bools[:n], nulls))
	default:
		dst = codec.AppendStrings(dst, present(d.Strs[:n], nulls))
	}
	if !exact.ok {
		return dst, statsOf(kind, d, n), exact
	}
	stats := Stats{NonNull: int32(exact.n), HasRange: true, HasSum: true, HasM2: true}
	stats.FirstNull, stats.LastNull = nulls != nil && nulls[0], nulls != nil && nulls[n-1]
	exact.apply(&stats, kind)
	return dst, stats, exact
}

// Forms of chunks of times.
const (
	timesPlain   = 0
	timesRegular = 1
)

// appendTimes encodes the times of a block; nothing if they can be told from the block.
func appendTimes(dst []byte, b *Block, times []int64) []byte {
	firsts, steps := make([]int64, 0, len(b.Runs)), make([]int64, 0, len(b.Runs))
	at := 0
	for _, r := range b.Runs {
		run := times[at : at+int(r.Rows)]
		at += int(r.Rows)
		step, ok := stepOf(run)
		if !ok {
			return codec.AppendInts(append(dst, timesPlain), times)
		}
		firsts, steps = append(firsts, run[0]), append(steps, step)
	}
	if len(b.Runs) == 1 {
		return dst
	}
	return codec.AppendInts(codec.AppendInts(append(dst, timesRegular), firsts), steps)
}

// stepOf returns the distance of neighbours, if it is the same for all.
func stepOf(times []int64) (step int64, ok bool) {
	if len(times) < 2 {
		return 0, true
	}
	step = times[1] - times[0]
	for i := 2; i < len(times); i++ {
		if times[i]-times[i-1] != step {
			return 0, false
		}
	}
	return step, true
}

func anyTrue(flags []bool) bool {
	for _, f := range flags {
		if f {
			return true
		}
	}
	return false
}

// present returns the values that are not null.
func present[T any](vals []T, nulls []bool) []T {
	if nulls == nil {
		return vals
	}
	out := make([]T, 0, len(vals))
	for i, v := range vals {
		if !nulls[i] {
			out = append(out, v)
		}
	}
	return out
}

// Finish writes what is left and the footer, and returns the size of the file. The
// writer must not be used after.
func (w *Writer) Finish() (sizeBytes int64, err error) {
	w.flush()
	e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return 0, err
	}
	defer e.Close()
	seriesAt := w.off
	seriesLen, seriesCRC := w.section(e, w.series.encode())
	indexAt := w.off
	indexLen, indexCRC := w.section(e, w.encodeIndex())

	var f []byte
	f = binary.AppendVarint(f, w.minTime)
	f = binary.AppendVarint(f, w.maxTime)
	f = binary.AppendUvarint(f, uint64(w.rows))
	f = binary.AppendUvarint(f, uint64(len(w.columns)))
	for _, c := range w.columns {
		f = appendString(f, c.Name)
		f = append(f, byte(c.Type.Kind), byte(c.Role))
	}
	f = binary.AppendUvarint(f, uint64(w.series.len()))
	f = binary.AppendUvarint(f, uint64(len(w.blocks)))
	for _, v := range []uint64{uint64(seriesAt), seriesLen, uint64(seriesCRC), uint64(indexAt), indexLen, uint64(indexCRC)} {
		f = binary.AppendUvarint(f, v)
	}
	crc := crc32.Checksum(f, castagnoli)
	length := len(f)
	f = binary.LittleEndian.AppendUint32(f, uint32(length))
	f = binary.LittleEndian.AppendUint32(f, crc)
	f = binary.LittleEndian.AppendUint32(f, formatVersion)
	f = append(f, magic[:]...)
	w.write(f)
	if w.err != nil {
		return 0, fmt.Errorf("write segment: %w", w.err)
	}
	return w.off, nil
}

// section writes bytes compressed, behind their plain length.
func (w *Writer) section(e *zstd.Encoder, plain []byte) (length uint64, crc uint32) {
	b := e.EncodeAll(plain, binary.AppendUvarint(nil, uint64(len(plain))))
	w.write(b)
	return uint64(len(b)), crc32.Checksum(b, castagnoli)
}

func appendString(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// encodeIndex writes column by column: neighbours are alike, which compresses.
func (w *Writer) encodeIndex() []byte {
	var b []byte
	var e codec.Encoder
	n := len(w.blocks)
	rows, mins, spans, runs := make([]int64, n), make([]int64, n), make([]int64, n), make([]int64, n)
	var series, counts []int64
	unit := int64(0) // that all times are multiples of: ns are seldom what they are
	for i := range w.blocks {
		bl := &w.blocks[i]
		rows[i], mins[i], spans[i], runs[i] = int64(bl.Rows), bl.MinTime, bl.MaxTime-bl.MinTime, int64(len(bl.Runs))
		unit = divisor(divisor(unit, mins[i]), spans[i])
		for _, r := range bl.Runs {
			series, counts = append(series, int64(r.Series)), append(counts, int64(r.Rows))
		}
	}
	unit = max(unit, 1)
	for i := range mins {
		mins[i], spans[i] = mins[i]/unit, spans[i]/unit
	}
	b = binary.AppendUvarint(b, uint64(unit))
	for _, list := range [][]int64{rows, mins, spans, runs} {
		b = appendList(b, list, &e)
	}
	b = binary.AppendUvarint(b, uint64(len(series)))
	b = appendList(b, series, &e)
	b = appendList(b, counts, &e)
	for c := range chunksPerBlock(len(w.columns)) {
		b = w.encodeChunks(b, c, &e)
	}
	return append(e.AppendTables(nil), b...)
}

// divisor returns the greatest common divisor, not negative; that of 0 and b is b.
func divisor(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	if a < 0 {
		return max(-a, 1) // the least of all has no opposite
	}
	return a
}

// encodeChunks writes the index entries of one kind of chunk of all blocks.
func (w *Writer) encodeChunks(b []byte, c int, e *codec.Encoder) []byte {
	per := chunksPerBlock(len(w.columns))
	chunks := make([]*chunk, len(w.blocks))
	lengths := make([]int64, len(w.blocks))
	for i := range chunks {
		chunks[i] = &w.chunks[i*per+c]
		lengths[i] = int64(chunks[i].length)
	}
	b = appendList(b, lengths, e)
	for _, ch := range chunks {
		if ch.length > 0 {
			b = binary.LittleEndian.AppendUint32(b, ch.crc)
		}
	}
	if c < 2 {
		return b
	}
	exact := make([]*decimalStats, len(w.blocks))
	for i := range exact {
		exact[i] = &w.exact[i*len(w.columns)+c-2]
	}
	return w.coders[c-2].AppendTables(appendStats(b, w.columns[c-2].Type.Kind, chunks, exact, e))
}
