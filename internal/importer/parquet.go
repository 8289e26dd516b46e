package importer

import (
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"strconv"
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/deprecated"
	pqformat "github.com/parquet-go/parquet-go/format"
)

// parquetRows reads the flat columns of a Parquet file; a nested one is a column whose cells
// cannot be used. Timestamps come as nanoseconds whatever their unit, INT96 too.
type parquetRows struct {
	file   io.Closer
	reader *parquet.GenericReader[any]
	cols   []column
	leaf   []int // by leaf: its column, or -1 below a nested one
	text   []func(parquet.Value) (string, error)
	batch  []parquet.Row
	have   int // rows of batch that were read
	pos    int
	row    []cell
	n      int64
	total  int64
	size   int64
	done   *atomic.Int64 // share of size that was read
}

func openParquet(f content, size int64, done *atomic.Int64) (r *parquetRows, err error) {
	defer recoverParquet(&err)
	file, err := parquet.OpenFile(f, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, fmt.Errorf("open as Parquet: %w", err)
	}
	r = &parquetRows{file: f, reader: parquet.NewGenericReader[any](file), batch: make([]parquet.Row, 256), total: file.NumRows(), size: size, done: done}
	for _, c := range file.Root().Columns() {
		r.add(c)
	}
	r.row = make([]cell, len(r.cols))
	return r, nil
}

// recoverParquet makes an error of a panic of the library over damaged bytes.
func recoverParquet(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("damaged Parquet file: %v", p)
	}
}

func (r *parquetRows) add(c *parquet.Column) {
	k, text := nested, (func(parquet.Value) (string, error))(nil)
	if c.Leaf() && !c.Repeated() {
		k, text = leafText(c.Type())
	}
	for range leaves(c) {
		if k == nested {
			r.leaf = append(r.leaf, -1)
		} else {
			r.leaf = append(r.leaf, len(r.cols))
		}
	}
	r.cols = append(r.cols, column{name: c.Name(), kind: k, opaque: k == nested})
	r.text = append(r.text, text)
}

func leaves(c *parquet.Column) int {
	if c.Leaf() {
		return 1
	}
	n := 0
	for _, child := range c.Columns() {
		n += leaves(child)
	}
	return n
}

func (r *parquetRows) columns() []column { return r.cols }
func (r *parquetRows) line() int64       { return r.n }
func (r *parquetRows) Close() error      { return errors.Join(r.reader.Close(), r.file.Close()) }

func (r *parquetRows) skip(n int64) (err error) {
	defer recoverParquet(&err)
	if n > r.total {
		return fmt.Errorf("the file has fewer rows than were imported already; --restart begins anew")
	}
	r.n = n
	return r.reader.SeekToRow(n)
}

func (r *parquetRows) read() (row []cell, err error) {
	if r.pos == r.have {
		if err := r.fill(); err != nil {
			return nil, err
		}
	}
	values := r.batch[r.pos]
	r.pos++
	r.n++
	for i := range r.row {
		r.row[i] = cell{null: true}
	}
	for _, v := range values {
		if v.IsNull() || v.Column() < 0 || v.Column() >= len(r.leaf) || r.leaf[v.Column()] < 0 {
			continue
		}
		k := r.leaf[v.Column()]
		text, err := r.text[k](v)
		if err != nil {
			return nil, badRow("column %s: %v", r.cols[k].name, err)
		}
		r.row[k] = cell{text, text == ""}
	}
	return r.row, nil
}

// fill reads the next batch.
func (r *parquetRows) fill() (err error) {
	defer recoverParquet(&err)
	r.pos = 0
	r.have, err = r.reader.ReadRows(r.batch)
	if r.total > 0 {
		r.done.Store(int64(float64(r.size) * float64(min(r.n+int64(r.have), r.total)) / float64(r.total)))
	}
	switch {
	case r.have > 0:
		return nil // an error comes again with the next call
	case err == nil || err == io.EOF:
		if r.n < r.total {
			return fmt.Errorf("the file ends after %d of %d rows", r.n, r.total)
		}
		return io.EOF
	}
	return fmt.Errorf("row %d: %w", r.n+1, err)
}

// leafText returns what a column of type t holds and how its values become text.
func leafText(t parquet.Type) (kind, func(parquet.Value) (string, error)) {
	if l := t.LogicalType(); l != nil {
		switch l := l.Value.(type) {
		case *pqformat.TimestampType:
			if l.Unit.Value == nil {
				return nested, nil
			}
			return nanos, scaled(l.Unit.Value.Duration().Nanoseconds())
		case *pqformat.DateType:
			return nanos, days
		case *pqformat.DecimalType:
			return double, decimal(t.Kind(), l.Scale)
		case *pqformat.TimeType:
			return nested, nil
		case *pqformat.IntType:
			if !l.IsSigned {
				return bigint, unsigned(l.BitWidth)
			}
		case *pqformat.UUIDType:
			return varchar, uuid
		case *pqformat.StringType, *pqformat.EnumType, *pqformat.JsonType:
			return varchar, utf8Text
		case *pqformat.BsonType, *pqformat.Float16Type, *pqformat.VariantType, *pqformat.GeometryType, *pqformat.GeographyType:
			return nested, nil
		}
	}
	if c := t.ConvertedType(); c != nil && t.LogicalType() == nil {
		switch *c {
		case deprecated.TimestampMillis:
			return nanos, scaled(1e6)
		case deprecated.TimestampMicros:
			return nanos, scaled(1e3)
		case deprecated.Date:
			return nanos, days
		case deprecated.Uint64:
			return bigint, unsigned(64)
		case deprecated.Uint32:
			return bigint, unsigned(32)
		case deprecated.Decimal, deprecated.TimeMillis, deprecated.TimeMicros, deprecated.Interval, deprecated.Bson:
			return nested, nil
		}
	}
	switch t.Kind() {
	case parquet.Boolean:
		return boolean, func(v parquet.Value) (string, error) { return strconv.FormatBool(v.Boolean()), nil }
	case parquet.Int32:
		return bigint, func(v parquet.Value) (string, error) { return strconv.FormatInt(int64(v.Int32()), 10), nil }
	case parquet.Int64:
		return bigint, func(v parquet.Value) (string, error) { return strconv.FormatInt(v.Int64(), 10), nil }
	case parquet.Int96:
		return nanos, int96Text
	case parquet.Float:
		return double, func(v parquet.Value) (string, error) {
			return strconv.FormatFloat(float64(v.Float()), 'g', -1, 32), nil
		}
	case parquet.Double:
		return double, func(v parquet.Value) (string, error) { return strconv.FormatFloat(v.Double(), 'g', -1, 64), nil }
	}
	return varchar, utf8Text
}

func utf8Text(v parquet.Value) (string, error) {
	b := v.ByteArray()
	if !utf8.Valid(b) {
		return "", errors.New("bytes that are not UTF-8 text")
	}
	return string(b), nil
}

func uuid(v parquet.Value) (string, error) {
	b := v.ByteArray()
	if len(b) != 16 {
		return "", fmt.Errorf("a UUID of %d bytes, want 16", len(b))
	}
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:]), nil
}

func scaled(unit int64) func(parquet.Value) (string, error) {
	return func(v parquet.Value) (string, error) { return nanosText(v.Int64(), unit) }
}

const dayNs = 86_400_000_000_000

func days(v parquet.Value) (string, error) { return nanosText(int64(v.Int32()), dayNs) }

func nanosText(n, unit int64) (string, error) {
	if n > math.MaxInt64/unit || n < math.MinInt64/unit {
		return "", errors.New("a time that nanoseconds since 1970 in 64 bits cannot tell (after 2262)")
	}
	return strconv.FormatInt(n*unit, 10), nil
}

// julianEpoch is the Julian day of 1970-01-01.
const julianEpoch = 2_440_588

// int96Text reads the nanoseconds of a day and its Julian day, as Impala, Spark and UNLOAD write them.
func int96Text(v parquet.Value) (string, error) {
	i := v.Int96()
	ofDay, day := int64(uint64(i[1])<<32|uint64(i[0])), int64(int32(i[2]))-julianEpoch
	// Writers may leave the day's nanoseconds outside of the day.
	day, ofDay = day+ofDay/dayNs, ofDay%dayNs
	if ofDay < 0 {
		day, ofDay = day-1, ofDay+dayNs
	}
	if day > math.MaxInt64/dayNs || day < math.MinInt64/dayNs || day == math.MaxInt64/dayNs && ofDay > math.MaxInt64%dayNs {
		return "", errors.New("a time that nanoseconds since 1970 in 64 bits cannot tell (after 2262)")
	}
	return strconv.FormatInt(day*dayNs+ofDay, 10), nil
}

func unsigned(bits int8) func(parquet.Value) (string, error) {
	return func(v parquet.Value) (string, error) {
		if v.Kind() == parquet.Int32 {
			return strconv.FormatUint(uint64(v.Uint32()), 10), nil
		}
		if v.Uint64() > math.MaxInt64 {
			return "", fmt.Errorf("%d does not fit a bigint", v.Uint64())
		}
		return strconv.FormatUint(v.Uint64(), 10), nil
	}
}

// decimal writes an unscaled integer with its point; the server rounds to a double.
func decimal(k parquet.Kind, scale int32) func(parquet.Value) (string, error) {
	return func(v parquet.Value) (string, error) {
		n := new(big.Int)
		switch k {
		case parquet.Int32:
			n.SetInt64(int64(v.Int32()))
		case parquet.Int64:
			n.SetInt64(v.Int64())
		default:
			b := v.ByteArray()
			n.SetBytes(b)
			if len(b) > 0 && b[0] >= 0x80 {
				n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(len(b))*8))
			}
		}
		digits := new(big.Int).Abs(n).String()
		if pad := int(scale) + 1 - len(digits); pad > 0 {
			digits = strings.Repeat("0", pad) + digits
		}
		if scale > 0 {
			digits = digits[:len(digits)-int(scale)] + "." + digits[len(digits)-int(scale):]
		}
		if n.Sign() < 0 {
			digits = "-" + digits
		}
		return digits, nil
	}
}
