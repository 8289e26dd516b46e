package query

import (
	"context"
	"math"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/sql/exec"
	"github.com/weir-db/weir/internal/vec"
)

// source gives the rows of one execution. Next is used by one goroutine at a time, Stats
// by any.
type source interface {
	// Next returns the next batch, not empty, or nil at the end.
	Next(ctx context.Context) (*vec.Batch, error)
	Stats() exec.Stats
	TableScans() []exec.TableScan
	Close()
}

// piece is the rows of one page, or why there are none.
type piece struct {
	batches []*vec.Batch
	rows    int
	bytes   int64 // as JSON, estimated from above
	last    bool
	maxRows int   // that it was cut for
	failed  error // the query ends with this once somebody asks for the page
}

// compact copies the rows, so that keeping them does not keep the larger batches that
// they were cut from.
func (p *piece) compact() {
	for i, b := range p.batches {
		all := make([]int32, b.Len)
		for k := range all {
			all[k] = int32(k)
		}
		out := &vec.Batch{Len: b.Len, Columns: make([]*vec.Vector, len(b.Columns))}
		for k, c := range b.Columns {
			if c.Form == vec.Dictionary {
				c = c.Flat()
			}
			out.Columns[k] = c.Gather(all)
		}
		p.batches[i] = out
	}
}

// cutter cuts the rows of a source into pages. It reads one batch ahead: that is how
// the last page is known to be the last, and gets no token. It is used by one
// goroutine at a time.
type cutter struct {
	src   source       // nil once exhausted or closed
	ahead []*vec.Batch // read and not cut yet, in order
	whole bool         // metadata statements are never cut (clients.md, R10)
}

// next cuts a page of at most maxRows rows (0: any number) and maxBytes of JSON. After
// patience it takes what it has, if that is anything.
func (c *cutter) next(ctx context.Context, maxRows int, maxBytes int64, patience time.Duration) (*piece, error) {
	p := &piece{maxRows: maxRows}
	if maxRows <= 0 {
		maxRows = math.MaxInt
	}
	began := time.Now()
	for {
		if err := c.readAhead(ctx); err != nil {
			return nil, err
		}
		if len(c.ahead) == 0 {
			p.last = true
			return p, nil
		}
		b := c.ahead[0]
		n, bytes := c.fit(b, maxRows-p.rows, maxBytes-p.bytes)
		if n == 0 && p.rows == 0 {
			return nil, fault.New(fault.Execution, "Query aborted as max page response size has been exceeded by the output result row")
		}
		if n > 0 {
			p.batches = append(p.batches, b.Slice(0, n))
			p.rows, p.bytes = p.rows+n, p.bytes+bytes
		}
		if n < b.Len {
			c.ahead[0] = b.Slice(n, b.Len)
			return p, nil
		}
		c.ahead = c.ahead[1:]
		if time.Since(began) > patience {
			return p, nil
		}
	}
}

// putBack undoes the next that gave p, the latest one.
func (c *cutter) putBack(p *piece) { c.ahead = slices.Concat(p.batches, c.ahead) }

// readAhead makes sure that a batch is ahead if there is one; at the end it closes the source.
func (c *cutter) readAhead(ctx context.Context) error {
	if len(c.ahead) > 0 || c.src == nil {
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
	c.ahead = append(c.ahead[:0], b)
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
	c.src, c.ahead = nil, nil
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
