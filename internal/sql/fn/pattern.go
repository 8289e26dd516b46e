package fn

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/dlclark/regexp2"

	"github.com/weir-db/weir/internal/fault"
)

// pattern syntax is Java's (java.util.regex.Pattern). A pattern is rewritten into what
// the linear-time engine of package regexp takes; what that cannot do (look-around,
// back-references, atomic groups, possessive quantifiers, the x flag) runs on a backtracking
// engine, which gives up after matchTimeout.
//
// Named groups become plain ones, so that numbers count from the left as in Java.

// matchTimeout bounds one search of the backtracking engine, and all searches in one text together.
const matchTimeout = time.Second

// javaPattern is a compiled pattern, safe for concurrent use.
type javaPattern struct {
	source string
	groups int
	names  map[string]int
	fast   *regexp.Regexp // nil if the pattern needs backtracking
	empty  bool           // may match an empty text: the engines differ in what follows
	dollar bool           // has a $, which in Java may stand before a last line break
	back   func() (*regexp2.Regexp, error)
}

// badPattern is a mistake in the statement rather than in its data, and of that kind, also when it
// shows while running: the Prometheus connector depends on the exception that comes of it
// (clients.md, section 6.6).
func badPattern(format string, args ...any) error { return fault.New(fault.Invalid, format, args...) }

func compilePattern(source string) (*javaPattern, error) {
	t := translator{in: source}
	if err := t.run(); err != nil {
		return nil, err
	}
	p := &javaPattern{source: source, groups: len(t.groups), names: t.names, dollar: t.dollar}
	p.back = sync.OnceValues(func() (*regexp2.Regexp, error) {
		re, err := regexp2.Compile(t.text(true), regexp2.RE2)
		if err != nil {
			return nil, badPattern("Invalid regular expression '%s': %s", source, err.Error())
		}
		re.MatchTimeout = matchTimeout
		return re, nil
	})
	if !t.backtrack {
		if re, err := regexp.Compile(t.text(false)); err == nil {
			p.fast = re
			p.empty = matchesEmpty(t.text(false))
			return p, nil
		}
	}
	_, err := p.back()
	return p, err
}

// matchesEmpty reports whether the pattern can match without taking a character.
func matchesEmpty(pattern string) bool {
	re, err := syntax.Parse(pattern, syntax.Perl)
	return err != nil || minLength(re) == 0
}

func minLength(re *syntax.Regexp) int {
	switch re.Op {
	case syntax.OpLiteral, syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return 1
	case syntax.OpCapture, syntax.OpPlus:
		return minLength(re.Sub[0])
	case syntax.OpRepeat:
		if re.Min > 0 {
			return minLength(re.Sub[0])
		}
	case syntax.OpConcat:
		longest := 0
		for _, sub := range re.Sub {
			longest = max(longest, minLength(sub))
		}
		return longest
	case syntax.OpAlternate:
		least := 1
		for _, sub := range re.Sub {
			least = min(least, minLength(sub))
		}
		return least
	}
	return 0
}

// useFast says whether the linear engine gives Java's answer for s; all tells that
// more than the first match counts.
func (p *javaPattern) useFast(s string, all bool) bool {
	return p.fast != nil && !(all && p.empty) && !(p.dollar && strings.HasSuffix(s, "\n"))
}

func (p *javaPattern) matches(s string) (bool, error) {
	if p.useFast(s, false) {
		return p.fast.MatchString(s), nil
	}
	re, err := p.back()
	if err != nil {
		return false, err
	}
	ok, err := re.MatchString(s)
	return ok, timeoutError(err)
}

func timeoutError(err error) error {
	if err == nil {
		return nil
	}
	return errTooLong()
}

func errTooLong() error {
	return fail("Regular expression matching took longer than %s", matchTimeout)
}

// first returns the first match as byte offsets by group (-1 where unused), or nil.
func (p *javaPattern) first(s string) ([]int, error) {
	if p.useFast(s, false) {
		return p.fast.FindStringSubmatchIndex(s), nil
	}
	found, err := p.backtrack(s, 1)
	if len(found) == 0 {
		return nil, err
	}
	return found[0], err
}

// all returns all matches, as first does.
func (p *javaPattern) all(s string) ([][]int, error) {
	if p.useFast(s, true) {
		return p.fast.FindAllStringSubmatchIndex(s, -1), nil
	}
	return p.backtrack(s, -1)
}

func (p *javaPattern) backtrack(s string, limit int) ([][]int, error) {
	re, err := p.back()
	if err != nil {
		return nil, err
	}
	at := runeOffsets(s)
	var out [][]int
	began := time.Now()
	m, err := re.FindStringMatch(s)
	for m != nil && err == nil && limit != 0 {
		if time.Since(began) > matchTimeout {
			return nil, errTooLong()
		}
		index := make([]int, 0, 2*(p.groups+1))
		for _, g := range m.Groups() {
			if len(g.Captures) == 0 {
				index = append(index, -1, -1)
				continue
			}
			index = append(index, at(g.Index), at(g.Index+g.Length))
		}
		out = append(out, index)
		limit--
		m, err = re.FindNextMatch(m)
	}
	return out, timeoutError(err)
}

// runeOffsets returns the function from character to byte offsets of s.
func runeOffsets(s string) func(i int) int {
	ascii := true
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			ascii = false
			break
		}
	}
	if ascii {
		return func(i int) int { return i }
	}
	offsets := make([]int, 0, len(s)+1)
	for i := range s {
		offsets = append(offsets, i)
	}
	offsets = append(offsets, len(s))
	return func(i int) int { return offsets[i] }
}

// translator rewrites a Java pattern for both engines.
type translator struct {
	in        string
	at        int
	out       strings.Builder
	atom      int   // where in out the last atom starts, -1 if there is none
	open      []int // where in out the open groups start
	groups    []int // capture groups so far
	names     map[string]int
	backtrack bool
	dollar    bool // out has $, as a zero byte: see text
	multiline bool
}

// text returns the translation. Java's $ stands before a last line break too; the linear
// engine's does not, and is not used where that matters.
func (t *translator) text(backtracking bool) string {
	dollar := "$"
	if backtracking && !t.multiline {
		dollar = `(?=\n?\z)`
	}
	return strings.ReplaceAll(t.out.String(), "\x00", dollar)
}

func (t *translator) invalid(what string) error {
	return badPattern("Invalid regular expression '%s': %s near index %d", t.in, what, t.at)
}

func (t *translator) run() error {
	t.atom, t.names = -1, map[string]int{}
	for t.at < len(t.in) {
		if err := t.step(); err != nil {
			return err
		}
	}
	if len(t.open) > 0 {
		return t.invalid("Unclosed group")
	}
	return nil
}

func (t *translator) step() error {
	c := t.in[t.at]
	switch c {
	case '\\':
		t.atom = t.out.Len()
		return t.escape(false)
	case '[':
		t.atom = t.out.Len()
		return t.class()
	case '(':
		return t.group()
	case ')':
		if len(t.open) == 0 {
			return t.invalid("Unmatched closing ')'")
		}
		t.atom = t.open[len(t.open)-1]
		t.open = t.open[:len(t.open)-1]
		t.copy(1)
	case '*', '+', '?':
		t.copy(1)
		t.possessive()
	case '{':
		end := strings.IndexByte(t.in[t.at:], '}')
		if end < 0 {
			return t.invalid("Unclosed counted closure")
		}
		t.copy(end + 1)
		t.possessive()
	case '|':
		t.copy(1)
		t.atom = -1
	case '$':
		t.dollar = true
		t.atom = t.out.Len()
		t.out.WriteByte(0)
		t.at++
	case 0:
		t.atom = t.out.Len()
		t.literal(1, 0)
	default:
		t.atom = t.out.Len()
		_, size := utf8.DecodeRuneInString(t.in[t.at:])
		t.copy(size)
	}
	return nil
}

// copy passes n bytes on.
func (t *translator) copy(n int) {
	t.out.WriteString(t.in[t.at : t.at+n])
	t.at += n
}

// possessive turns X*+ into the atomic group (?>X*), after the quantifier, and passes the
// ? of a lazy one on.
func (t *translator) possessive() {
	if t.at < len(t.in) && t.in[t.at] == '?' {
		t.copy(1)
		return
	}
	if t.at >= len(t.in) || t.in[t.at] != '+' || t.atom < 0 {
		return
	}
	t.at++
	t.backtrack = true
	all := t.out.String()
	t.out.Reset()
	t.out.WriteString(all[:t.atom] + "(?>" + all[t.atom:] + ")")
}

func (t *translator) group() error {
	t.open = append(t.open, t.out.Len())
	t.atom = -1
	rest := t.in[t.at:]
	switch {
	case !strings.HasPrefix(rest, "(?"):
		t.groups = append(t.groups, t.at)
		t.copy(1)
		return nil
	case strings.HasPrefix(rest, "(?:"):
		t.copy(3)
		return nil
	case strings.HasPrefix(rest, "(?<=") || strings.HasPrefix(rest, "(?<!"):
		t.backtrack = true
		t.copy(4)
		return nil
	case strings.HasPrefix(rest, "(?=") || strings.HasPrefix(rest, "(?!") || strings.HasPrefix(rest, "(?>"):
		t.backtrack = true
		t.copy(3)
		return nil
	case strings.HasPrefix(rest, "(?<"):
		return t.namedGroup()
	}
	return t.flags()
}

func (t *translator) namedGroup() error {
	t.at += len("(?<")
	end := strings.IndexByte(t.in[t.at:], '>')
	if end <= 0 {
		return t.invalid("named capturing group is missing trailing '>'")
	}
	name := t.in[t.at : t.at+end]
	if _, twice := t.names[name]; twice {
		return t.invalid("Named capturing group <" + name + "> is already defined")
	}
	t.at += end + 1
	t.groups = append(t.groups, t.at)
	t.names[name] = len(t.groups)
	t.out.WriteByte('(')
	return nil
}

// flags passes (?ims-ims) and (?ims-ims:X) on.
func (t *translator) flags() error {
	end := strings.IndexAny(t.in[t.at:], ":)")
	if end < 0 {
		return t.invalid("Unknown inline modifier")
	}
	kept := ""
	for _, f := range t.in[t.at+2 : t.at+end] {
		switch f {
		case 'i', 'm', 's', '-':
			t.multiline = t.multiline || f == 'm'
			kept += string(f)
		case 'x':
			t.backtrack = true
			kept += string(f)
		case 'u', 'd': // letters compare by Unicode in both engines; line ends are \n alone
		default:
			return t.invalid("Unknown inline modifier")
		}
	}
	closed := t.in[t.at+end] == ')'
	t.at += end + 1
	switch {
	case !closed:
		t.out.WriteString("(?" + kept + ":")
		return nil
	case kept != "" && kept != "-":
		t.out.WriteString("(?" + kept + ")")
	}
	t.open = t.open[:len(t.open)-1]
	return nil
}

// posix is Java's named classes of ASCII, as ranges.
var posix = map[string]string{
	"Lower": "a-z", "Upper": "A-Z", "ASCII": `\x00-\x7F`, "Alpha": "a-zA-Z", "Digit": "0-9", "Alnum": "a-zA-Z0-9",
	"Punct": `!-/:-@\[-` + "`" + `{-~`, "Graph": "!-~", "Print": " -~", "Blank": ` \t`, "Cntrl": `\x00-\x1F\x7F`,
	"XDigit": "0-9a-fA-F", "Space": `\t\n\x0B\f\r `,
}

// properties is Java's other names of properties that the engines call differently.
var properties = map[string]string{
	"IsAlphabetic": `\p{L}`, "IsLetter": `\p{L}`, "IsDigit": `\p{Nd}`, "IsUppercase": `\p{Lu}`, "IsLowercase": `\p{Ll}`, "IsPunctuation": `\p{P}`,
	"IsWhite_Space": `\s\x0B\x{85}\p{Z}`, "javaLowerCase": `\p{Ll}`, "javaUpperCase": `\p{Lu}`, "javaWhitespace": `\s\x0B\p{Z}`,
	"IsLatin": `\p{Latin}`, "IsGreek": `\p{Greek}`, "IsCyrillic": `\p{Cyrillic}`, "IsHan": `\p{Han}`,
}

// escape translates what a backslash starts; inClass says that it stands in brackets.
func (t *translator) escape(inClass bool) error {
	if t.at+1 >= len(t.in) {
		return t.invalid("Unexpected internal error")
	}
	c := t.in[t.at+1]
	set := func(members string) {
		t.at += 2
		if !inClass {
			members = "[" + members + "]"
		}
		t.out.WriteString(members)
	}
	switch c {
	case 'd', 'D', 'w', 'W', 'S', 't', 'n', 'r', 'f', 'a':
		t.copy(2)
	case 's':
		set(`\s\x0B`)
	case 'h':
		set(` \t\xA0` + "\u1680\u180e\u2000-\u200a\u202f\u205f\u3000")
	case 'v':
		set(`\n\x0B\f\r` + "\u0085\u2028\u2029")
	case 'e':
		t.literal(2, 0x1b)
	case 'p', 'P':
		return t.property(inClass)
	case 'Q':
		return t.quoted()
	case 'u', 'x', '0', 'c':
		return t.codepoint()
	default:
		if inClass && c >= '1' && c <= '9' || c < utf8.RuneSelf && isLetter(c) && (inClass || strings.IndexByte("bBAzZRk", c) < 0) {
			return t.invalid("Illegal/unsupported escape sequence")
		}
		if !inClass {
			return t.outside(c)
		}
		t.quote()
	}
	return nil
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

// quote passes an escaped character on that means itself.
func (t *translator) quote() {
	r, size := utf8.DecodeRuneInString(t.in[t.at+1:])
	t.literal(1+size, r)
}

// literal writes r for n bytes of input.
func (t *translator) literal(n int, r rune) {
	t.at += n
	if r < utf8.RuneSelf && !isLetter(byte(r)) && !isDigit(byte(r)) {
		fmt.Fprintf(&t.out, `\x%02X`, r)
		return
	}
	t.out.WriteRune(r)
}

// outside translates the escapes that only exist outside brackets.
func (t *translator) outside(c byte) error {
	switch {
	case c == 'Z':
		t.backtrack = true
		t.out.WriteString(`(?=\n?\z)`)
		t.at += 2
	case c == 'R':
		t.out.WriteString(`(?:\r\n|[\n\x0B\f\r` + "\u0085\u2028\u2029])")
		t.at += 2
	case c == 'k':
		end := strings.IndexByte(t.in[t.at:], '>')
		if end < 4 || t.in[t.at+2] != '<' {
			return t.invalid(`\k is not followed by '<' for named capturing group`)
		}
		n, ok := t.names[t.in[t.at+3:t.at+end]]
		if !ok {
			return t.invalid("named capturing group is not defined")
		}
		t.at += end + 1
		t.reference(n)
	case c >= '1' && c <= '9':
		t.backReference()
	case isLetter(c):
		t.copy(2)
	default:
		t.quote()
	}
	return nil
}

// backReference takes as many digits as there are groups for.
func (t *translator) backReference() {
	t.at++
	n := int(t.in[t.at] - '0')
	for t.at++; t.at < len(t.in) && isDigit(t.in[t.at]); t.at++ {
		more := n*10 + int(t.in[t.at]-'0')
		if more > len(t.groups) {
			break
		}
		n = more
	}
	t.reference(n)
}

// reference writes a back-reference; one to a group that does not exist never matches.
func (t *translator) reference(n int) {
	t.backtrack = true
	if n > len(t.groups) {
		t.out.WriteString("(?!)")
		return
	}
	// A group, so that digits after it do not join the number.
	t.out.WriteString(`(?:\` + strconv.Itoa(n) + `)`)
}

func (t *translator) quoted() error {
	t.at += 2
	text, _, _ := strings.Cut(t.in[t.at:], `\E`)
	for _, r := range text {
		t.atom = t.out.Len()
		t.literal(0, r)
	}
	t.at = min(t.at+len(text)+2, len(t.in))
	return nil
}

// codepoint translates \uhhhh, \xhh, \x{h…}, \0ooo and \cX.
func (t *translator) codepoint() error {
	rest := t.in[t.at+2:]
	digits, skip, base := "", 0, 16
	switch c := t.in[t.at+1]; {
	case c == 'c' && rest != "":
		t.literal(3, rune(rest[0]^64))
		return nil
	case c == 'u' && len(rest) >= 4:
		digits = rest[:4]
	case c == 'x' && strings.HasPrefix(rest, "{") && strings.IndexByte(rest, '}') > 0:
		digits, skip = rest[1:strings.IndexByte(rest, '}')], 2
	case c == 'x' && len(rest) >= 2:
		digits = rest[:2]
	case c == '0':
		for len(digits) < 3 && len(digits) < len(rest) && rest[len(digits)] >= '0' && rest[len(digits)] <= '7' {
			digits = rest[:len(digits)+1]
		}
		base = 8
	}
	n, err := strconv.ParseUint(digits, base, 21)
	if err != nil || n > utf8.MaxRune {
		return t.invalid("Illegal escape sequence")
	}
	t.literal(2+len(digits)+skip, rune(n))
	return nil
}

// property translates \p{Name} and \pL, and \P.
func (t *translator) property(inClass bool) error {
	negated := t.in[t.at+1] == 'P'
	rest := t.in[t.at+2:]
	end := 1
	if strings.HasPrefix(rest, "{") {
		end = strings.IndexByte(rest, '}') + 1
	}
	if end <= 0 || end > len(rest) {
		return t.invalid("Unclosed character family")
	}
	name := strings.Trim(rest[:end], "{}")
	members, ok := posix[name]
	if !ok {
		members, ok = properties[name]
	}
	t.at += 2 + end
	switch {
	case !ok:
		t.out.WriteString(`\` + map[bool]string{false: "p", true: "P"}[negated] + "{" + strings.TrimPrefix(name, "Is") + "}")
	case inClass && negated && strings.HasPrefix(members, `\p{`) && strings.Count(members, `\`) == 1:
		t.out.WriteString(`\P` + members[2:])
	case inClass && negated:
		return t.invalid("a negated character family inside brackets is not supported")
	case inClass:
		t.out.WriteString(members)
	case negated:
		t.out.WriteString("[^" + members + "]")
	default:
		t.out.WriteString("[" + members + "]")
	}
	return nil
}

// class translates […]. Nested brackets are unions and are opened; intersections are
// refused, for neither engine has them.
func (t *translator) class() error {
	t.copy(1)
	if t.at < len(t.in) && t.in[t.at] == '^' {
		t.copy(1)
	}
	depth, first := 1, true
	for ; t.at < len(t.in); first = false {
		switch c := t.in[t.at]; {
		case c == '\\':
			if err := t.escape(true); err != nil {
				return err
			}
		case c == ']' && !first:
			depth--
			if depth == 0 {
				t.copy(1)
				return nil
			}
			t.at++
		case c == ']':
			t.quoteIn(']')
		case c == '[' && strings.HasPrefix(t.in[t.at:], "[^"):
			return t.invalid("a negated character class inside brackets is not supported")
		case c == '[':
			depth++
			t.at++
		case c == 0:
			t.literal(1, 0)
		case strings.HasPrefix(t.in[t.at:], "&&"):
			return t.invalid("intersections of character classes are not supported")
		default:
			_, size := utf8.DecodeRuneInString(t.in[t.at:])
			t.copy(size)
		}
	}
	return t.invalid("Unclosed character class")
}

func (t *translator) quoteIn(c byte) {
	t.out.WriteString(`\` + string(c))
	t.at++
}

// patternCache keeps the compiled patterns of a registry; most queries use a few.
type patternCache struct {
	mu    sync.Mutex // guards the map
	byKey map[string]*javaPattern
}

// maxPatterns bounds the cache; when it is full it starts over.
const maxPatterns = 256

func (c *patternCache) get(source string) (*javaPattern, error) {
	c.mu.Lock()
	p := c.byKey[source]
	c.mu.Unlock()
	if p != nil {
		return p, nil
	}
	p, err := compilePattern(source)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.byKey) >= maxPatterns || c.byKey == nil {
		c.byKey = map[string]*javaPattern{}
	}
	c.byKey[source] = p
	return p, nil
}
