package iotsql

import (
	"errors"
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	maxDepth  = 128 // of nested arrays and objects in a payload
	indexFrom = 24  // objects with more keys get a map to find duplicates
)

// ParseJSON reads one JSON document (RFC 8259). Objects keep the order of their
// keys; of a repeated key the last value counts, at the place of the first. Strings of
// the value share memory with s. whole makes numbers without a fraction Ints.
func ParseJSON(s string, whole bool) (Value, error) {
	if !utf8.ValidString(s) {
		return Value{}, errors.New("the text is not UTF-8")
	}
	p := jsonParser{s: s, whole: whole}
	v, err := p.value(0)
	if err != nil {
		return Value{}, err
	}
	if p.space(); p.i != len(s) {
		return Value{}, p.errorf("unexpected %q after the document", s[p.i])
	}
	return v, nil
}

type jsonParser struct {
	s     string
	i     int
	whole bool
}

func (p *jsonParser) errorf(format string, args ...any) error {
	return fmt.Errorf("JSON offset %d: %s", p.i, fmt.Sprintf(format, args...))
}

func (p *jsonParser) space() {
	for p.i < len(p.s) {
		switch p.s[p.i] {
		case ' ', '\t', '\n', '\r':
			p.i++
		default:
			return
		}
	}
}

// peek skips white space and returns the next byte, 0 at the end.
func (p *jsonParser) peek() byte {
	p.space()
	if p.i == len(p.s) {
		return 0
	}
	return p.s[p.i]
}

func (p *jsonParser) value(depth int) (Value, error) {
	if depth > maxDepth {
		return Value{}, p.errorf("more than %d levels", maxDepth)
	}
	switch c := p.peek(); {
	case c == '{':
		return p.object(depth)
	case c == '[':
		return p.array(depth)
	case c == '"':
		s, err := p.str()
		return Value{kind: Str, s: s}, err
	case c == '-' || c-'0' <= 9:
		return p.number()
	case c == 't':
		return boolean(true), p.word("true")
	case c == 'f':
		return boolean(false), p.word("false")
	case c == 'n':
		return null, p.word("null")
	case p.i == len(p.s):
		return Value{}, p.errorf("the document ends early")
	default:
		return Value{}, p.errorf("unexpected %q", c)
	}
}

func (p *jsonParser) word(w string) error {
	if len(p.s)-p.i < len(w) || p.s[p.i:p.i+len(w)] != w {
		return p.errorf("unexpected %q", p.s[p.i])
	}
	p.i += len(w)
	return nil
}

func (p *jsonParser) number() (Value, error) {
	from := p.i
	for p.i < len(p.s) {
		c := p.s[p.i]
		if c-'0' > 9 && c != '-' && c != '+' && c != '.' && c != 'e' && c != 'E' {
			break
		}
		p.i++
	}
	v, ok := parseNumber(p.s[from:p.i], jsonNumber)
	if !ok {
		bad := p.s[from:p.i]
		p.i = from
		return Value{}, p.errorf("%q is not a number", bad)
	}
	if p.whole {
		v = v.wholeAsInt()
	}
	return v, nil
}

func (p *jsonParser) object(depth int) (Value, error) {
	p.i++
	members := make([]Member, 0, 8)
	var index map[string]int
	for first := true; ; first = false {
		c := p.peek()
		if c == '}' && first {
			p.i++
			break
		}
		if c != '"' {
			return Value{}, p.errorf("want a key")
		}
		key, err := p.str()
		if err != nil {
			return Value{}, err
		}
		if p.peek() != ':' {
			return Value{}, p.errorf("want ':'")
		}
		p.i++
		v, err := p.value(depth + 1)
		if err != nil {
			return Value{}, err
		}
		members, index = put(members, index, key, v)
		if c = p.peek(); c == '}' {
			p.i++
			break
		}
		if c != ',' {
			return Value{}, p.errorf("want ',' or '}'")
		}
		p.i++
	}
	return object(members), nil
}

// put sets a key of an object under construction; index is made once there are
// many keys.
func put(members []Member, index map[string]int, key string, v Value) ([]Member, map[string]int) {
	if index == nil && len(members) > indexFrom {
		index = make(map[string]int, 2*len(members))
		for i := range members {
			index[members[i].Key] = i
		}
	}
	if index != nil {
		if i, ok := index[key]; ok {
			members[i].Value = v
			return members, index
		}
		index[key] = len(members)
		return append(members, Member{key, v}), index
	}
	for i := range members {
		if members[i].Key == key {
			members[i].Value = v
			return members, nil
		}
	}
	return append(members, Member{key, v}), nil
}

func (p *jsonParser) array(depth int) (Value, error) {
	p.i++
	var items []Value
	if p.peek() == ']' {
		p.i++
		return array(nil), nil
	}
	for {
		v, err := p.value(depth + 1)
		if err != nil {
			return Value{}, err
		}
		items = append(items, v)
		c := p.peek()
		if c == ']' {
			p.i++
			return array(items), nil
		}
		if c != ',' {
			return Value{}, p.errorf("want ',' or ']'")
		}
		p.i++
	}
}

func (p *jsonParser) str() (string, error) {
	p.i++
	from := p.i
	for p.i < len(p.s) {
		switch c := p.s[p.i]; {
		case c == '"':
			s := p.s[from:p.i]
			p.i++
			return s, nil
		case c == '\\':
			return p.escaped(from)
		case c < ' ':
			return "", p.errorf("a control character in a string")
		}
		p.i++
	}
	return "", p.errorf("a string does not end")
}

// escaped reads on a string that has an escape at p.i.
func (p *jsonParser) escaped(from int) (string, error) {
	b := append(make([]byte, 0, p.i-from+32), p.s[from:p.i]...)
	for p.i < len(p.s) {
		c := p.s[p.i]
		switch {
		case c == '"':
			p.i++
			return string(b), nil
		case c < ' ':
			return "", p.errorf("a control character in a string")
		case c != '\\':
			b = append(b, c)
			p.i++
			continue
		}
		if p.i+1 == len(p.s) {
			break
		}
		p.i += 2
		switch e := p.s[p.i-1]; e {
		case '"', '\\', '/':
			b = append(b, e)
		case 'b':
			b = append(b, '\b')
		case 'f':
			b = append(b, '\f')
		case 'n':
			b = append(b, '\n')
		case 'r':
			b = append(b, '\r')
		case 't':
			b = append(b, '\t')
		case 'u':
			r, err := p.hex4()
			if err != nil {
				return "", err
			}
			if utf16.IsSurrogate(r) {
				r = p.secondHalf(r)
			}
			b = utf8.AppendRune(b, r)
		default:
			return "", p.errorf(`\%c is not an escape`, e)
		}
	}
	return "", p.errorf("a string does not end")
}

func (p *jsonParser) hex4() (rune, error) {
	if len(p.s)-p.i < 4 {
		return 0, p.errorf(`\u without four digits`)
	}
	n, err := strconv.ParseUint(p.s[p.i:p.i+4], 16, 16)
	if err != nil {
		return 0, p.errorf(`\u without four digits`)
	}
	p.i += 4
	return rune(n), nil
}

// secondHalf joins a surrogate with the one that follows; alone it is U+FFFD.
func (p *jsonParser) secondHalf(first rune) rune {
	if len(p.s)-p.i >= 6 && p.s[p.i] == '\\' && p.s[p.i+1] == 'u' {
		at := p.i
		p.i += 2
		if second, err := p.hex4(); err == nil {
			if r := utf16.DecodeRune(first, second); r != utf8.RuneError {
				return r
			}
		}
		p.i = at
	}
	return utf8.RuneError
}

// errTooLong says that a JSON text passed its limit.
var errTooLong = errors.New("the JSON text is too long")

// AppendJSON appends v as compact JSON; Undefined members are left out,
// Undefined elements become null. It fails once more than limit bytes were added.
func (v Value) AppendJSON(dst []byte, limit int) ([]byte, error) {
	w := jsonAppender{dst: dst, limit: len(dst) + limit}
	w.value(v)
	if len(w.dst) > w.limit {
		return w.dst, errTooLong
	}
	return w.dst, nil
}

type jsonAppender struct {
	dst   []byte
	limit int
}

func (w *jsonAppender) value(v Value) {
	if len(w.dst) > w.limit {
		return
	}
	switch v.kind {
	case Undefined, Null:
		w.dst = append(w.dst, "null"...)
	case Bool:
		w.dst = strconv.AppendBool(w.dst, v.n != 0)
	case Num:
		w.dst = v.appendNum(w.dst)
	case Str:
		w.dst = appendQuoted(w.dst, v.s)
	case Arr:
		w.dst = append(w.dst, '[')
		for i, item := range v.Items() {
			if i > 0 {
				w.dst = append(w.dst, ',')
			}
			w.value(item)
		}
		w.dst = append(w.dst, ']')
	case Obj:
		w.dst = append(w.dst, '{')
		first := true
		for _, m := range v.Members() {
			if m.Value.kind == Undefined {
				continue
			}
			if !first {
				w.dst = append(w.dst, ',')
			}
			first = false
			w.dst = append(appendQuoted(w.dst, m.Key), ':')
			w.value(m.Value)
		}
		w.dst = append(w.dst, '}')
	}
}

const hexDigits = "0123456789abcdef"

// appendQuoted appends s, which is UTF-8, as a JSON string.
func appendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	from := 0
	for i := range len(s) {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[from:i]...)
		from = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	dst = append(dst, s[from:]...)
	return append(dst, '"')
}
