package fn

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/weir-db/weir/internal/vec"
)

// stringFunctions is sql.md section 8.6. Lengths and positions count code points,
// positions from 1.
func stringFunctions() []Scalar {
	f := func(sig, text, example, result string, eval Kernel) Scalar {
		return Scalar{Signature: sig, Docs: Docs{"string", text, example, result}, Eval: eval, noText: true}
	}
	out := []Scalar{
		f("||(varchar, varchar) -> varchar", "The texts joined.", "'pump' || '-7'", "pump-7", joinTexts),
		f("concat(varchar, varchar, varchar...) -> varchar", "The texts joined.", "concat('pump', '-', '7')", "pump-7", concat),
		f("chr(bigint) -> varchar", "The character of a Unicode code point.", "chr(65)", "A", fn1e(chr)),
		f("codepoint(varchar) -> integer", "The code point of the only character.", "codepoint('A')", "65", fn1e(codepoint)),
		f("hamming_distance(varchar, varchar) -> bigint", "Number of positions in which texts of the same length differ.", "hamming_distance('pump', 'lamp')", "2", fn2e(hamming)),
		f("levenshtein_distance(varchar, varchar) -> bigint", "Least number of edits of one character between the texts.", "levenshtein_distance('pump', 'jumps')", "2", fn2e(levenshtein)),
		f("length(varchar) -> bigint", "Number of characters.", "length('größe')", "5", fn1(runeCount)),
		f("lower(varchar) -> varchar", "The text in lower case.", "lower('Pump')", "pump", fn1(strings.ToLower)),
		f("upper(varchar) -> varchar", "The text in upper case.", "upper('Pump')", "PUMP", fn1(strings.ToUpper)),
		f("lpad(varchar, bigint, varchar) -> varchar", "The text padded on the left, or cut, to n characters.", "lpad('7', 3, '0')", "007", fn3e(lpad)),
		f("rpad(varchar, bigint, varchar) -> varchar", "The text padded on the right, or cut, to n characters.", "rpad('7', 3, '.')", "7..", fn3e(rpad)),
		f("ltrim(varchar) -> varchar", "The text without white space at its start.", "ltrim('  a ')", "a ", fn1(func(s string) string { return strings.TrimLeftFunc(s, unicode.IsSpace) })),
		f("rtrim(varchar) -> varchar", "The text without white space at its end.", "rtrim('  a ')", "  a", fn1(func(s string) string { return strings.TrimRightFunc(s, unicode.IsSpace) })),
		f("trim(varchar) -> varchar", "The text without white space at its ends.", "trim('  a ')", "a", fn1(strings.TrimSpace)),
		f("normalize(varchar) -> varchar", "The text in Unicode normalization form NFC.", "length(normalize('a' || chr(776)))", "1", fn1(norm.NFC.String)),
		f("normalize(varchar, varchar) -> varchar", "The text in the Unicode normalization form NFC, NFD, NFKC or NFKD.", "length(normalize('ä', 'NFD'))", "2", fn2e(normalize)),
		f("position(varchar, varchar) -> bigint", "position(a IN s): where a first occurs in s, or 0.", "position('m', 'pump')", "3", fn2e(func(a, s string) (int64, error) { return strpos(s, a, 1) })),
		f("strpos(varchar, varchar) -> bigint", "Where the second text first occurs in the first, or 0.", "strpos('pump', 'p')", "1", fn2e(func(s, a string) (int64, error) { return strpos(s, a, 1) })),
		f("strpos(varchar, varchar, bigint) -> bigint", "Where the second text occurs for the i-th time, or 0.", "strpos('pump', 'p', 2)", "4", fn3e(strpos)),
		f("strrpos(varchar, varchar) -> bigint", "Where the second text last occurs in the first, or 0.", "strrpos('pump', 'p')", "4", fn2e(func(s, a string) (int64, error) { return strrpos(s, a, 1) })),
		f("strrpos(varchar, varchar, bigint) -> bigint", "Where the second text occurs for the i-th time from the end, or 0.", "strrpos('pump', 'p', 2)", "1", fn3e(strrpos)),
		f("replace(varchar, varchar) -> varchar", "The text without any occurrence of the second.", "replace('a-b-c', '-')", "abc", fn2e(func(s, a string) (string, error) { return replaceAll(s, a, "") })),
		f("replace(varchar, varchar, varchar) -> varchar", "The text with every occurrence of the second replaced.", "replace('a-b', '-', '+')", "a+b", fn3e(replaceAll)),
		f("reverse(varchar) -> varchar", "The characters in reverse order.", "reverse('pump')", "pmup", fn1(reverseString)),
		f("split(varchar, varchar) -> array(varchar)", "The parts between the delimiters.", "split('a/b//c', '/')", "[a, b, , c]", split),
		f("split(varchar, varchar, bigint) -> array(varchar)", "At most n parts, the last of which holds the rest.", "split('a/b/c', '/', 2)", "[a, b/c]", split),
		f("split_part(varchar, varchar, bigint) -> varchar", "Part i, from 1, between the delimiters; null past the end.", "split_part('plant/line/7', '/', 3)", "7", fn3n(splitPart)),
	}
	for _, name := range []string{"substr", "substring"} {
		out = append(out,
			f(name+"(varchar, bigint) -> varchar", "The text from a position; a negative one counts from the end.", name+"('pump-7', -1)", "7", fn2(func(s string, start int64) string { return substr(s, start, int64(len(s))) })),
			f(name+"(varchar, bigint, bigint) -> varchar", "So many characters from a position.", name+"('pump-7', 1, 4)", "pump", fn3e(func(s string, start, n int64) (string, error) { return substr(s, start, n), nil })))
	}
	return out
}

func runeCount(s string) int64 { return int64(utf8.RuneCountInString(s)) }

func concat(c *Context, args []*vec.Vector, n int) (*vec.Vector, error) {
	cols := make([]col[string], len(args))
	for i, a := range args {
		cols[i] = colOf[string](a)
	}
	var b []byte
	return collect(c, n, func(i int) (string, bool, error) {
		b = b[:0]
		for _, x := range cols {
			if b = append(b, x.at(i)...); len(b) > maxTextBytes {
				return "", false, errTextTooLong()
			}
		}
		return string(b), true, nil
	})
}

func joinTexts(c *Context, args []*vec.Vector, n int) (*vec.Vector, error) {
	a, b := colOf[string](args[0]), colOf[string](args[1])
	meter, size := newTextMeter(), 0
	for i := range n {
		joined := len(a.at(i)) + len(b.at(i))
		if err := meter.add(joined); err != nil {
			return nil, err
		}
		size += joined
	}
	texts := newTextList(n, size)
	for i := range n {
		texts.addTwo(a.at(i), b.at(i))
	}
	return vecOf(c.Return, texts.list(), nil), nil
}

func chr(n int64) (string, error) {
	if n < 0 || n > unicode.MaxRune || n >= 0xD800 && n < 0xE000 {
		return "", fail("Not a valid Unicode code point: %d", n)
	}
	return string(rune(n)), nil
}

func codepoint(s string) (int64, error) {
	r, size := utf8.DecodeRuneInString(s)
	if size == 0 || size != len(s) {
		return 0, fail("Input string must be a single character string")
	}
	return int64(r), nil
}

func hamming(a, b string) (int64, error) {
	x, y := []rune(a), []rune(b)
	if len(x) != len(y) {
		return 0, fail("The input strings to hamming_distance function must have the same length")
	}
	var d int64
	for i := range x {
		if x[i] != y[i] {
			d++
		}
	}
	return d, nil
}

// maxEdits bounds the work of one levenshtein_distance, the product of the lengths, as in Trino.
const maxEdits = 1_000_000

func levenshtein(a, b string) (int64, error) {
	x, y := []rune(a), []rune(b)
	if len(x)*len(y) > maxEdits {
		return 0, fail("The combined inputs for Levenshtein distance are too large")
	}
	row := make([]int64, len(y)+1)
	for j := range row {
		row[j] = int64(j)
	}
	for i := range x {
		corner := row[0]
		row[0] = int64(i + 1)
		for j := range y {
			cost := corner
			if x[i] != y[j] {
				cost++
			}
			corner = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(y)], nil
}

// maxText bounds the texts that lpad and rpad make, in characters.
const maxText = 1 << 20

func padding(s string, n int64, pad string) (fill string, cut bool, err error) {
	switch {
	case n < 0 || n > maxText:
		return "", false, fail("Target length must be in the range [0..%d]", maxText)
	case pad == "":
		return "", false, fail("Padding string must not be empty")
	}
	missing := n - runeCount(s)
	if missing <= 0 {
		return "", true, nil
	}
	runes := []rune(pad)
	var b strings.Builder
	for i := range missing {
		b.WriteRune(runes[i%int64(len(runes))])
	}
	return b.String(), false, nil
}

func lpad(s string, n int64, pad string) (string, error) {
	fill, cut, err := padding(s, n, pad)
	if cut {
		return firstRunes(s, n), err
	}
	return fill + s, err
}

func rpad(s string, n int64, pad string) (string, error) {
	fill, cut, err := padding(s, n, pad)
	if cut {
		return firstRunes(s, n), err
	}
	return s + fill, err
}

// firstRunes returns the first n characters.
func firstRunes(s string, n int64) string { return s[:runeOffset(s, n)] }

// runeOffset returns the byte offset of character n from 0, or the length of s.
func runeOffset(s string, n int64) int {
	if n >= int64(len(s)) {
		return len(s)
	}
	at := 0
	for ; n > 0 && at < len(s); n-- {
		_, size := utf8.DecodeRuneInString(s[at:])
		at += size
	}
	return at
}

func normalize(s, form string) (string, error) {
	switch strings.ToUpper(form) {
	case "NFC":
		return norm.NFC.String(s), nil
	case "NFD":
		return norm.NFD.String(s), nil
	case "NFKC":
		return norm.NFKC.String(s), nil
	case "NFKD":
		return norm.NFKD.String(s), nil
	}
	return "", fail("Normalization form must be one of [NFD, NFC, NFKD, NFKC]")
}

// strpos finds the i-th occurrence; each search starts one character after the start of
// the occurrence before.
func strpos(s, a string, i int64) (int64, error) {
	if i < 1 {
		return 0, fail("'instance' must be a positive or negative number.")
	}
	if a == "" {
		return 1, nil
	}
	at := 0
	for {
		k := strings.Index(s[at:], a)
		if k < 0 {
			return 0, nil
		}
		at += k
		if i--; i == 0 {
			return runeCount(s[:at]) + 1, nil
		}
		_, size := utf8.DecodeRuneInString(s[at:])
		at += size
	}
}

func strrpos(s, a string, i int64) (int64, error) {
	if i < 1 {
		return 0, fail("'instance' must be a positive or negative number.")
	}
	if a == "" {
		return 1, nil
	}
	end := len(s)
	for {
		k := strings.LastIndex(s[:end], a)
		if k < 0 {
			return 0, nil
		}
		if i--; i == 0 {
			return runeCount(s[:k]) + 1, nil
		}
		// The next one may overlap, but must start earlier.
		end = min(k+len(a)-1, end)
	}
}

func replaceAll(s, a, b string) (string, error) {
	if a == "" && b == "" {
		return s, nil
	}
	if grows := len(b) - len(a); grows > 0 && len(s)+strings.Count(s, a)*grows > maxTextBytes {
		return "", errTextTooLong()
	}
	return strings.ReplaceAll(s, a, b), nil
}

func reverseString(s string) string {
	out := make([]byte, len(s))
	at := len(s)
	for i := 0; i < len(s); {
		_, size := utf8.DecodeRuneInString(s[i:])
		at -= size
		copy(out[at:], s[i:i+size])
		i += size
	}
	return string(out)
}

func substr(s string, start, n int64) string {
	if start == 0 || n <= 0 {
		return ""
	}
	if start < 0 {
		start += runeCount(s)
		if start < 0 {
			return ""
		}
	} else {
		start--
	}
	rest := s[runeOffset(s, start):]
	return firstRunes(rest, n)
}

// stringLists collects an array(varchar) per row.
type stringLists struct {
	offsets []int32
	vals    []string
	nulls   []bool // of the elements
}

func newStringLists(n int) *stringLists { return &stringLists{offsets: make([]int32, 1, n+1)} }

func (l *stringLists) add(s string) { l.vals = append(l.vals, s) }

func (l *stringLists) addNull() {
	for len(l.nulls) < len(l.vals) {
		l.nulls = append(l.nulls, false)
	}
	l.vals, l.nulls = append(l.vals, ""), append(l.nulls, true)
}

func (l *stringLists) row() { l.offsets = append(l.offsets, int32(len(l.vals))) }

func (l *stringLists) vector(t vec.Type) *vec.Vector {
	if l.nulls != nil {
		for len(l.nulls) < len(l.vals) {
			l.nulls = append(l.nulls, false)
		}
	}
	return vec.OfNested(t, l.offsets, nil, vec.OfStrs(l.vals, l.nulls))
}

func split(c *Context, args []*vec.Vector, n int) (*vec.Vector, error) {
	s, d := colOf[string](args[0]), colOf[string](args[1])
	limit := col[int64]{vals: []int64{1 << 31}}
	if len(args) == 3 {
		limit = colOf[int64](args[2])
	}
	out := newStringLists(n)
	for i := range n {
		switch {
		case limit.at(i) <= 0:
			return nil, fail("Limit must be positive")
		case d.at(i) == "":
			return nil, fail("The delimiter may not be the empty string")
		}
		for _, part := range strings.SplitN(s.at(i), d.at(i), int(min(limit.at(i), 1<<31-1))) {
			out.add(part)
		}
		out.row()
	}
	return out.vector(c.Return), nil
}

func splitPart(s, d string, i int64) (string, bool, error) {
	if i < 1 {
		return "", false, fail("Index must be greater than zero")
	}
	if d == "" {
		if i > runeCount(s) {
			return "", i == 1, nil
		}
		return substr(s, i, 1), true, nil
	}
	for ; i > 1; i-- {
		k := strings.Index(s, d)
		if k < 0 {
			return "", false, nil
		}
		s = s[k+len(d):]
	}
	if k := strings.Index(s, d); k >= 0 {
		s = s[:k]
	}
	return s, true, nil
}
