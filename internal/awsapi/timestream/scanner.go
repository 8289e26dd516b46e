package timestream

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/weir-db/weir/internal/awsapi/wire"
)

// maxDepth is how deeply values of unknown members may nest.
const maxDepth = 64

// scanner reads JSON from a body, once, front to back. Only strings may have other characters than
// ASCII, and whether these are UTF-8 is for the caller to see to, if there are any: see high.
// Strings without escapes are views into the body; others are built in scratch.
// The first error sticks: it moves the scanner to the end of the body, and all
// later reads return zero values.
type scanner struct {
	body    []byte
	at      int
	scratch []byte // unescaped strings, end to end; views into it stay valid as it grows
	high    uint64 // not 0 if a string that was read may have a byte beyond ASCII
	err     error
}

func (s *scanner) reset(body []byte) {
	s.body, s.at, s.scratch, s.high, s.err = body, 0, s.scratch[:0], 0, nil
}

// syntax notes that the body is not JSON at the scanner's place.
func (s *scanner) syntax(what string) {
	s.fail(wire.Serialization("The request body is not JSON: %s at offset %d.", what, s.at))
}

// mismatch notes that a member has another JSON type than the API's.
func (s *scanner) mismatch(member, want string) {
	s.fail(wire.Serialization("%s must be %s.", member, want))
}

func (s *scanner) fail(err error) {
	if s.err == nil {
		s.err = err
	}
	s.at = len(s.body)
}

// peek skips white space and returns the next byte, 0 at the end.
func (s *scanner) peek() byte {
	for s.at < len(s.body) {
		c := s.body[s.at]
		if c > ' ' {
			return c
		}
		if c != ' ' && c != '\n' && c != '\r' && c != '\t' {
			s.syntax("a control character")
			return 0
		}
		s.at++
	}
	return 0
}

// object calls member for each name of an object, in order; member must consume
// the value. It reports false, with nothing consumed, if the value is something else.
func (s *scanner) object(member func(name string)) bool {
	if s.peek() != '{' {
		return false
	}
	s.at++
	if s.peek() == '}' {
		s.at++
		return true
	}
	for s.err == nil {
		if s.peek() != '"' {
			s.syntax("no member name")
			return true
		}
		name := s.str()
		if s.peek() != ':' {
			s.syntax("no colon after a member name")
			return true
		}
		s.at++
		member(name)
		if !s.more('}') {
			return true
		}
	}
	return true
}

// array calls element for each element of an array; see object.
func (s *scanner) array(element func()) bool {
	if s.peek() != '[' {
		return false
	}
	s.at++
	if s.peek() == ']' {
		s.at++
		return true
	}
	for s.err == nil {
		element()
		if !s.more(']') {
			return true
		}
	}
	return true
}

// more consumes the comma or the end after a member or an element, and reports
// whether another one follows.
func (s *scanner) more(end byte) bool {
	switch s.peek() {
	case ',':
		s.at++
		return true
	case end:
		s.at++
	default:
		s.syntax("no comma and no end of a structure")
	}
	return false
}

// null consumes a null, if that is the value.
func (s *scanner) null() bool {
	if s.peek() != 'n' {
		return false
	}
	s.word("null")
	return true
}

func (s *scanner) word(w string) {
	if len(s.body)-s.at < len(w) || string(s.body[s.at:s.at+len(w)]) != w {
		s.syntax("an unknown word")
		return
	}
	s.at += len(w)
}

// Bytes of a word, for looking at eight characters at once.
const (
	ones   = 0x0101010101010101
	highs  = 0x8080808080808080
	quotes = ones * '"'
	slants = ones * '\\'
)

// special returns a mask whose lowest set bit is the high bit of the first byte
// of x that ends the plain part of a string: a quote, a backslash or a control
// character. Bits above the lowest may be wrong, since the subtractions borrow.
func special(x uint64) uint64 {
	q, b := x^quotes, x^slants
	return ((q-ones)&^q | (b-ones)&^b | (x-ones*' ')&^x) & highs
}

// str reads a string, whose quote is next.
func (s *scanner) str() string {
	start := s.at + 1
	i := start
	for i+8 <= len(s.body) {
		word := binary.LittleEndian.Uint64(s.body[i:])
		s.high |= word & highs
		if m := special(word); m != 0 {
			i += bits.TrailingZeros64(m) / 8
			if s.body[i] == '"' {
				s.at = i + 1
				return view(s.body[start:i])
			}
			return s.strSlow(start, i)
		}
		i += 8
	}
	return s.strSlow(start, i)
}

// strSlow reads on at i in a string that starts at start and is plain up to i.
func (s *scanner) strSlow(start, i int) string {
	for i < len(s.body) {
		s.high |= uint64(s.body[i] & 0x80)
		switch c := s.body[i]; {
		case c == '"':
			s.at = i + 1
			return view(s.body[start:i])
		case c == '\\':
			return s.unescape(start, i)
		case c < ' ':
			s.at = i
			s.syntax("a control character in a string")
			return ""
		}
		i++
	}
	s.at = i
	s.syntax("a string without end")
	return ""
}

// unescape reads a string that starts at start and has its first backslash at i.
func (s *scanner) unescape(start, i int) string {
	from := len(s.scratch)
	s.scratch = append(s.scratch, s.body[start:i]...)
	for i < len(s.body) {
		s.high |= uint64(s.body[i] & 0x80)
		switch c := s.body[i]; {
		case c == '"':
			s.at = i + 1
			return view(s.scratch[from:len(s.scratch):len(s.scratch)])
		case c < ' ':
			s.at = i
			s.syntax("a control character in a string")
			return ""
		case c != '\\':
			s.scratch = append(s.scratch, c)
			i++
		default:
			n := s.escape(s.body[i:])
			if n == 0 {
				s.at = i
				s.syntax("an unknown escape")
				return ""
			}
			i += n
		}
	}
	s.at = i
	s.syntax("a string without end")
	return ""
}

// escapes is what the one-letter escapes mean.
var escapes = [256]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// escape appends the character of the escape that b begins with to scratch and
// returns its length, 0 if it is none. Half a surrogate pair is U+FFFD.
func (s *scanner) escape(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	if c := escapes[b[1]]; c != 0 {
		s.scratch = append(s.scratch, c)
		return 2
	}
	r, ok := hex4(b)
	if !ok {
		return 0
	}
	if !utf16.IsSurrogate(r) {
		s.scratch = utf8.AppendRune(s.scratch, r)
		return 6
	}
	if low, ok := hex4(b[6:]); ok {
		if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
			s.scratch = utf8.AppendRune(s.scratch, pair)
			return 12
		}
	}
	s.scratch = utf8.AppendRune(s.scratch, utf8.RuneError)
	return 6
}

// hex4 reads \uXXXX.
func hex4(b []byte) (r rune, ok bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	for _, c := range b[2:6] {
		switch {
		case c-'0' <= 9:
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// number consumes a number and returns its text.
func (s *scanner) number() string {
	s.peek()
	start, i := s.at, s.at
	digits := func() bool {
		from := i
		for i < len(s.body) && s.body[i]-'0' <= 9 {
			i++
		}
		return i > from
	}
	is := func(set ...byte) bool {
		for _, c := range set {
			if i < len(s.body) && s.body[i] == c {
				i++
				return true
			}
		}
		return false
	}
	is('-')
	ok := is('0') || digits()
	if ok && is('.') {
		ok = digits()
	}
	if ok && is('e', 'E') {
		is('+', '-')
		ok = digits()
	}
	if !ok {
		s.syntax("no value")
		return ""
	}
	s.at = i
	return view(s.body[start:i])
}

// skip consumes any value.
func (s *scanner) skip(depth int) {
	if depth > maxDepth {
		s.fail(wire.Serialization("The request body is nested more than %d deep.", maxDepth))
		return
	}
	switch s.peek() {
	case '"':
		s.str()
	case '{':
		s.object(func(string) { s.skip(depth + 1) })
	case '[':
		s.array(func() { s.skip(depth + 1) })
	case 't':
		s.word("true")
	case 'f':
		s.word("false")
	case 'n':
		s.word("null")
	default:
		s.number()
	}
}

// end checks that nothing follows.
func (s *scanner) end() {
	if s.err == nil && s.peek() != 0 || s.err == nil && s.at < len(s.body) {
		s.syntax("something after the value")
	}
}
