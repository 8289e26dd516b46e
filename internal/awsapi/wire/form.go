package wire

import (
	"cmp"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// form is a Query request as a tree: the parameter A.member.1.B=x is the text x
// under the keys A, member, 1 and B.
type form struct {
	text string
	kids map[string]*form
}

// maxFormDepth bounds the dots of a parameter's name; no API nests deeper.
const maxFormDepth = 16

// ParseForm reads the body as a form. The router calls it to learn the Action.
func (c *Call) ParseForm() error {
	values, err := url.ParseQuery(string(c.Body))
	if err != nil {
		return Serialization("The request body is not a form: %v.", err)
	}
	c.form, err = newForm(values)
	return err
}

// FormValue returns a top-level parameter of a Query request, or "".
func (c *Call) FormValue(name string) string {
	if c.form == nil || c.form.kids[name] == nil {
		return ""
	}
	return c.form.kids[name].text
}

func newForm(values url.Values) (*form, error) {
	root := &form{}
	for name, vs := range values {
		at := root
		parts := strings.SplitN(name, ".", maxFormDepth+1)
		if len(parts) > maxFormDepth {
			return nil, Serialization("The parameter name is nested too deeply.")
		}
		for _, part := range parts {
			if at.kids == nil {
				at.kids = make(map[string]*form, 2)
			}
			next := at.kids[part]
			if next == nil {
				next = &form{}
				at.kids[part] = next
			}
			at = next
		}
		at.text = vs[0]
	}
	return root, nil
}

// list returns the items of a list, X.member.N or, flattened, X.N, by N. The
// parameter X= alone is an empty list.
func (f *form) list() ([]any, bool) {
	if m := f.kids["member"]; m != nil {
		f = m
	}
	type numbered struct {
		n    int
		item *form
	}
	items := make([]numbered, 0, len(f.kids))
	for key, item := range f.kids {
		n, err := strconv.Atoi(key)
		if err != nil {
			return nil, false
		}
		items = append(items, numbered{n, item})
	}
	if len(items) == 0 && f.text != "" {
		return nil, false
	}
	slices.SortFunc(items, func(a, b numbered) int { return a.n - b.n })
	out := make([]any, len(items))
	for i, it := range items {
		out[i] = it.item
	}
	return out, true
}

// pairs returns the pairs of a map: X.entry.N.key and X.entry.N.value, or, as some APIs
// have it, without the entry and with other names for key and value.
func (f *form) pairs() (map[string]any, bool) {
	entries := f
	if e := f.kids["entry"]; e != nil {
		entries = e
	}
	items, ok := entries.list()
	if !ok {
		return nil, false
	}
	out := make(map[string]any, len(items))
	for _, item := range items {
		kids := item.(*form).kids
		key, value := kids["key"], kids["value"]
		if key == nil {
			key = cmp.Or(kids["Name"], kids["Key"])
		}
		if value == nil {
			value = kids["Value"]
		}
		if key == nil || value == nil {
			return nil, false
		}
		out[key.text] = value
	}
	return out, true
}
