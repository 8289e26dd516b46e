package importer

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// maxRowBytes bounds one row of text; a quote that nothing closes would otherwise hold
// the rest of the file in memory.
const maxRowBytes = 16 << 20

// csvDialect says how a CSV file is written. In quotes, two quotes are one; with an escape
// character, as UNLOAD writes it, that character takes the next one as it is.
type csvDialect struct {
	delimiter byte
	escape    byte   // 0: none
	null      string // text that means null, besides the empty one
}

// csvRows reads CSV. Lines end in LF, CR LF or the end of the file; empty lines are not rows.
type csvRows struct {
	in      *bufio.Reader
	close   func() error
	dialect csvDialect
	cols    []column

	held   [][]byte // fields of a first row that was read to look for a header
	fields [][]byte
	buf    []byte
	ends   []int
	row    []cell
	at     int64 // line of the last row
	next   int64 // line that comes next
	quoted bool  // the last row had quotes
}

// newCSVRows reads what in holds. The first row names the columns unless names does; with
// names, a first row that equals them is taken for a header too.
func newCSVRows(in io.Reader, closer func() error, d csvDialect, names []column) (*csvRows, error) {
	r := &csvRows{in: bufio.NewReaderSize(in, 256<<10), close: closer, dialect: d, cols: names, next: 1}
	if bom, _ := r.in.Peek(3); string(bom) == "\xef\xbb\xbf" {
		_, _ = r.in.Discard(3)
	}
	first, err := r.scan()
	switch {
	case err == io.EOF && names != nil:
		return r, nil
	case err == io.EOF:
		return nil, fmt.Errorf("the file is empty; want a header line with the names of the columns")
	case err != nil:
		return nil, err
	case names == nil:
		for _, f := range first {
			r.cols = append(r.cols, column{name: string(f)})
		}
	case !isHeader(first, names):
		r.held = first
	}
	return r, nil
}

func isHeader(first [][]byte, names []column) bool {
	if len(first) != len(names) {
		return false
	}
	for i, f := range first {
		if string(f) != names[i].name {
			return false
		}
	}
	return true
}

func (r *csvRows) columns() []column { return r.cols }
func (r *csvRows) line() int64       { return r.at }
func (r *csvRows) Close() error      { return r.close() }
func (r *csvRows) skip(n int64) error {
	return skipRows(n, r.read)
}

func (r *csvRows) read() ([]cell, error) {
	fields := r.held
	r.held = nil
	if fields == nil {
		var err error
		if fields, err = r.scan(); err != nil {
			return nil, err
		}
	}
	if len(fields) != len(r.cols) {
		return nil, badRow("has %d fields, want %d", len(fields), len(r.cols))
	}
	r.row = r.row[:0]
	for _, f := range fields {
		null := len(f) == 0 || r.dialect.null != "" && string(f) == r.dialect.null
		r.row = append(r.row, cell{string(f), null})
	}
	return r.row, nil
}

// scan reads the fields of the next row, which are valid until the next call.
func (r *csvRows) scan() ([][]byte, error) {
	for {
		r.buf, r.ends, r.quoted, r.at = r.buf[:0], r.ends[:0], false, r.next
		err := r.scanLine()
		if err == io.EOF && len(r.buf) == 0 && len(r.ends) == 0 && !r.quoted {
			return nil, io.EOF
		}
		if err != nil && err != io.EOF {
			return nil, fmt.Errorf("line %d: %w", r.at, err)
		}
		if len(r.buf) == 0 && len(r.ends) == 0 && !r.quoted {
			continue // an empty line
		}
		r.ends = append(r.ends, len(r.buf))
		r.fields = r.fields[:0]
		from := 0
		for _, end := range r.ends {
			r.fields = append(r.fields, r.buf[from:end])
			from = end
		}
		return r.fields, nil
	}
}

// scanLine appends the bytes of a row's fields to buf and the ends of all but the last to ends.
func (r *csvRows) scanLine() error {
	inQuotes, start := false, 0 // start of the field in hand
	for {
		c, err := r.in.ReadByte()
		if err != nil {
			if err == io.EOF && inQuotes {
				return fmt.Errorf("a quote is not closed")
			}
			return err
		}
		switch {
		case r.dialect.escape != 0 && c == r.dialect.escape && r.dialect.escape != '"':
			next, err := r.in.ReadByte()
			if err != nil {
				return fmt.Errorf("the file ends after an escape character")
			}
			if next == '\n' {
				r.next++
			}
			r.buf = append(r.buf, next)
		case inQuotes && c == '"':
			if next, _ := r.in.Peek(1); len(next) == 1 && next[0] == '"' {
				_, _ = r.in.Discard(1)
				r.buf = append(r.buf, '"')
			} else {
				inQuotes = false
			}
		case inQuotes:
			if c == '\n' {
				r.next++
			}
			r.buf = append(r.buf, c)
		case c == '"' && len(r.buf) == start:
			inQuotes, r.quoted = true, true
		case c == r.dialect.delimiter:
			start = len(r.buf)
			r.ends = append(r.ends, start)
		case c == '\n':
			r.next++
			if n := len(r.buf); n > start && r.buf[n-1] == '\r' {
				r.buf = r.buf[:n-1]
			}
			return nil
		default:
			r.buf = append(r.buf, c)
		}
		if len(r.buf) > maxRowBytes {
			return fmt.Errorf("a row of more than %d MiB; is a quote not closed?", maxRowBytes>>20)
		}
	}
}

// delimiterOf is a one-byte delimiter from a flag's text.
func delimiterOf(text string) (byte, error) {
	switch {
	case text == "" || text == ",":
		return ',', nil
	case text == `\t` || strings.EqualFold(text, "tab"):
		return '\t', nil
	case len(text) == 1 && text[0] != '"' && text[0] != '\n' && text[0] != '\r':
		return text[0], nil
	}
	return 0, fmt.Errorf("the delimiter is one ASCII character or tab, got %q", text)
}
