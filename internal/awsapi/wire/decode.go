package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"reflect"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/fxamacker/cbor/v2"
)

// Decode reads the request's input into the struct that v points to, whatever
// the protocol. An empty body is an empty input. The error is a
// SerializationException that names the member in doubt. Of a REST request only the
// body is read, not the path and the query string. The error may also be that of c.Decoded.
func (c *Call) Decode(v any) error {
	tree, err := c.tree()
	if err != nil {
		return err
	}
	if tree != nil {
		if err := assign(reflect.ValueOf(v).Elem(), tree, ""); err != nil {
			return err
		}
	}
	if c.Decoded != nil {
		return c.Decoded(v)
	}
	return nil
}

// tree returns the input as nil, bool, string, json.Number, int64, uint64, float64,
// time.Time, []byte, []any, map[string]any or *form.
func (c *Call) tree() (any, error) {
	switch c.Protocol {
	case Query:
		if c.form == nil {
			if err := c.ParseForm(); err != nil {
				return nil, err
			}
		}
		return c.form, nil
	case CBOR:
		return decodeCBOR(c.Body)
	}
	if len(bytes.TrimSpace(c.Body)) == 0 {
		return nil, nil
	}
	// The decoder would replace what is no UTF-8, and so store another text than was sent.
	if !utf8.Valid(c.Body) {
		return nil, Serialization("The request body is not UTF-8.")
	}
	d := json.NewDecoder(bytes.NewReader(c.Body))
	d.UseNumber()
	var tree any // a map would be filled by reflection, which takes twice as long
	err := d.Decode(&tree)
	if _, ok := tree.(map[string]any); !ok && err == nil {
		var object map[string]any // stays nil for null, which is an input without members
		err = json.NewDecoder(bytes.NewReader(c.Body)).Decode(&object)
		tree = object
	}
	if err != nil {
		return nil, Serialization("The request body is not a JSON object: %v.", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, Serialization("The request body has something after its JSON object.")
	}
	return tree, nil
}

var cborMode = func() cbor.DecMode {
	m, err := cbor.DecOptions{
		DefaultMapType:  reflect.TypeFor[map[string]any](),
		MaxNestedLevels: 32,
		TimeTag:         cbor.DecTagOptional,
		DupMapKey:       cbor.DupMapKeyEnforcedAPF,
	}.DecMode()
	if err != nil {
		panic("bug: " + err.Error())
	}
	return m
}()

func decodeCBOR(body []byte) (any, error) {
	if len(body) == 0 {
		return nil, nil
	}
	var tree any
	if err := cborMode.Unmarshal(body, &tree); err != nil {
		return nil, Serialization("The request body is not a CBOR map: %v.", err)
	}
	if _, ok := tree.(map[string]any); !ok {
		return nil, Serialization("The request body is not a CBOR map.")
	}
	return tree, nil
}

func mismatch(path, want string, got any) error {
	what := "a structure"
	switch g := got.(type) {
	case bool:
		what = "a boolean"
	case string, []byte:
		what = "a string"
	case json.Number, int64, uint64, float64:
		what = "a number"
	case []any:
		what = "a list"
	case time.Time:
		what = "a timestamp"
	case *form:
		if len(g.kids) == 0 {
			what = strconv.Quote(g.text)
		}
	}
	if path == "" {
		path = "the request"
	}
	return Serialization("%s must be %s, not %s.", path, want, what)
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// assign stores node in v; a nil node leaves v as it is.
func assign(v reflect.Value, node any, path string) error {
	if node == nil {
		return nil
	}
	if v.Kind() == reflect.Pointer {
		p := reflect.New(v.Type().Elem())
		if err := assign(p.Elem(), node, path); err != nil {
			return err
		}
		v.Set(p)
		return nil
	}
	if v.Type() == timeType {
		return assignTime(v, node, path)
	}
	switch v.Kind() {
	case reflect.Struct:
		return assignStruct(v, node, path)
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return assignBytes(v, node, path)
		}
		return assignSlice(v, node, path)
	case reflect.Map:
		return assignMap(v, node, path)
	}
	return assignScalar(v, node, path)
}

func assignStruct(v reflect.Value, tree any, path string) error {
	var child func(name string) any
	switch n := tree.(type) {
	case map[string]any:
		child = func(name string) any { return n[name] }
	case *form:
		child = func(name string) any {
			if k := n.kids[name]; k != nil {
				return k
			}
			return nil
		}
	default:
		return mismatch(path, "a structure", tree)
	}
	for _, f := range fieldsOf(v.Type()) {
		node := child(f.name)
		if _, isMap := tree.(map[string]any); node == nil && f.flat != "" && !isMap {
			node = child(f.flat)
		}
		if err := assign(v.Field(f.index), node, join(path, f.name)); err != nil {
			return err
		}
	}
	return nil
}

func assignSlice(v reflect.Value, node any, path string) error {
	items, ok := node.([]any)
	if f, isForm := node.(*form); isForm {
		items, ok = f.list()
	}
	if !ok {
		return mismatch(path, "a list", node)
	}
	out := reflect.MakeSlice(v.Type(), len(items), len(items))
	for i, item := range items {
		if err := assign(out.Index(i), item, join(path, strconv.Itoa(i+1))); err != nil {
			return err
		}
	}
	v.Set(out)
	return nil
}

func assignMap(v reflect.Value, node any, path string) error {
	pairs, ok := node.(map[string]any)
	if f, isForm := node.(*form); isForm {
		pairs, ok = f.pairs()
	}
	if !ok {
		return mismatch(path, "a map", node)
	}
	out := reflect.MakeMapWithSize(v.Type(), len(pairs))
	for key, node := range pairs {
		e := reflect.New(v.Type().Elem()).Elem()
		if err := assign(e, node, join(path, key)); err != nil {
			return err
		}
		out.SetMapIndex(reflect.ValueOf(key), e)
	}
	v.Set(out)
	return nil
}

func assignBytes(v reflect.Value, node any, path string) error {
	var text string
	switch n := node.(type) {
	case []byte:
		v.SetBytes(slices.Clone(n))
		return nil
	case string:
		text = n
	case *form:
		text = n.text
	default:
		return mismatch(path, "a blob in base64", node)
	}
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return mismatch(path, "a blob in base64", node)
	}
	v.SetBytes(b)
	return nil
}

func assignScalar(v reflect.Value, node any, path string) error {
	switch v.Kind() {
	case reflect.String:
		switch n := node.(type) {
		case string:
			v.SetString(n)
			return nil
		case *form:
			if len(n.kids) == 0 {
				v.SetString(n.text)
				return nil
			}
		}
		return mismatch(path, "a string", node)
	case reflect.Bool:
		switch n := node.(type) {
		case bool:
			v.SetBool(n)
			return nil
		case *form:
			if n.text == "true" || n.text == "false" {
				v.SetBool(n.text == "true")
				return nil
			}
		}
		return mismatch(path, "a boolean", node)
	case reflect.Int, reflect.Int32, reflect.Int64:
		n, ok := integer(node)
		if !ok || v.OverflowInt(n) {
			return mismatch(path, "an integer", node)
		}
		v.SetInt(n)
		return nil
	case reflect.Float64:
		f, ok := float(node)
		if !ok {
			return mismatch(path, "a number", node)
		}
		v.SetFloat(f)
		return nil
	}
	panic(fmt.Sprintf("bug: wire cannot read a %s", v.Type()))
}

func integer(node any) (int64, bool) {
	text := ""
	switch n := node.(type) {
	case int64:
		return n, true
	case uint64:
		return int64(n), n <= math.MaxInt64
	case float64:
		return int64(n), n == math.Trunc(n) && math.Abs(n) < 1<<53
	case json.Number:
		text = n.String()
	case *form:
		text = n.text
	default:
		return 0, false
	}
	if i, err := strconv.ParseInt(text, 10, 64); err == nil {
		return i, true
	}
	f, err := strconv.ParseFloat(text, 64)
	return int64(f), err == nil && f == math.Trunc(f) && math.Abs(f) < 1<<53
}

func float(node any) (float64, bool) {
	text := ""
	switch n := node.(type) {
	case int64:
		return float64(n), true
	case uint64:
		return float64(n), true
	case float64:
		return n, true
	case json.Number:
		text = n.String()
	case *form:
		text = n.text
	case string:
		if n != "NaN" && n != "Infinity" && n != "-Infinity" {
			return 0, false
		}
		text = n
	default:
		return 0, false
	}
	f, err := strconv.ParseFloat(text, 64)
	return f, err == nil
}

func assignTime(v reflect.Value, node any, path string) error {
	var t time.Time
	text := ""
	switch n := node.(type) {
	case time.Time:
		t = n
	case string:
		text = n
	case *form:
		text = n.text
	default:
		f, ok := float(node)
		// Beyond these, milliseconds overflow; no date means that.
		if !ok || math.IsNaN(f) || math.Abs(f) > 1e14 {
			return mismatch(path, "a timestamp", node)
		}
		t = time.UnixMilli(int64(math.Round(f * 1000)))
	}
	if text != "" {
		var ok bool
		if t, ok = parseTime(text); !ok {
			return mismatch(path, "a timestamp", node)
		}
	} else if t.IsZero() {
		return mismatch(path, "a timestamp", node)
	}
	v.Set(reflect.ValueOf(t.UTC()))
	return nil
}

// parseTime reads the forms of ISO 8601 that AWS's Query services take; one
// without a zone is UTC.
func parseTime(s string) (time.Time, bool) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04Z07:00", "2006-01-02T15:04", "2006-01-02"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}
