package importer

import (
	"fmt"
	"io"
	"sync/atomic"
)

// kind says what the text of a column's cells is.
type kind uint8

const (
	unknown kind = iota // text of a type still to be guessed
	varchar
	boolean   // true or false
	bigint    // 64-bit integer
	double    // finite number
	timestamp // date and time as text, or an integer in the time unit
	nanos     // nanoseconds since 1970 UTC
	nested    // nothing a record can hold
)

var kindNames = map[string]kind{
	"varchar": varchar, "boolean": boolean, "bigint": bigint, "integer": bigint, "double": double, "timestamp": timestamp,
}

func (k kind) String() string {
	return [...]string{"unknown", "varchar", "boolean", "bigint", "double", "timestamp", "timestamp", "nested"}[k]
}

// column is one column of a file.
type column struct {
	name      string
	kind      kind
	partition bool // its value is in the file's path
	opaque    bool // nested, and not readable as text either
}

// cell is a value as text; null is also what no record can hold: empty text.
type cell struct {
	text string
	null bool
}

// rows reads a table row by row.
type rows interface {
	columns() []column
	// read returns the next row, valid until the next call; io.EOF after the last;
	// a *rowError for a row that is no row of the table, after which reading goes on.
	read() ([]cell, error)
	// skip passes over the next n rows, those with a *rowError too.
	skip(n int64) error
	line() int64 // of the last row, from 1; its number where the format has no lines
	Close() error
}

// rowError says why a row cannot become a record.
type rowError struct{ text string }

func (e *rowError) Error() string { return e.text }

func badRow(format string, args ...any) error { return &rowError{fmt.Sprintf(format, args...)} }

// skipRows passes over n rows of a format that can only be read.
func skipRows[T any](n int64, read func() (T, error)) error {
	for ; n > 0; n-- {
		if _, err := read(); err != nil && !isRowError(err) {
			if err == io.EOF {
				return fmt.Errorf("the file has fewer rows than were imported already; --restart begins anew")
			}
			return err
		}
	}
	return nil
}

// partitioned adds the columns that a file's path holds to its rows.
type partitioned struct {
	rows
	names []column
	cells []cell
	row   []cell
}

func (p *partitioned) columns() []column {
	return append(append([]column(nil), p.rows.columns()...), p.names...)
}

func (p *partitioned) read() ([]cell, error) {
	row, err := p.rows.read()
	if err != nil {
		return nil, err
	}
	p.row = append(append(p.row[:0], row...), p.cells...)
	return p.row, nil
}

// meter counts the bytes that pass.
type meter struct {
	r io.Reader
	n *atomic.Int64
}

func (m *meter) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	m.n.Add(int64(n))
	return n, err
}
