package segment

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"slices"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/objstore"
	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/storage/embedded/codec"
	"github.com/weir-db/weir/internal/vec"
)

// Reader reads a segment. The footer and the index are resident; the series table and
// chunks are read when asked for. It is safe for concurrent use.
type Reader struct {
	key              string
	object           objstore.Object
	columns          []storage.Column
	rows             int64
	minTime, maxTime int64
	series           int
	version          uint32
	blocks           []Block
	chunks           []chunk
	tables           []*codec.Tables // of each column
	units            []unit
	unitOf           []int32 // of each chunk
	cache            *Cache  // or nil
	offsets          []int64 // of chunks
	seriesAt         int64
	seriesLen        int64
	seriesCRC        uint32
}

// maxSection bounds the plain size of the series table and the index.
const maxSection = 2 << 30

// Open opens the segment of that key; chunks are read through the cache, if it is not nil.
// Damage is a *CorruptError.
func Open(ctx context.Context, store objstore.Store, key string, cache *Cache) (*Reader, error) {
	o, err := store.Open(ctx, key)
	if err != nil {
		return nil, err
	}
	bound := objstore.In(ctx, o)
	r := &Reader{key: key, object: bound, cache: cache}
	err = r.readFooter()
	if err != nil && r.refetch(err, o.SizeBytes()-trailerBytes, trailerBytes) {
		*r = Reader{key: key, object: bound, cache: cache}
		err = r.readFooter()
	}
	r.object = o
	if err != nil {
		o.Close()
		return nil, err
	}
	return r, nil
}

// In returns the reader with reads that end when ctx is done, if they may take long. It is closed with r, which
// must be open as long as it is used.
func (r *Reader) In(ctx context.Context) *Reader {
	object := objstore.In(ctx, r.object)
	if object == r.object {
		return r
	}
	bound := *r
	bound.object = object
	return &bound
}

// Close closes the object. No read may be under way.
func (r *Reader) Close() error {
	r.dropUnits()
	return r.object.Close()
}

// Key returns the object's key.
func (r *Reader) Key() string { return r.key }

// SizeBytes returns the object's size.
func (r *Reader) SizeBytes() int64 { return r.object.SizeBytes() }

// Columns returns the value columns.
func (r *Reader) Columns() []storage.Column { return r.columns }

// Rows returns the number of rows.
func (r *Reader) Rows() int64 { return r.rows }

// Span returns the least and greatest time, inclusive.
func (r *Reader) Span() (minTime, maxTime int64) { return r.minTime, r.maxTime }

// NumSeries returns the number of series.
func (r *Reader) NumSeries() int { return r.series }

// NumBlocks returns the number of blocks.
func (r *Reader) NumBlocks() int { return len(r.blocks) }

// Block returns what is known of block i; it must not be modified.
func (r *Reader) Block(i int) *Block { return &r.blocks[i] }

// BlocksOf returns the blocks from <= i < to that hold rows of a series.
func (r *Reader) BlocksOf(series int32) (from, to int) {
	return r.BlocksNear(series, 0)
}

// BlocksNear is BlocksOf for a series that is likely to begin in the block guess or the next one: then two blocks are looked at,
// and not a dozen.
func (r *Reader) BlocksNear(series int32, guess int) (from, to int) {
	last := func(i int) int32 { return r.blocks[i].Runs[len(r.blocks[i].Runs)-1].Series }
	for near := guess; ; near++ {
		if near > guess+1 || near >= len(r.blocks) || near > 0 && last(near-1) >= series {
			from, _ = slices.BinarySearchFunc(r.blocks, series, func(b Block, s int32) int {
				return int(b.Runs[len(b.Runs)-1].Series) - int(s)
			})
			break
		}
		if last(near) >= series {
			from = near
			break
		}
	}
	to = from
	for to < len(r.blocks) && r.blocks[to].Runs[0].Series <= series {
		to++
		if last(to-1) > series {
			break
		}
	}
	return from, to
}

// Stats returns the statistics of a column in a block; it must not be modified.
func (r *Reader) Stats(block, column int) *Stats {
	return &r.chunks[block*chunksPerBlock(len(r.columns))+2+column].stats
}

func (r *Reader) corrupt(off int64, err error) error { return &CorruptError{r.key, off, err} }

func (r *Reader) readFooter() error {
	size := r.object.SizeBytes()
	if size < trailerBytes {
		return r.corrupt(0, fmt.Errorf("%d bytes are no segment", size))
	}
	var t [trailerBytes]byte
	if n, err := r.object.ReadAt(t[:], size-trailerBytes); n < trailerBytes && !ended(err) {
		return fmt.Errorf("read segment %s: %w", r.key, err)
	}
	r.version = binary.LittleEndian.Uint32(t[8:])
	switch {
	case [8]byte(t[12:]) != magic:
		return r.corrupt(size-8, errors.New("it does not end as a segment does"))
	case r.version < 1 || r.version > formatVersion:
		return r.corrupt(size-12, fmt.Errorf("format version %d, this program reads 1 to %d", r.version, formatVersion))
	}
	length := int64(binary.LittleEndian.Uint32(t[0:]))
	if length > size-trailerBytes {
		return r.corrupt(size-trailerBytes, fmt.Errorf("a footer of %d bytes in a file of %d", length, size))
	}
	at := size - trailerBytes - length
	f, err := r.read(at, length, binary.LittleEndian.Uint32(t[4:]))
	if err != nil {
		return err
	}
	index, err := r.parseFooter(f, at)
	if err != nil {
		return r.corrupt(at, err)
	}
	plain, err := r.section(index.at, index.length, index.crc)
	if err != nil {
		return err
	}
	if err := r.parseIndex(plain, index.blocks); err != nil {
		return r.corrupt(index.at, err)
	}
	return nil
}

// place is where the index is.
type place struct {
	at, length int64
	crc        uint32
	blocks     int
}

func (r *Reader) parseFooter(f []byte, limit int64) (index place, err error) {
	varint := func() int64 {
		v, n := binary.Varint(f)
		if n <= 0 {
			err = errors.New("the footer is cut short")
			return 0
		}
		f = f[n:]
		return v
	}
	uvarint := func(most uint64) int64 {
		v, n := binary.Uvarint(f)
		if n <= 0 || v > most {
			if err == nil {
				err = fmt.Errorf("the footer has %d where at most %d can be", v, most)
			}
			return 0
		}
		f = f[n:]
		return int64(v)
	}
	r.minTime, r.maxTime = varint(), varint()
	r.rows = uvarint(math.MaxInt64)
	for range uvarint(1 << 16) {
		name := uvarint(uint64(len(f)))
		if err != nil || int(name)+2 > len(f) {
			return index, errors.New("a column passes the end of the footer")
		}
		c := storage.Column{Name: string(f[:name]), Type: vec.Type{Kind: vec.Kind(f[name])}, Role: storage.Role(f[name+1])}
		switch c.Type.Kind.Storage() {
		case vec.StoreInts, vec.StoreFloats, vec.StoreBools, vec.StoreStrs:
		default:
			return index, fmt.Errorf("column %q has type %d", c.Name, c.Type.Kind)
		}
		r.columns = append(r.columns, c)
		f = f[name+2:]
	}
	r.series = int(uvarint(math.MaxInt32))
	index.blocks = int(uvarint(math.MaxInt32))
	r.seriesAt, r.seriesLen = uvarint(uint64(limit)), uvarint(uint64(limit))
	r.seriesCRC = uint32(uvarint(math.MaxUint32))
	index.at, index.length = uvarint(uint64(limit)), uvarint(uint64(limit))
	index.crc = uint32(uvarint(math.MaxUint32))
	if err == nil && (r.seriesAt+r.seriesLen > limit || index.at+index.length > limit) {
		err = errors.New("a section passes the footer")
	}
	return index, err
}

// section reads a compressed section.
func (r *Reader) section(at, length int64, crc uint32) ([]byte, error) {
	b, err := r.read(at, length, crc)
	if err != nil {
		return nil, err
	}
	size, n := binary.Uvarint(b)
	if n <= 0 || size > maxSection {
		return nil, r.corrupt(at, fmt.Errorf("a section of %d bytes", size))
	}
	// Not more memory than announced, whatever the compressed bytes say; less than a
	// window of zstd is not worth the distinction.
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(max(size, 16<<20)))
	if err != nil {
		return nil, err
	}
	defer d.Close()
	plain, err := d.DecodeAll(b[n:], nil)
	if err != nil || uint64(len(plain)) != size {
		return nil, r.corrupt(at, fmt.Errorf("%d bytes unpacked, want %d (%v)", len(plain), size, err))
	}
	return plain, nil
}

// read reads bytes and checks them.
func (r *Reader) read(at, length int64, crc uint32) ([]byte, error) {
	if at < 0 || length < 0 || at+length > r.object.SizeBytes() {
		return nil, r.corrupt(at, fmt.Errorf("%d bytes pass the end", length))
	}
	b := make([]byte, length)
	return b, r.readInto(b, at, crc)
}

// ended reports whether a read fell short because the object ends. A store that cannot be reached may have
// an io.EOF too, which is that of its connection, and says nothing of the object.
func ended(err error) bool {
	return err == nil || errors.Is(err, io.EOF) && !fault.Is(err, fault.Unavailable)
}

// readInto reads bytes and checks them. Those of a copy that are not right are fetched again, once.
func (r *Reader) readInto(b []byte, at int64, crc uint32) error {
	err := r.readOnce(b, at, crc)
	if err != nil && r.refetch(err, at, int64(len(b))) {
		err = r.readOnce(b, at, crc)
	}
	return err
}

// refetch reports whether to read again after an error: it is damage, and the object was read from a copy, which is
// thrown away.
func (r *Reader) refetch(err error, at, length int64) bool {
	copied, ok := r.object.(objstore.Copy)
	if !ok || !errors.As(err, new(*CorruptError)) {
		return false
	}
	copied.Refetch(at, length)
	return true
}

func (r *Reader) readOnce(b []byte, at int64, crc uint32) error {
	if n, err := r.object.ReadAt(b, at); n < len(b) {
		if ended(err) {
			return r.corrupt(at, errors.New("the file ends early"))
		}
		return fmt.Errorf("read segment %s: %w", r.key, err)
	}
	return r.verify(b, at, crc)
}

func (r *Reader) verify(b []byte, at int64, crc uint32) error {
	if got := crc32.Checksum(b, castagnoli); got != crc {
		return r.corrupt(at, fmt.Errorf("checksum %08x, want %08x", got, crc))
	}
	return nil
}

func (r *Reader) parseIndex(b []byte, n int) error {
	if n > len(b)/4 { // each has at least one checksum
		return fmt.Errorf("%d blocks in an index of %d bytes", n, len(b))
	}
	unit := int64(1)
	var decoder codec.Decoder
	if r.version > 1 {
		var err error
		if decoder.Tables, b, err = codec.ParseTables(b); err != nil {
			return err
		}
		u, size := binary.Uvarint(b)
		if size <= 0 || u < 1 || u > math.MaxInt64 {
			return errors.New("no unit of time")
		}
		unit, b = int64(u), b[size:]
	}
	ints := func(count int) ([]int64, error) {
		out := make([]int64, count)
		rest, err := readList(out, b, &decoder, r.version)
		b = rest
		return out, err
	}
	rows, e1 := ints(n)
	mins, e2 := ints(n)
	spans, e3 := ints(n)
	runs, e4 := ints(n)
	if err := errors.Join(e1, e2, e3, e4); err != nil {
		return err
	}
	total, rest, err := takeCount(b, int(min(int64(n)*MaxBlockRows, r.rows)))
	if err != nil {
		return err
	}
	if r.series > total {
		return fmt.Errorf("%d series in %d runs", r.series, total)
	}
	b = rest
	series, e1 := ints(total)
	counts, e2 := ints(total)
	if err := errors.Join(e1, e2); err != nil {
		return err
	}
	for i := range mins {
		mins[i], spans[i] = mins[i]*unit, spans[i]*unit
	}
	if err := r.makeBlocks(rows, mins, spans, runs, series, counts); err != nil {
		return err
	}
	return r.parseChunks(b, n, &decoder)
}

func (r *Reader) makeBlocks(rows, mins, spans, runs, series, counts []int64) error {
	r.blocks = make([]Block, len(rows))
	all := make([]Run, len(series))
	for i := range all {
		if series[i] < 0 || series[i] >= int64(r.series) || counts[i] < 1 || counts[i] > MaxBlockRows || i > 0 && series[i] < series[i-1] {
			return fmt.Errorf("run %d has %d rows of series %d", i, counts[i], series[i])
		}
		all[i] = Run{int32(series[i]), int32(counts[i])}
	}
	for i := range r.blocks {
		if runs[i] < 1 || runs[i] > int64(len(all)) {
			return fmt.Errorf("block %d has %d runs", i, runs[i])
		}
		b := &r.blocks[i]
		*b = Block{Rows: int(rows[i]), MinTime: mins[i], MaxTime: mins[i] + spans[i], Runs: all[:runs[i]:runs[i]]}
		all = all[runs[i]:]
		sum := 0
		for _, run := range b.Runs {
			sum += int(run.Rows)
		}
		if sum != b.Rows || b.Rows > MaxBlockRows {
			return fmt.Errorf("block %d has %d rows in its runs, %d in all", i, sum, rows[i])
		}
	}
	if len(all) != 0 {
		return fmt.Errorf("%d runs belong to no block", len(all))
	}
	return nil
}

func (r *Reader) parseChunks(b []byte, n int, decoder *codec.Decoder) error {
	per := chunksPerBlock(len(r.columns))
	if per > len(b)/3 { // lengths of each, if they are all alike
		return fmt.Errorf("%d columns in an index of %d bytes", len(r.columns), len(b))
	}
	r.chunks = make([]chunk, n*per)
	r.tables = make([]*codec.Tables, len(r.columns))
	lengths := make([]int64, n)
	for c := range per {
		var err error
		if b, err = readList(lengths, b, decoder, r.version); err != nil {
			return err
		}
		for i := range n {
			if lengths[i] < 0 || lengths[i] > math.MaxInt32 {
				return fmt.Errorf("a chunk of %d bytes", lengths[i])
			}
			if r.version > 1 && lengths[i] == 0 {
				continue
			}
			if len(b) < 4 {
				return errors.New("it ends within the checksums")
			}
			ch := &r.chunks[i*per+c]
			ch.length, ch.crc = uint32(lengths[i]), binary.LittleEndian.Uint32(b)
			b = b[4:]
		}
		if c < 2 {
			continue
		}
		kind, of := r.columns[c-2].Type.Kind, r.chunks[min(c, len(r.chunks)):]
		if r.version == 1 {
			b, err = parseStatsV1(b, kind, of, per)
		} else if b, err = parseStats(b, kind, of, per, decoder); err == nil {
			r.tables[c-2], b, err = codec.ParseTables(b)
		}
		if err != nil {
			return err
		}
	}
	return r.place()
}

// place computes the offsets of the chunks, which lie end to end from the start.
func (r *Reader) place() error {
	r.offsets = make([]int64, len(r.chunks))
	at := int64(0)
	for i := range r.chunks {
		r.offsets[i] = at
		at += int64(r.chunks[i].length)
	}
	if at != r.seriesAt {
		return fmt.Errorf("chunks end at byte %d, the series table begins at %d", at, r.seriesAt)
	}
	r.makeUnits()
	return nil
}

// EachSeries reads the series table and calls f for each series in order, until f
// returns an error, which is returned.
func (r *Reader) EachSeries(f func(i int, s SeriesInfo) error) error {
	t, err := r.Series()
	if err != nil {
		return err
	}
	return t.Each(f)
}

// Series reads the series table.
func (r *Reader) Series() (*SeriesTable, error) {
	b, err := r.section(r.seriesAt, r.seriesLen, r.seriesCRC)
	if err != nil {
		return nil, err
	}
	t, err := parseSeries(b, r.series, r.version)
	if err != nil {
		return nil, r.corrupt(r.seriesAt, err)
	}
	return t, nil
}

// buffers holds what a goroutine needs to decode chunks.
type buffers struct {
	raw     []byte
	decoder codec.Decoder
}

var rawBuffers = sync.Pool{New: func() any { return new(buffers) }}

// chunkBytes reads chunk c of a block; nil if it is absent.
func (r *Reader) chunkBytes(buf *buffers, block, c int) ([]byte, int64, error) {
	i := block*chunksPerBlock(len(r.columns)) + c
	ch := &r.chunks[i]
	if ch.length == 0 {
		return nil, r.offsets[i], nil
	}
	u := &r.units[r.unitOf[i]]
	if b := r.unitBytesOf(u); b != nil {
		b = b[r.offsets[i]-u.at:][:ch.length]
		if r.verify(b, r.offsets[i], ch.crc) == nil {
			return b, r.offsets[i], nil
		}
		r.cache.drop(&u.cached) // the file may be right, and if not, tells what is wrong
	}
	buf.raw = slices.Grow(buf.raw[:0], int(ch.length))[:ch.length]
	return buf.raw, r.offsets[i], r.readInto(buf.raw, r.offsets[i], ch.crc)
}

// Regular returns the distance of neighbouring rows if the block's times are known without
// reading: those of one series at equal distances. They begin with the block's MinTime.
func (r *Reader) Regular(block int) (step int64, ok bool) {
	b := &r.blocks[block]
	if r.version == 1 || r.chunks[block*chunksPerBlock(len(r.columns))].length > 0 {
		return 0, false
	}
	if b.Rows > 1 {
		step = (b.MaxTime - b.MinTime) / int64(b.Rows-1)
	}
	return step, true
}

// Times reads the times of a block into dst, which it returns grown as needed.
func (r *Reader) Times(block int, dst []int64) ([]int64, error) {
	if r.version == 1 {
		return r.ints(block, 0, dst)
	}
	b := &r.blocks[block]
	dst = slices.Grow(dst[:0], b.Rows)[:b.Rows]
	if step, ok := r.Regular(block); ok {
		fillRegular(dst, b.MinTime, step)
		return dst, nil
	}
	buf := rawBuffers.Get().(*buffers)
	defer rawBuffers.Put(buf)
	raw, at, err := r.chunkBytes(buf, block, 0)
	if err != nil {
		return nil, err
	}
	rest, err := decodeTimes(dst, raw, b)
	if err != nil || len(rest) > 0 {
		return nil, r.corrupt(at, cmpErr(err, rest))
	}
	return dst, nil
}

func fillRegular(dst []int64, first, step int64) {
	for i := range dst {
		dst[i] = first
		first += step
	}
}

func decodeTimes(dst []int64, raw []byte, b *Block) (rest []byte, err error) {
	if len(raw) == 0 {
		return nil, errors.New("an empty chunk")
	}
	switch raw[0] {
	case timesPlain:
		return codec.DecodeInts(dst, raw[1:])
	case timesRegular:
		firsts, steps := make([]int64, len(b.Runs)), make([]int64, len(b.Runs))
		if rest, err = codec.DecodeInts(firsts, raw[1:]); err != nil {
			return nil, err
		}
		if rest, err = codec.DecodeInts(steps, rest); err != nil {
			return nil, err
		}
		at := 0
		for i, run := range b.Runs {
			fillRegular(dst[at:at+int(run.Rows)], firsts[i], steps[i])
			at += int(run.Rows)
		}
		return rest, nil
	}
	return nil, fmt.Errorf("times of form %d", raw[0])
}

// Versions reads the versions of a block; nil means that all are 1.
func (r *Reader) Versions(block int, dst []int64) ([]int64, error) {
	if r.chunks[block*chunksPerBlock(len(r.columns))+1].length == 0 {
		return nil, nil
	}
	return r.ints(block, 1, dst)
}

func (r *Reader) ints(block, c int, dst []int64) ([]int64, error) {
	buf := rawBuffers.Get().(*buffers)
	defer rawBuffers.Put(buf)
	b, at, err := r.chunkBytes(buf, block, c)
	if err != nil {
		return nil, err
	}
	n := r.blocks[block].Rows
	dst = slices.Grow(dst[:0], n)[:n]
	rest, err := codec.DecodeInts(dst, b)
	if err != nil || len(rest) > 0 {
		return nil, r.corrupt(at, cmpErr(err, rest))
	}
	return dst, nil
}

func cmpErr(err error, rest []byte) error {
	if err != nil {
		return err
	}
	return fmt.Errorf("%d bytes too many", len(rest))
}

// Column reads a value column of a block into d, whose slices it reuses.
func (r *Reader) Column(block, column int, d *Data) error {
	buf := rawBuffers.Get().(*buffers)
	defer rawBuffers.Put(buf)
	b, at, err := r.chunkBytes(buf, block, 2+column)
	if err != nil {
		return err
	}
	if b == nil {
		*d = Data{}
		return nil
	}
	buf.decoder.Tables = r.tables[column]
	rest, err := decodeData(b, r.columns[column].Type.Kind, r.blocks[block].Rows, d, &buf.decoder)
	if err != nil || len(rest) > 0 {
		return r.corrupt(at, cmpErr(err, rest))
	}
	return nil
}

// MayScale reports whether Scaled may give integers: no row is null, and the integers and
// their sum fit 64 bits.
func (r *Reader) MayScale(block, column int) bool {
	s := r.Stats(block, column)
	return s.HasRange && int(s.NonNull) == r.blocks[block].Rows
}

// scaledLimit bounds the integers of Scaled, so that those of a block can be added up.
const scaledLimit = 1 << 50

// Scaled reads a column of doubles like Column, but as integers if it is stored so: then ok
// is true, and row i is d.Ints[i] / 10^scale.
func (r *Reader) Scaled(block, column int, d *Data) (scale int, ok bool, err error) {
	buf := rawBuffers.Get().(*buffers)
	defer rawBuffers.Put(buf)
	b, at, err := r.chunkBytes(buf, block, 2+column)
	if err != nil {
		return 0, false, err
	}
	n := r.blocks[block].Rows
	buf.decoder.Tables = r.tables[column]
	var rest []byte
	if len(b) > 1 && b[0] == validAll {
		ints := slices.Grow(d.Ints[:0], n)[:n]
		if scale, rest, ok, err = buf.decoder.Decimals(ints, b[1:]); ok {
			s := r.Stats(block, column)
			ok = max(math.Float64frombits(s.Max), -math.Float64frombits(s.Min))*codec.Pow10(scale) < scaledLimit
		}
		if ok {
			*d = Data{Ints: ints, Floats: d.Floats}
		}
	}
	if !ok && err == nil {
		if b == nil {
			*d = Data{}
			return 0, false, nil
		}
		rest, err = decodeData(b, r.columns[column].Type.Kind, n, d, &buf.decoder)
	}
	if err != nil || len(rest) > 0 {
		return 0, false, r.corrupt(at, cmpErr(err, rest))
	}
	return scale, ok, nil
}

// Unscale adds the doubles to a column that Scaled gave as integers.
func (d *Data) Unscale(scale int) {
	d.Floats = slices.Grow(d.Floats[:0], len(d.Ints))[:len(d.Ints)]
	codec.Divide(d.Floats, d.Ints, scale)
}

// decodeData decodes a chunk of n rows.
func decodeData(b []byte, kind vec.Kind, n int, d *Data, decoder *codec.Decoder) ([]byte, error) {
	if len(b) == 0 {
		return nil, errors.New("an empty chunk")
	}
	valid := b[0]
	b = b[1:]
	old := *d
	*d = Data{}
	present := n
	switch valid {
	case validAll:
	case validNone:
		return b, nil
	case validFlags:
		d.Nulls = slices.Grow(old.Nulls[:0], n)[:n]
		rest, err := codec.DecodeBools(d.Nulls, b)
		if err != nil {
			return nil, err
		}
		b = rest
		for _, null := range d.Nulls {
			if null {
				present--
			}
		}
	default:
		return nil, fmt.Errorf("validity of form %d", valid)
	}
	var err error
	switch kind.Storage() {
	case vec.StoreInts:
		d.Ints = slices.Grow(old.Ints[:0], n)[:n]
		b, err = decoder.Ints(d.Ints[:present], b)
		spread(d.Ints, d.Nulls, present)
	case vec.StoreFloats:
		d.Floats = slices.Grow(old.Floats[:0], n)[:n]
		b, err = decoder.Floats(d.Floats[:present], b)
		spread(d.Floats, d.Nulls, present)
	case vec.StoreBools:
		d.Bools = slices.Grow(old.Bools[:0], n)[:n]
		b, err = codec.DecodeBools(d.Bools[:present], b)
		spread(d.Bools, d.Nulls, present)
	default:
		d.Strs = slices.Grow(old.Strs[:0], n)[:n]
		b, err = decodeStrings(d.Strs[:present], b)
		spread(d.Strs, d.Nulls, present)
	}
	return b, err
}

func decodeStrings(dst []string, b []byte) ([]byte, error) {
	dict, index, rest, err := codec.DecodeStrings(len(dst), b)
	if err != nil {
		return nil, err
	}
	for i := range dst {
		if index == nil {
			dst[i] = dict[i]
		} else {
			dst[i] = dict[index[i]]
		}
	}
	return rest, nil
}

// spread moves the first present values to the rows that are not null, from the end.
func spread[T any](vals []T, nulls []bool, present int) {
	if nulls == nil {
		return
	}
	var zero T
	for i := len(vals) - 1; i >= 0; i-- {
		if nulls[i] {
			vals[i] = zero
			continue
		}
		present--
		vals[i] = vals[present]
	}
}
