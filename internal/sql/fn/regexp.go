package fn

import (
	"strings"

	"github.com/weir-db/weir/internal/vec"
)

// regexpFunctions is sql.md section 8.9.
func regexpFunctions() []Scalar {
	f := func(sig, text, example, result string, eval Kernel) Scalar {
		return Scalar{Signature: sig, Docs: Docs{"regular expression", text, example, result}, Eval: eval, noText: true}
	}
	r := &regexps{}
	return []Scalar{
		f("regexp_like(varchar, varchar) -> boolean", "Whether the pattern (Java syntax) occurs in the text.", `regexp_like('pump-7', '^pump-\d+$')`, "true", r.like),
		f("regexp_extract(varchar, varchar) -> varchar", "The first match; null if there is none.", `regexp_extract('pump-7', '\d+')`, "7", r.extract),
		f("regexp_extract(varchar, varchar, bigint) -> varchar", "A group of the first match; null if there is none.", `regexp_extract('pump-7', '(\w+)-(\d+)', 1)`, "pump", r.extract),
		f("regexp_extract_all(varchar, varchar) -> array(varchar)", "All matches.", `regexp_extract_all('a1b22', '\d+')`, "[1, 22]", r.extractAll),
		f("regexp_extract_all(varchar, varchar, bigint) -> array(varchar)", "A group of all matches.", `regexp_extract_all('a1b22', '([a-z])\d+', 1)`, "[a, b]", r.extractAll),
		f("regexp_replace(varchar, varchar) -> varchar", "The text without any match.", `regexp_replace('a1b22', '\d+')`, "ab", r.replace),
		f("regexp_replace(varchar, varchar, varchar) -> varchar", "The text with every match replaced; $1 and ${name} stand for groups.", `regexp_replace('a1b22', '([a-z])(\d+)', '$2$1')`, "1a22b", r.replace),
		f("regexp_replace(varchar, varchar, function(array(varchar), varchar)) -> varchar", "The text with every match replaced by the lambda's result for its groups.", `regexp_replace('new pump', '(\w)(\w*)', g -> upper(g[1]) || g[2])`, "New Pump", r.replaceBy),
		f("regexp_split(varchar, varchar) -> array(varchar)", "The parts between the matches.", `regexp_split('a1b22c', '\d+')`, "[a, b, c]", r.split),
	}
}

// regexps is the kernels, which share compiled patterns.
type regexps struct{ cache patternCache }

// source gives each row its text and compiled pattern.
type source struct {
	text, patterns col[string]
	memo           memo[string, *javaPattern]
	cache          *patternCache
	call           *Context
}

func (r *regexps) source(c *Context, args []*vec.Vector) *source {
	return &source{call: c, text: colOf[string](args[0]), patterns: colOf[string](args[1]), cache: &r.cache}
}

func (s *source) at(i int) (string, *javaPattern, error) {
	if err := s.call.interrupted(); err != nil { // a search may take long
		return "", nil, err
	}
	p, err := s.memo.get(s.patterns.at(i), s.cache.get)
	return s.text.at(i), p, err
}

func (r *regexps) like(c *Context, args []*vec.Vector, n int) (*vec.Vector, error) {
	src := r.source(c, args)
	return collect(c, n, func(i int) (bool, bool, error) {
		s, p, err := src.at(i)
		if err != nil {
			return false, false, err
		}
		ok, err := p.matches(s)
		return ok, true, err
	})
}

// groupAt returns the group that row i asks for, 0 without a third argument.
func groupAt(args []*vec.Vector, i int, p *javaPattern) (int, error) {
	if len(args) < 3 {
		return 0, nil
	}
	switch g := args[2].Int(i); {
	case g < 0:
		return 0, fail("Group cannot be negative")
	case g > int64(p.groups):
		return 0, fail("Pattern has %d groups. Cannot access group %d", p.groups, g)
	default:
		return int(g), nil
	}
}

func (r *regexps) extract(c *Context, args []*vec.Vector, n int) (*vec.Vector, error) {
	src := r.source(c, args)
	return collect(c, n, func(i int) (string, bool, error) {
		s, p, err := src.at(i)
		if err != nil {
			return "", false, err
		}
		g, err := groupAt(args, i, p)
		if err != nil {
			return "", false, err
		}
		m, err := p.first(s)
		if err != nil || m == nil || m[2*g] < 0 {
			return "", false, err
		}
		return s[m[2*g]:m[2*g+1]], true, nil
	})
}

func (r *regexps) extractAll(c *Context, args []*vec.Vector, n int) (*vec.Vector, error) {
	src := r.source(c, args)
	out := newStringLists(n)
	for i := range n {
		s, p, err := src.at(i)
		if err != nil {
			return nil, err
		}
		g, err := groupAt(args, i, p)
		if err != nil {
			return nil, err
		}
		found, err := p.all(s)
		if err != nil {
			return nil, err
		}
		for _, m := range found {
			if m[2*g] < 0 {
				out.addNull()
			} else {
				out.add(s[m[2*g]:m[2*g+1]])
			}
		}
		out.row()
	}
	return out.vector(c.Return), nil
}

func (r *regexps) split(c *Context, args []*vec.Vector, n int) (*vec.Vector, error) {
	src := r.source(c, args)
	out := newStringLists(n)
	for i := range n {
		s, p, err := src.at(i)
		if err != nil {
			return nil, err
		}
		found, err := p.all(s)
		if err != nil {
			return nil, err
		}
		at := 0
		for _, m := range found {
			out.add(s[at:m[0]])
			at = m[1]
		}
		out.add(s[at:])
		out.row()
	}
	return out.vector(c.Return), nil
}

// piece is a part of a replacement: text, or a group.
type piece struct {
	text  string
	group int // -1 for text
}

// parseReplacement reads $n, ${name} and backslash escapes.
func parseReplacement(text string, p *javaPattern) ([]piece, error) {
	var out []piece
	var lit strings.Builder
	group := func(n int) {
		out = append(out, piece{lit.String(), -1}, piece{"", n})
		lit.Reset()
	}
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\':
			i++
			if i == len(text) {
				return nil, fail("character to be escaped is missing")
			}
			lit.WriteByte(text[i])
		case c != '$':
			lit.WriteByte(c)
		case strings.HasPrefix(text[i:], "${"):
			end := strings.IndexByte(text[i:], '}')
			if end < 0 {
				return nil, fail("named capturing group is missing trailing '}'")
			}
			name := text[i+2 : i+end]
			n, ok := p.names[name]
			if !ok {
				return nil, fail("No group with name {%s}", name)
			}
			group(n)
			i += end
		default:
			n, digits, err := groupNumber(text[i+1:], p.groups)
			if err != nil {
				return nil, err
			}
			group(n)
			i += digits
		}
	}
	return append(out, piece{lit.String(), -1}), nil
}

// groupNumber reads the longest number of a group that exists.
func groupNumber(text string, groups int) (n, digits int, err error) {
	if text == "" || !isDigit(text[0]) {
		return 0, 0, fail("Illegal group reference")
	}
	if n = int(text[0] - '0'); n > groups {
		return 0, 0, fail("No group %d", n)
	}
	digits = 1
	for digits < len(text) && isDigit(text[digits]) && n*10+int(text[digits]-'0') <= groups {
		n = n*10 + int(text[digits]-'0')
		digits++
	}
	return n, digits, nil
}

func (r *regexps) replace(c *Context, args []*vec.Vector, n int) (*vec.Vector, error) {
	type key struct {
		p    *javaPattern
		text string
	}
	src := r.source(c, args)
	with := col[string]{vals: []string{""}}
	if len(args) > 2 {
		with = colOf[string](args[2])
	}
	var m memo[key, []piece]
	return collect(c, n, func(i int) (string, bool, error) {
		s, p, err := src.at(i)
		if err != nil {
			return "", false, err
		}
		pieces, err := m.get(key{p, with.at(i)}, func(k key) ([]piece, error) { return parseReplacement(k.text, k.p) })
		if err != nil {
			return "", false, err
		}
		found, err := p.all(s)
		if err != nil || found == nil {
			return s, true, err
		}
		s, err = replaceMatches(s, found, pieces)
		return s, err == nil, err
	})
}

func replaceMatches(s string, found [][]int, pieces []piece) (string, error) {
	var b strings.Builder
	at := 0
	for _, m := range found {
		b.WriteString(s[at:m[0]])
		for _, p := range pieces {
			if p.group < 0 {
				b.WriteString(p.text)
			} else if m[2*p.group] >= 0 {
				b.WriteString(s[m[2*p.group]:m[2*p.group+1]])
			}
			if b.Len() > maxTextBytes {
				return "", errTextTooLong()
			}
		}
		at = m[1]
	}
	b.WriteString(s[at:])
	return b.String(), nil
}

// replaceBy calls the lambda once for the matches of all rows.
func (r *regexps) replaceBy(c *Context, args []*vec.Vector, n int) (*vec.Vector, error) {
	src := r.source(c, args)
	groups := newStringLists(n)
	var owner []int32
	matches := make([][][]int, n)
	for i := range n {
		s, p, err := src.at(i)
		if err != nil {
			return nil, err
		}
		if matches[i], err = p.all(s); err != nil {
			return nil, err
		}
		for _, m := range matches[i] {
			for g := 1; g <= p.groups; g++ {
				if m[2*g] < 0 {
					groups.addNull()
				} else {
					groups.add(s[m[2*g]:m[2*g+1]])
				}
			}
			groups.row()
			owner = append(owner, int32(i))
		}
	}
	with, err := c.Lambdas[2]([]*vec.Vector{groups.vector(vec.ArrayOf(vec.VarcharType))}, owner)
	if err != nil {
		return nil, err
	}
	k := 0
	return collect(c, n, func(i int) (string, bool, error) {
		s := src.text.at(i)
		var b strings.Builder
		at, ok := 0, true
		for _, m := range matches[i] {
			b.WriteString(s[at:m[0]])
			if with.IsNull(k) {
				ok = false
			} else {
				b.WriteString(with.Str(k))
			}
			if b.Len() > maxTextBytes {
				return "", false, errTextTooLong()
			}
			at = m[1]
			k++
		}
		b.WriteString(s[at:])
		return b.String(), ok, nil
	})
}
