package embedded

import (
	"encoding/binary"
	"fmt"
	"math"
	"unsafe"

	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/storage/embedded/series"
	"github.com/weir-db/weir/internal/vec"
)

// A record of kind 1 is what earlier versions wrote to the log: the rows of one request, with the
// keys of all their series.
//
//	uvarint  table uid (see manifest)
//	varint   memory boundary, ns: older rows were meant for the magnetic store
//	uvarint  columns, each: role u8, kind u8, uvarint length, name
//	uvarint  series, each: uvarint dimensions in the order of the request, their
//	         names (length, bytes), then uvarint length and canonical key
//	uvarint  rows, each:
//	         uvarint series<<1 | multi
//	         varint  time minus the previous row's
//	         uvarint version
//	         uvarint values, each: uvarint column, then 8 bytes little-endian,
//	                 or, for varchar, uvarint length and bytes
//
// The names of a series' dimensions are there for the order of the schema, which is
// the order of first appearance; they are left out (count 0) when they are sorted.

// rowsRecord is a decoded record. Its strings point into the record.
type rowsRecord struct {
	tableUID uint64
	memory   int64
	rows     storage.Rows
	keys     series.Keys // of each row
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendDimensionOrder(b []byte, dims []storage.Dim) []byte {
	sorted := true
	for i := 1; i < len(dims); i++ {
		sorted = sorted && dims[i-1].Name < dims[i].Name
	}
	if sorted {
		return append(b, 0)
	}
	b = binary.AppendUvarint(b, uint64(len(dims)))
	for _, d := range dims {
		b = appendText(b, d.Name)
	}
	return b
}

// decodeRecord parses a record; the result points into payload.
func decodeRecord(payload []byte) (*rowsRecord, error) {
	d := &decoder{rest: payload}
	r := &rowsRecord{tableUID: d.uvarint(), memory: d.varint()}
	for range d.count(3) {
		r.rows.Columns = append(r.rows.Columns, d.column())
	}
	var known []recordSeries
	for range d.count(2) {
		known = append(known, d.series())
	}
	previous := int64(0)
	for range d.count(4) {
		ref, row := d.row(r.rows.Columns, previous)
		previous = row.TimeNs
		if ref >= uint64(len(known)) {
			d.fail("row of series %d of %d", ref, len(known))
			break
		}
		s := &known[ref]
		row.Measure, row.Dimensions = s.measure, s.dims
		r.rows.Rows = append(r.rows.Rows, row)
		r.keys.Bytes = append(r.keys.Bytes, s.key...)
		r.keys.Ends = append(r.keys.Ends, len(r.keys.Bytes))
	}
	if d.err == nil && len(d.rest) > 0 {
		d.fail("%d bytes too many", len(d.rest))
	}
	return r, d.err
}

// recordSeries is a series of a record.
type recordSeries struct {
	measure string
	dims    []storage.Dim // in the order of the request
	key     []byte
}

func (d *decoder) column() storage.Column {
	role, kind := storage.Role(d.byte()), vec.Kind(d.byte())
	if role > storage.Attribute || kind.Storage() == vec.StoreNone || kind.Storage() == vec.StoreNested {
		d.fail("column of role %d and kind %d", role, kind)
	}
	return storage.Column{Name: d.text(), Type: vec.Type{Kind: kind}, Role: role}
}

func (d *decoder) series() recordSeries {
	names := make([]string, d.count(1))
	for i := range names {
		names[i] = d.text()
	}
	s := recordSeries{key: []byte(d.text())}
	var err error
	if s.measure, s.dims, err = series.ParseKey(s.key); err == nil && len(names) > 0 {
		s.dims, err = reorder(s.dims, names)
	}
	if err != nil {
		d.fail("%v", err)
	}
	return s
}

// row reads a row and the number of its series.
func (d *decoder) row(columns []storage.Column, previous int64) (series uint64, row storage.Row) {
	ref := d.uvarint()
	row = storage.Row{Multi: ref&1 != 0, TimeNs: previous + d.varint(), Version: int64(d.uvarint())}
	for range d.count(2) {
		v := storage.Val{Column: int32(d.uvarint())}
		switch {
		case v.Column < 0 || int(v.Column) >= len(columns):
			d.fail("value of column %d of %d", v.Column, len(columns))
		case columns[v.Column].Type.Kind == vec.Varchar:
			v.Str = d.text()
		default:
			v.Bits = d.bits()
		}
		row.Values = append(row.Values, v)
	}
	if !row.Multi && len(row.Values) != 1 {
		d.fail("single-measure row of %d values", len(row.Values))
	}
	return ref >> 1, row
}

func reorder(dims []storage.Dim, names []string) ([]storage.Dim, error) {
	if len(names) != len(dims) {
		return nil, fmt.Errorf("order of %d names for %d dimensions", len(names), len(dims))
	}
	out := make([]storage.Dim, 0, len(dims))
	for _, name := range names {
		for _, d := range dims {
			if d.Name == name {
				out = append(out, d)
			}
		}
	}
	if len(out) != len(dims) {
		return nil, fmt.Errorf("order names unknown dimensions")
	}
	return out, nil
}

// decoder reads a record and remembers its first error.
type decoder struct {
	rest []byte
	err  error
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("log record: "+format, args...)
	}
	d.rest = nil
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 {
		d.fail("cut short")
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.rest)
	if n <= 0 {
		d.fail("cut short")
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

// count reads a number of things that take at least size bytes each.
func (d *decoder) count(size uint64) int {
	n := d.uvarint()
	if n > math.MaxInt32 || n*size > uint64(len(d.rest)) {
		d.fail("%d entries in %d bytes", n, len(d.rest))
		return 0
	}
	return int(n)
}

func (d *decoder) byte() byte {
	if len(d.rest) == 0 {
		d.fail("cut short")
		return 0
	}
	b := d.rest[0]
	d.rest = d.rest[1:]
	return b
}

func (d *decoder) bits() uint64 {
	if len(d.rest) < 8 {
		d.fail("cut short")
		return 0
	}
	v := binary.LittleEndian.Uint64(d.rest)
	d.rest = d.rest[8:]
	return v
}

func (d *decoder) text() string { return d.bytes(d.count(1)) }

// bytes reads a text of n bytes, which are there.
func (d *decoder) bytes(n int) string {
	if n == 0 {
		return ""
	}
	s := unsafe.String(&d.rest[0], n)
	d.rest = d.rest[n:]
	return s
}
