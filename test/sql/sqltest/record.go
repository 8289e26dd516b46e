package sqltest

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"github.com/weir-db/weir/internal/storage/storagetest"
	"github.com/weir-db/weir/internal/vec"
)

const defaultDay = "2031-02-03"

// ParseTime reads a time of a script, in ns since 1970.
func ParseTime(s string) (int64, error) {
	s = strings.Replace(s, "T", " ", 1)
	if !strings.Contains(s, "-") {
		s = defaultDay + " " + s
	}
	ns, ok := vec.ParseTimestamp(s)
	if !ok {
		return 0, fmt.Errorf("%q is no time", s)
	}
	return ns, nil
}

// parsePoint reads one line of a write block.
func parsePoint(line string) (storagetest.Point, error) {
	words := splitWords(line)
	if len(words) < 4 {
		return storagetest.Point{}, fmt.Errorf("%q: want measure, dimensions, time and values", line)
	}
	p := storagetest.Point{Measure: words[0]}
	if words[1] != "-" {
		for _, d := range strings.Split(words[1], ",") {
			name, value, ok := strings.Cut(d, "=")
			if !ok {
				return p, fmt.Errorf("%q is no dimension", d)
			}
			p.Dims = append(p.Dims, name, value)
		}
	}
	var err error
	if p.TimeNs, err = ParseTime(words[2]); err != nil {
		return p, err
	}
	for _, w := range words[3:] {
		name, text, ok := strings.Cut(w, "=")
		if !ok {
			return p, fmt.Errorf("%q is no value", w)
		}
		v, err := parseValue(text)
		if err != nil {
			return p, err
		}
		p.Single = name == ""
		p.Values = append(p.Values, storagetest.NamedValue{Name: name, Value: v})
	}
	return p, nil
}

// splitWords splits at blanks outside of quotes.
func splitWords(line string) []string {
	quoted := false
	return strings.FieldsFunc(line, func(r rune) bool {
		if r == '"' {
			quoted = !quoted
		}
		return !quoted && unicode.IsSpace(r)
	})
}

func parseValue(s string) (vec.Value, error) {
	switch {
	case s == "true" || s == "false":
		return vec.Bool(s == "true"), nil
	case strings.HasPrefix(s, `"`):
		return vec.Str(strings.Trim(s, `"`)), nil
	case strings.HasPrefix(s, `t"`):
		ns, err := ParseTime(strings.Trim(s[1:], `"`))
		return vec.Int(vec.TimestampType, ns), err
	case strings.HasSuffix(s, "i"):
		n, err := strconv.ParseInt(s[:len(s)-1], 10, 64)
		return vec.Int(vec.BigintType, n), err
	}
	f, err := strconv.ParseFloat(s, 64)
	return vec.Float(f), err
}
