package fn

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestRegexpsFollowJava(t *testing.T) {
	checkTexts(t,
		`regexp_like('foo', '^(?=f)\w+$')`, "true",
		`regexp_like('abab', '^(ab)\1$')`, "true",
		`regexp_like('abcd', '^(?<x>ab)\k<x>$')`, "false",
		`regexp_like('price: 5', '(?<=: )\d')`, "true",
		`regexp_like('aaa', 'a++a')`, "false",
		`regexp_like('aaa', 'a+a')`, "true",
		`regexp_like('A', '\p{Upper}')`, "true",
		`regexp_like('a', '[\p{Upper}\d]')`, "false",
		`regexp_like('ä', '\p{IsAlphabetic}')`, "true",
		`regexp_like('ABC', '(?i)abc')`, "true",
		`regexp_like('a.b', '\Qa.b\E')`, "true",
		`regexp_like('axb', '\Qa.b\E')`, "false",
		`regexp_like('é', '\u00e9')`, "true",
		`regexp_like('abc' || chr(10), 'abc$')`, "true",
		`regexp_like('b', '[a[bc]]')`, "true",
		`regexp_like('a]', '[]]')`, "true",
		`regexp_extract('ab', '(x)?b', 1)`, "NULL",
		`regexp_extract('ab', 'q')`, "NULL",
		`regexp_extract('ab', '(a)', 2)`, "error: Pattern has 1 groups. Cannot access group 2",
		`regexp_extract_all('ab', '(x)?[ab]', 1)`, "[NULL, NULL]",
		`regexp_extract('größe 12', '(?<=größe )\d+')`, "12",
		`regexp_replace('abc', 'x*', '-')`, "-a-b-c-",
		`regexp_replace('baac', 'a*', '-')`, "-b--c-",
		`regexp_replace('ab', '(?<l>a)(b)', '${l}\$$2$10')`, "a$ba0",
		`regexp_replace('ab', '(a)', '$2')`, "error: No group 2",
		`regexp_replace('ab', '(a)', '${q}')`, "error: No group with name {q}",
		`regexp_replace('ab', '(?<y>a)(b)', '$1')`, "a",
		`regexp_replace('ab', '([ab])', g -> CAST(NULL AS varchar))`, "NULL",
		`regexp_split('a,b,', ',')`, "[a, b, ]",
		`regexp_split('abc', '')`, "[, a, b, c, ]",
		`regexp_like('a', '(')`, "error: Invalid regular expression '(': Unclosed group near index 1",
		`regexp_like('a', '[a-z&&[^b]]')`, "error: Invalid regular expression '[a-z&&[^b]]': intersections of character classes are not supported near index 4",
	)
}

func TestBacktrackingGivesUp(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for the match timeout")
	}
	got := evalText(`regexp_like('` + strings.Repeat("a", 40) + `b', '^(?=a)(a+)+$')`)
	if got != "error: Regular expression matching took longer than 1s" {
		t.Error(got)
	}
}

func FuzzRegexp(f *testing.F) {
	for _, p := range []string{`^(?=f)\w+$`, `(ab)\1`, `[a[bc]]`, `\p{Upper}++`, `\Qa.b`, `(?<n>x)\k<n>`, `\x{41}\0101\cA`, `(?x) a`, `a{2,3}+`} {
		f.Add(p, "some text")
	}
	f.Fuzz(func(t *testing.T, pattern, s string) {
		if !utf8.ValidString(pattern) || !utf8.ValidString(s) || len(s) > 30 || len(pattern) > 40 || strings.Contains(pattern, "{") {
			return
		}
		p, err := compilePattern(pattern)
		if err != nil {
			return
		}
		found, err := p.all(s)
		if err != nil {
			return
		}
		for _, m := range found {
			if len(m) != 2*(p.groups+1) || m[0] < 0 || m[1] > len(s) || m[0] > m[1] {
				t.Fatalf("%q in %q: match %v of %d groups", pattern, s, m, p.groups)
			}
		}
	})
}
