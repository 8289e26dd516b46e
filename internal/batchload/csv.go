package batchload

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

// maxRowBytes is the longest row (Timestream quotas, batch load).
const maxRowBytes = 16 << 20

// csvReader reads rows of fields, each with its place. A field may be quoted, and then hold
// separators and line breaks; within, the escape character makes the next one ordinary
// (by default a doubled quote is a quote).
type csvReader struct {
	in                       *bufio.Reader
	separator, quote, escape byte
	trim                     bool

	offset int64 // of the next byte
	line   int64 // of the next row, from 1

	fields []string
	buf    []byte
	ends   []int
	quoted []bool
}

func newCSVReader(in io.Reader, c *CSV, from place) *csvReader {
	r := &csvReader{in: bufio.NewReaderSize(in, 1<<20), separator: ',', quote: '"', escape: '"', offset: from.Offset, line: max(1, from.Line)}
	if c != nil {
		for _, f := range []struct {
			text string
			to   *byte
		}{{c.Separator, &r.separator}, {c.Quote, &r.quote}} {
			if f.text != "" {
				*f.to = f.text[0]
			}
		}
		r.escape, r.trim = r.quote, c.Trim
		if c.Escape != "" {
			r.escape = c.Escape[0]
		}
	}
	return r
}

// rowError is a row that cannot be read; reading goes on behind it.
type rowError struct{ text string }

func (e *rowError) Error() string { return e.text }

var (
	errQuoteOpen = &rowError{"A quoted field does not end before the file does."}
	errQuoteRest = &rowError{"Something follows the closing quote of a field."}
	errRowLong   = &rowError{fmt.Sprintf("The row is longer than %d bytes.", maxRowBytes)}
)

// row reads the next row that is not blank. The fields are valid until the next call. first
// and last are its lines. The error is io.EOF at the end, a *rowError, or of reading.
func (r *csvReader) row() (fields []string, first, last int64, err error) {
	for {
		first = r.line
		r.buf, r.ends, r.quoted = r.buf[:0], r.ends[:0], r.quoted[:0]
		err = r.parse()
		last = max(first, r.line-1)
		if err != nil || len(r.ends) > 1 || len(r.buf) > 0 || len(r.quoted) > 0 && r.quoted[0] {
			break
		}
	}
	if err != nil {
		return nil, first, last, err
	}
	r.fields = r.fields[:0]
	text := string(r.buf)
	start := 0
	for _, end := range r.ends {
		r.fields = append(r.fields, text[start:end])
		start = end
	}
	return r.fields, first, last, nil
}

func (r *csvReader) next() (byte, error) {
	b, err := r.in.ReadByte()
	if err == nil {
		r.offset++
		if b == '\n' {
			r.line++
		}
	}
	return b, err
}

// parse reads one row into buf and ends.
func (r *csvReader) parse() error {
	var failed error
	inQuotes, closed, quoted, fieldStart := false, false, false, 0
	endField := func() {
		if r.trim && !quoted {
			r.trimField(fieldStart)
		}
		r.ends, r.quoted = append(r.ends, len(r.buf)), append(r.quoted, quoted)
		fieldStart, quoted, closed = len(r.buf), false, false
	}
	any := false
	for {
		b, err := r.next()
		if errors.Is(err, io.EOF) {
			switch {
			case !any:
				return io.EOF
			case inQuotes:
				return errQuoteOpen
			}
			endField()
			return failed
		}
		if err != nil {
			return err
		}
		any = true
		if len(r.buf) > maxRowBytes {
			failed = errRowLong
			r.buf, fieldStart = r.buf[:0], 0 // the rest is skipped
			r.ends = r.ends[:0]
		}
		switch {
		case inQuotes && b == r.escape && (r.escape != r.quote || r.peek() == r.quote):
			if b, err = r.next(); err != nil {
				return errQuoteOpen
			}
			r.buf = append(r.buf, b)
		case inQuotes && b == r.quote:
			inQuotes, closed = false, true
		case inQuotes:
			r.buf = append(r.buf, b)
		case b == '\n':
			if n := len(r.buf); !quoted && n > fieldStart && r.buf[n-1] == '\r' {
				r.buf = r.buf[:n-1]
			}
			endField()
			return failed
		case b == r.separator:
			endField()
		case closed && b != '\r' && !(r.trim && b == ' '):
			failed = errQuoteRest
		case closed:
		case b == r.quote && len(r.buf) == fieldStart && !quoted:
			inQuotes, quoted = true, true
		case r.trim && len(r.buf) == fieldStart && (b == ' ' || b == '\t'):
		case b == r.escape && r.escape != r.quote:
			if b, err = r.next(); err == nil {
				r.buf = append(r.buf, b)
			}
		default:
			r.buf = append(r.buf, b)
		}
	}
}

func (r *csvReader) peek() byte {
	b, err := r.in.Peek(1)
	if err != nil {
		return 0
	}
	return b[0]
}

// trimField drops white space from the end of the field that begins at start.
func (r *csvReader) trimField(start int) {
	for n := len(r.buf); n > start && (r.buf[n-1] == ' ' || r.buf[n-1] == '\t' || r.buf[n-1] == '\r'); n-- {
		r.buf = r.buf[:n-1]
	}
}
