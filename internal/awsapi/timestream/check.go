package timestream

import (
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/weir-db/weir/internal/catalog"
	"github.com/weir-db/weir/internal/constraint"
)

// check tests an input, a pointer to a struct, against the tags of its members and
// words what is wrong like the framework in front of AWS's services. A tag `check`
// has rules separated by blanks:
//
//	required      the member must be there
//	len=1..128    characters of a string, members of a list; either end may be left out
//	value=1..20   of an integer
//	pattern=name  one of patterns, matched as a whole
//	enum=A,B      one of these
//	items=1..128  characters of each string of a list
//	secret        messages do not repeat the value
//
// Members are pointers, lists and structs; a nil pointer or list is absent. Structs
// are entered, also in lists.
func check(in any) error {
	var v constraint.Violations
	checkStruct(&v, reflect.ValueOf(in).Elem(), "")
	return v.Err()
}

var patterns = map[string]string{
	"name":   catalog.NamePattern,
	"bucket": `[a-z0-9][\.\-a-z0-9]{1,61}[a-z0-9]`,
	"prefix": `[a-zA-Z0-9|!\-_*'\(\)]([a-zA-Z0-9]|[!\-_*'\(\)\/.])+`,
	"id":     `[a-zA-Z0-9]+`,
	"task":   `[A-Z0-9]+`,
}

// rules is a parsed tag.
type rules struct {
	path             string // the member's name in lowerCamelCase
	required, secret bool
	length, value    *span
	items            *rules // of each string of a list
	pattern          *regexp.Regexp
	patternText      string
	enum             []string
}

type span struct{ from, to int64 }

var rulesOf sync.Map // reflect.Type of a struct to []rules, one per field

func structRules(t reflect.Type) []rules {
	if r, ok := rulesOf.Load(t); ok {
		return r.([]rules)
	}
	list := make([]rules, t.NumField())
	for i := range list {
		list[i] = parseRules(t.Field(i))
	}
	rulesOf.Store(t, list)
	return list
}

func parseRules(f reflect.StructField) rules {
	r := rules{path: strings.ToLower(f.Name[:1]) + f.Name[1:]}
	for rule := range strings.FieldsSeq(f.Tag.Get("check")) {
		name, arg, _ := strings.Cut(rule, "=")
		switch name {
		case "required":
			r.required = true
		case "secret":
			r.secret = true
		case "len":
			r.length = parseSpan(arg)
		case "value":
			r.value = parseSpan(arg)
		case "items":
			r.items = &rules{length: parseSpan(arg)}
		case "pattern":
			r.patternText = patterns[arg]
			r.pattern = regexp.MustCompile(`^(?:` + r.patternText + `)$`)
		case "enum":
			r.enum = strings.Split(arg, ",")
		default:
			panic("bug: unknown rule " + rule)
		}
	}
	return r
}

func parseSpan(s string) *span {
	from, to, _ := strings.Cut(s, "..")
	end := func(s string, otherwise int64) int64 {
		if s == "" {
			return otherwise
		}
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			panic("bug: bad span " + s)
		}
		return n
	}
	return &span{end(from, -1<<63), end(to, 1<<63-1)}
}

func checkStruct(v *constraint.Violations, s reflect.Value, prefix string) {
	list := structRules(s.Type())
	for i := range list {
		if v.Full() {
			return
		}
		checkMember(v, s.Field(i), &list[i], prefix+list[i].path)
	}
}

func checkMember(v *constraint.Violations, m reflect.Value, r *rules, path string) {
	switch m.Kind() {
	case reflect.Slice:
		if m.IsNil() {
			break
		}
		r.list(v, m.Len(), path)
		for i := range m.Len() {
			checkItem(v, m.Index(i), r.items, path+"."+strconv.Itoa(i+1)+".member")
			if v.Full() {
				return
			}
		}
		return
	case reflect.Pointer:
		if m.IsNil() {
			break
		}
		switch e := m.Elem(); e.Kind() {
		case reflect.String:
			r.text(v, e.String(), path)
		case reflect.Int64:
			r.integer(v, e.Int(), path)
		case reflect.Struct:
			if e.Type() != timeType {
				checkStruct(v, e, path+".")
			}
		}
		return
	default:
		panic(fmt.Sprintf("bug: member %s is neither a pointer nor a list", path))
	}
	if r.required {
		v.Null(path)
	}
}

var timeType = reflect.TypeFor[time.Time]()

func checkItem(v *constraint.Violations, item reflect.Value, r *rules, path string) {
	switch {
	case item.Kind() == reflect.Struct:
		checkStruct(v, item, path+".")
	case r != nil:
		r.text(v, item.String(), path)
	}
}

func (r *rules) list(v *constraint.Violations, n int, path string) {
	if r.length != nil {
		shown := "[]"
		if n > 0 {
			shown = fmt.Sprintf("[%d members]", n)
		}
		r.span(v, r.length, int64(n), shown, path, "length")
	}
}

func (r *rules) text(v *constraint.Violations, s, path string) {
	if r.length != nil {
		n := int64(len(s))
		if n > r.length.to && !constraint.LengthOver(s, int(r.length.to)) {
			n = r.length.to
		}
		r.span(v, r.length, n, s, path, "length")
	}
	if r.pattern != nil && !r.pattern.MatchString(s) {
		r.add(v, path, s, constraint.Pattern(r.patternText))
	}
	if r.enum != nil {
		for _, e := range r.enum {
			if s == e {
				return
			}
		}
		r.add(v, path, s, constraint.Enum(r.enum...))
	}
}

func (r *rules) integer(v *constraint.Violations, n int64, path string) {
	if r.value != nil {
		r.span(v, r.value, n, strconv.FormatInt(n, 10), path, "value")
	}
}

func (r *rules) span(v *constraint.Violations, s *span, n int64, text, path, what string) {
	switch {
	case n < s.from && what == "length":
		r.add(v, path, text, constraint.MinLength(int(s.from)))
	case n > s.to && what == "length":
		r.add(v, path, text, constraint.MaxLength(int(s.to)))
	case n < s.from:
		r.add(v, path, text, constraint.Min(s.from))
	case n > s.to:
		r.add(v, path, text, constraint.Max(s.to))
	}
}

func (r *rules) add(v *constraint.Violations, path, value, text string) {
	if r.secret {
		v.Hidden(path, text)
		return
	}
	v.Add(path, value, text)
}
