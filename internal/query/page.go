package query

import (
	"bytes"
	"context"
	"math"
	"slices"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/sql/exec"
	"github.com/weir-db/weir/internal/vec"
)

// source gives the rows of one execution. Next is used by one goroutine at a time, Stats
// by any.
type source interface {
	// Next returns the next batch, not empty, or nil at the end; for pages it is valid until the next call.
	Next(ctx context.Context) (*vec.Batch, error)
	Stats() exec.Stats
	TableScans() []exec.TableScan
	Close()
}

// piece is the rows of one page, or why there are none.
type piece struct {
	text    *text // nil without rows
	rows    int
	bytes   int64 // as JSON, estimated from above
	last    bool
	maxRows int   // that it was cut for
	failed  error // the query ends with this once somebody asks for the page
}

// text is the rows of a page as Options.Render wrote them. Its memory serves for another page when nobody
// holds it any more; who forgets to release it merely leaves it to the garbage collector.
type text struct {
	bytes []byte
	ends  []int // of the rows in bytes
	exact bool  // it has room for no more than its rows: it does not serve again
	users atomic.Int32
}

// maxUsedText keeps one huge page, of a statement that is never cut, from being held for ever.
const maxUsedText = 2 << 20

// usedTexts are texts that nobody holds. It is no sync.Pool: pages are made by one goroutine and sent by another, so
// mostly on different processors, and a pool keeps what was put for the processor that put it (half of the pages of
// BenchmarkQueryOverHTTP were new). A few are enough: a result has three at a time.
var usedTexts = make(chan *text, 8)

// newText returns an empty text that the caller holds.
func newText() *text {
	var t *text
	select {
	case t = <-usedTexts:
		t.bytes, t.ends = t.bytes[:0], t.ends[:0]
	default:
		t = new(text)
	}
	t.users.Store(1)
	return t
}

// hold counts another user. The caller knows of one that does not release the text meanwhile.
func (t *text) hold() {
	if t != nil {
		t.users.Add(1)
	}
}

// release is called once by each user, which must not touch the text afterwards.
func (t *text) release() {
	if t == nil || t.users.Add(-1) > 0 || t.exact || cap(t.bytes) > maxUsedText {
		return
	}
	select {
	case usedTexts <- t:
	default:
	}
}

// drop releases the rows of a piece that nobody will get. p may be nil.
func (p *piece) drop() {
	if p != nil {
		p.text.release()
	}
}

// compact moves the rows out of memory that is much larger than they are, for pages that may be kept for long.
func (p *piece) compact() {
	t := p.text
	if t == nil || 2*len(t.bytes) >= cap(t.bytes) {
		return
	}
	p.text = &text{bytes: bytes.Clone(t.bytes), ends: slices.Clone(t.ends), exact: true}
	p.text.users.Store(1)
	t.release()
}

// memory is what the rows take while they are kept. p may be nil.
func (p *piece) memory() int64 {
	if p == nil || p.text == nil {
		return 0
	}
	return int64(cap(p.text.bytes) + 8*cap(p.text.ends))
}

// add writes the first n rows of b behind those of the piece; they are of size bytes, by the estimate.
func (p *piece) add(render Render, b *vec.Batch, n int, size int64) {
	if n == 0 {
		return
	}
	if p.text == nil {
		p.text = newText()
	}
	if n < b.Len {
		b = b.Slice(0, n)
	}
	p.text.bytes, p.text.ends = render(slices.Grow(p.text.bytes, int(size)), b, slices.Grow(p.text.ends, n))
	p.rows, p.bytes = p.rows+n, p.bytes+size
}

// split leaves the first n rows, of more, and returns the others. Their sizes are shares of that of all, but
// no less than the rows are: a page that goes on with them is not to become too large.
func (p *piece) split(n int) *piece {
	t, at := p.text, p.text.ends[n-1]
	// They may wait for long, so they get no more room than they need.
	rest := &piece{text: &text{bytes: bytes.Clone(t.bytes[at:]), ends: make([]int, p.rows-n), exact: true}, rows: p.rows - n}
	rest.text.users.Store(1)
	for i, end := range t.ends[n:] {
		rest.text.ends[i] = end - at
	}
	t.bytes, t.ends = t.bytes[:at], t.ends[:n]
	share := p.bytes * int64(rest.rows) / int64(p.rows)
	rest.bytes = max(0, min(max(share, int64(len(rest.text.bytes))), p.bytes-int64(at)))
	p.rows, p.bytes = n, p.bytes-rest.bytes
	return rest
}

// join appends the rows of another piece, which is used up.
func (p *piece) join(next *piece) {
	at := len(p.text.bytes)
	p.text.bytes = append(p.text.bytes, next.text.bytes...)
	for _, end := range next.text.ends {
		p.text.ends = append(p.text.ends, at+end)
	}
	p.rows, p.bytes = p.rows+next.rows, p.bytes+next.bytes
	next.drop()
}

// cutter cuts the rows of a source into pages, and renders them: a batch is done with when the next one is read.
// It reads one batch ahead: that is how the last page is known to be the last, and gets no token. It is used by one
// goroutine at a time.
type cutter struct {
	src    source // nil once exhausted or closed
	render Render
	back   *piece     // rows that come before those ahead
	ahead  *vec.Batch // read and not cut yet
	whole  bool       // metadata statements are never cut (clients.md, R10)
}

// next cuts a page of at most maxRows rows (0: any number) and maxBytes of JSON. After
// patience it takes what it has, if that is anything.
func (c *cutter) next(ctx context.Context, maxRows int, maxBytes int64, patience time.Duration) (*piece, error) {
	p := c.back
	if c.back = nil; p == nil {
		p = new(piece)
	}
	p.maxRows, p.last = maxRows, false
	if maxRows <= 0 {
		maxRows = math.MaxInt
	}
	if p.rows > maxRows {
		c.back = p.split(maxRows)
		return p, nil
	}
	began := time.Now()
	for {
		if err := c.readAhead(ctx); err != nil {
			return nil, err
		}
		if c.ahead == nil {
			p.last = true
			return p, nil
		}
		b := c.ahead
		n, size := c.fit(b, maxRows-p.rows, maxBytes-p.bytes)
		if n == 0 && p.rows == 0 {
			return nil, fault.New(fault.Execution, "Query aborted as max page response size has been exceeded by the output result row")
		}
		p.add(c.render, b, n, size)
		if n < b.Len {
			c.ahead = b.Slice(n, b.Len)
			return p, nil
		}
		c.ahead = nil
		if time.Since(began) > patience {
			return p, nil
		}
	}
}

// putBack undoes the next that gave p, the latest one.
func (c *cutter) putBack(p *piece) {
	switch {
	case p.rows == 0:
	case c.back == nil:
		c.back = p
	default:
		p.join(c.back)
		c.back = p
	}
}

// readAhead makes sure that a batch is ahead if there is one; at the end it closes the source.
func (c *cutter) readAhead(ctx context.Context) error {
	if c.ahead != nil || c.src == nil {
		return nil
	}
	b, err := c.src.Next(ctx)
	if err != nil {
		return err
	}
	c.take(b)
	return nil
}

// readSmall reads the first batch if that is little work, as [exec.Cursor.NextIfSmall] says; else it
// fails with exec.ErrLarge, and nothing was read.
func (c *cutter) readSmall(ctx context.Context) error {
	src, ok := c.src.(cursorSource)
	if !ok {
		return exec.ErrLarge
	}
	b, err := src.NextIfSmall(ctx)
	if err != nil {
		return err
	}
	c.take(b)
	return nil
}

// take puts b, which was read while nothing was ahead; nil is the end.
func (c *cutter) take(b *vec.Batch) {
	if b == nil {
		c.close()
		return
	}
	c.ahead = b
}

// fit returns how many rows of b go on a page with room for rows and bytes more, and their size.
func (c *cutter) fit(b *vec.Batch, rows int, bytes int64) (int, int64) {
	if c.whole {
		rows, bytes = b.Len, math.MaxInt64
	}
	return fitRows(b, rows, bytes)
}

// close releases the source. It may be called twice.
func (c *cutter) close() {
	if c.src != nil {
		c.src.Close()
	}
	if c.back != nil {
		c.back.text.release()
	}
	c.src, c.ahead, c.back = nil, nil, nil
}

// Bytes of JSON around a row, a value, and a point of a time series beside its
// value, as the Query API writes them.
const (
	rowOverhead   = len(`{"Data":[]},`)
	datumOverhead = len(`{"ScalarValue":""},`)
	pointOverhead = len(`{"Time":"2006-01-02 15:04:05.000000000","Value":},`)
	listOverhead  = len(`{"TimeSeriesValue":[]},`)
	childOverhead = len(`{"RowValue":{"Data":[]}},`)
)

// fitRows returns the largest n such that rows 0 to n-1 of b are at most rows and
// need at most size bytes of JSON, and those bytes. Sizes are estimates from above, exact
// for text.
func fitRows(b *vec.Batch, rows int, size int64) (int, int64) {
	rows = min(rows, b.Len)
	fixed := int64(rowOverhead)
	var varying []sizer
	for _, c := range b.Columns {
		switch w := widthOf(c, rows); {
		case w > 0:
			fixed += int64(datumOverhead + w)
		case c.Form == vec.Constant && b.Len > 0:
			fixed += valueSize(c, 0)
		default:
			varying = append(varying, newSizer(c, rows))
		}
	}
	if len(varying) == 0 {
		n := min(int64(rows), size/fixed)
		return int(n), n * fixed
	}
	total := int64(0)
	for i := range rows {
		row := fixed
		for k := range varying {
			row += varying[k].size(i)
		}
		if total+row > size {
			return i, total
		}
		total += row
	}
	return rows, total
}

// widthOf returns the length that no text of the first rows of a column exceeds, or 0 where they vary
// much. Doubles that are small whole numbers or have few places, as measured ones do, are much
// shorter than the longest.
func widthOf(c *vec.Vector, rows int) int {
	if c.Type.Kind != vec.Double || c.Form != vec.Flat {
		return fixedWidth(c.Type.Kind)
	}
	whole, short := true, true
	for _, f := range c.Floats[:rows] {
		if n := int64(f); whole && float64(n) == f && -1000 < n && n < 1000 {
			continue
		}
		whole = false
		if n := int64(f*1e3 + math.Copysign(0.5, f)); float64(n)/1e3 != f || n <= -1e9 || n >= 1e9 {
			short = false
			break
		}
	}
	switch {
	case whole:
		return len("-999.0")
	case short:
		return len("-999999.999")
	}
	return fixedWidth(vec.Double)
}

// sizer tells the sizes of a column's values. Those of a dictionary are measured once each.
type sizer struct {
	v     *vec.Vector
	known []int32 // by entry of the dictionary, 0 where it was not measured; nil: not kept
}

func newSizer(v *vec.Vector, rows int) sizer {
	s := sizer{v: v}
	if v.Form == vec.Dictionary && v.Dict.Len() <= 4*rows {
		s.known = make([]int32, v.Dict.Len())
	}
	return s
}

func (s *sizer) size(i int) int64 {
	if s.known == nil {
		return valueSize(s.v, i)
	}
	known := &s.known[s.v.Index[i]]
	if *known == 0 {
		*known = int32(min(valueSize(s.v, i), math.MaxInt32))
	}
	return int64(*known)
}

// fixedWidth returns the length of the longest text of a kind, or 0 where it varies much.
func fixedWidth(k vec.Kind) int {
	switch k {
	case vec.Boolean:
		return len("false")
	case vec.Integer, vec.Unknown:
		return len("-2147483648")
	case vec.Date:
		return len("+292278994-08-17")
	case vec.Bigint:
		return len("-9223372036854775808")
	case vec.Double:
		return len("-2.2250738585072014E-308")
	case vec.Time, vec.Timestamp, vec.IntervalDay, vec.IntervalYear:
		return len("2006-01-02 15:04:05.000000000")
	}
	return 0
}

// valueSize is the size of a value with the comma after it.
func valueSize(v *vec.Vector, i int) int64 {
	f, j := v.At(i)
	if f.IsNull(j) {
		return int64(datumOverhead)
	}
	switch f.Type.Kind {
	case vec.Varchar:
		return int64(datumOverhead) + textSize(f.Strs[j])
	case vec.Row:
		size := int64(childOverhead)
		for _, c := range f.Children {
			size += valueSize(c, j)
		}
		return size
	case vec.Array:
		size := int64(listOverhead)
		for e := int(f.Offsets[j]); e < int(f.Offsets[j+1]); e++ {
			size += valueSize(f.Children[0], e)
		}
		return size
	case vec.TimeSeries:
		size := int64(listOverhead)
		for e := int(f.Offsets[j]); e < int(f.Offsets[j+1]); e++ {
			size += int64(pointOverhead) + valueSize(f.Children[1], e)
		}
		return size
	}
	return int64(datumOverhead + fixedWidth(f.Type.Kind))
}

// textSize is the length of s in JSON: quotes and backslashes take two bytes, control
// characters up to six, bytes that are not UTF-8 three.
func textSize(s string) int64 {
	size := int64(len(s))
	for i := 0; i < len(s); i++ {
		switch b := s[i]; {
		case b == '"' || b == '\\':
			size++
		case b < ' ':
			size += 5
		case b >= utf8.RuneSelf:
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 {
				size += 2
				continue
			}
			i += n - 1
		}
	}
	return size
}
