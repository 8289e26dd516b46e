package fn

import (
	"strings"
	"unicode/utf8"

	"github.com/weir-db/weir/internal/vec"
)

// patterns is LIKE.
func patterns() []Scalar {
	return []Scalar{
		{Signature: "like(varchar, varchar) -> boolean", Eval: like, noText: true,
			Docs: Docs{"operator", "Whether the whole text matches: % stands for any run, _ for one character.", "'pump-7' LIKE 'pump%'", "true"}},
		{Signature: "like(varchar, varchar, varchar) -> boolean", Eval: like, noText: true,
			Docs: Docs{"operator", "LIKE with an escape character.", `'5%' LIKE '_!%' ESCAPE '!'`, "true"}},
	}
}

// LikePattern is a compiled LIKE pattern. It is safe for concurrent use.
type LikePattern struct {
	parts []likePart
	// Most patterns are text before or after one %, or both: prefix%suffix.
	affixes        bool
	prefix, suffix string
}

// likePart is a run of literal text after optional wildcards.
type likePart struct {
	any  bool // % before
	skip int  // number of _ before
	text string
}

// CompileLike compiles a pattern. escape is empty or one character, which must
// precede %, _ or itself.
func CompileLike(pattern, escape string) (*LikePattern, error) {
	if escape != "" && utf8.RuneCountInString(escape) != 1 {
		return nil, fail("Escape string must be a single character")
	}
	var parts []likePart
	var cur likePart
	var text strings.Builder
	flush := func() {
		if text.Len() > 0 {
			cur.text = text.String()
			parts = append(parts, cur)
			cur = likePart{}
			text.Reset()
		}
	}
	for i := 0; i < len(pattern); {
		r, size := utf8.DecodeRuneInString(pattern[i:])
		lit := pattern[i : i+size]
		i += size
		switch {
		case lit == escape:
			if i == len(pattern) || pattern[i] != '%' && pattern[i] != '_' && !strings.HasPrefix(pattern[i:], escape) {
				return nil, fail("Escape character must be followed by '%%', '_' or the escape character itself")
			}
			_, size = utf8.DecodeRuneInString(pattern[i:])
			text.WriteString(pattern[i : i+size])
			i += size
		case r == '%':
			flush()
			cur.any = true
		case r == '_':
			flush()
			cur.skip++
		default:
			text.WriteString(lit)
		}
	}
	flush()
	if cur.any || cur.skip > 0 || len(parts) == 0 {
		parts = append(parts, cur)
	}
	p := &LikePattern{parts: parts}
	p.findAffixes()
	return p, nil
}

func (p *LikePattern) findAffixes() {
	first, last := likePart{}, p.parts[len(p.parts)-1]
	switch len(p.parts) {
	case 1:
	case 2:
		first = p.parts[0]
	default:
		return
	}
	if last.any && !first.any && first.skip == 0 && last.skip == 0 {
		p.affixes, p.prefix, p.suffix = true, first.text, last.text
	}
}

// Match reports whether the whole of s matches.
func (p *LikePattern) Match(s string) bool {
	if p.affixes {
		return len(s) >= len(p.prefix)+len(p.suffix) && s[:len(p.prefix)] == p.prefix && s[len(s)-len(p.suffix):] == p.suffix
	}
	// Greedy with one point of return: after the last % met, the rest may start later.
	at, part := 0, 0
	backPart, backAt := -1, 0
	for {
		if part == len(p.parts) {
			if at == len(s) {
				return true
			}
		} else if next, ok := p.parts[part].matchAt(s, at); ok {
			if p.parts[part].any {
				backPart, backAt = part, at
			}
			if p.parts[part].any && part == len(p.parts)-1 {
				return p.parts[part].matchEnd(s, at)
			}
			at = next
			part++
			continue
		} else if p.parts[part].any {
			return false // the text occurs nowhere further on
		}
		if backPart < 0 || backAt >= len(s) {
			return false
		}
		_, size := utf8.DecodeRuneInString(s[backAt:])
		part, at = backPart, backAt+size
	}
}

// matchAt matches the part at offset at, at the first place if it starts with %.
func (q likePart) matchAt(s string, at int) (next int, ok bool) {
	from, ok := skipRunes(s, at, q.skip)
	if !ok {
		return 0, false
	}
	if !q.any {
		return from + len(q.text), strings.HasPrefix(s[from:], q.text)
	}
	i := strings.Index(s[from:], q.text)
	return from + i + len(q.text), i >= 0
}

// matchEnd matches a last part that starts with %: its text must end s.
func (q likePart) matchEnd(s string, at int) bool {
	from, ok := skipRunes(s, at, q.skip)
	return ok && len(s)-from >= len(q.text) && strings.HasSuffix(s, q.text)
}

func skipRunes(s string, at, n int) (int, bool) {
	for range n {
		if at >= len(s) {
			return 0, false
		}
		_, size := utf8.DecodeRuneInString(s[at:])
		at += size
	}
	return at, true
}

func like(c *Context, args []*vec.Vector, n int) (*vec.Vector, error) {
	type key struct{ pattern, escape string }
	s, pat := colOf[string](args[0]), colOf[string](args[1])
	esc := col[string]{vals: []string{""}}
	if len(args) == 3 {
		if esc = colOf[string](args[2]); esc.at(0) == "" {
			return nil, fail("Escape string must be a single character")
		}
	}
	var m memo[key, *LikePattern]
	out := make([]bool, n)
	if pat.mask == 0 && esc.mask == 0 || pat.mask == 0 && len(args) == 2 {
		p, err := CompileLike(pat.at(0), esc.at(0))
		if err != nil {
			return nil, err
		}
		for i := range out {
			out[i] = p.Match(s.at(i))
		}
		return vec.OfBools(out, nil), nil
	}
	for i := range out {
		p, err := m.get(key{pat.at(i), esc.at(i)}, func(k key) (*LikePattern, error) { return CompileLike(k.pattern, k.escape) })
		if err != nil {
			return nil, err
		}
		out[i] = p.Match(s.at(i))
	}
	return vec.OfBools(out, nil), nil
}
