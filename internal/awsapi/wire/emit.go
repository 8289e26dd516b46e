package wire

import (
	"encoding/base64"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"
)

// emitter receives a value as a walk over it. Exactly one value follows each
// field and item; endField and endItem close them.
type emitter interface {
	open()  // a structure
	close() //
	field(name string)
	endField()

	openList()
	closeList()
	item()
	endItem()

	openMap() // a map from text: its pairs come as entry
	closeMap()
	entry(key string)
	endEntry()

	str(s string)
	integer(n int64)
	float(f float64)
	boolean(b bool)
	time(t time.Time)
}

var timeType = reflect.TypeFor[time.Time]()

// AppendJSON appends v, a struct as the package comment describes, as JSON.
func AppendJSON(dst []byte, v any) []byte {
	w := &jsonWriter{dst: dst}
	emit(w, v)
	return w.dst
}

func appendCBOR(dst []byte, v any) []byte {
	w := &cborWriter{dst: dst}
	emit(w, v)
	return w.dst
}

// emit walks v. A nil v is an empty structure.
func emit(w emitter, v any) {
	rv := reflect.ValueOf(v)
	for rv.Kind() == reflect.Pointer && !rv.IsNil() {
		rv = rv.Elem()
	}
	if !rv.IsValid() || rv.Kind() == reflect.Pointer {
		w.open()
		w.close()
		return
	}
	emitValue(w, rv)
}

func emitValue(w emitter, v reflect.Value) {
	if v.Type() == timeType {
		w.time(v.Interface().(time.Time))
		return
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		emitValue(w, v.Elem())
	case reflect.String:
		w.str(v.String())
	case reflect.Bool:
		w.boolean(v.Bool())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		w.integer(v.Int())
	case reflect.Float32, reflect.Float64:
		w.float(v.Float())
	case reflect.Struct:
		emitStruct(w, v)
	case reflect.Map:
		emitMap(w, v)
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			w.str(base64.StdEncoding.EncodeToString(v.Bytes()))
			return
		}
		w.openList()
		for i := range v.Len() {
			w.item()
			emitValue(w, v.Index(i))
			w.endItem()
		}
		w.closeList()
	default:
		panic(fmt.Sprintf("bug: wire cannot write a %s", v.Type()))
	}
}

func emitStruct(w emitter, v reflect.Value) {
	w.open()
	for _, f := range fieldsOf(v.Type()) {
		fv := v.Field(f.index)
		if isAbsent(fv) {
			continue
		}
		if x, isXML := w.(*xmlWriter); isXML && f.flat != "" {
			emitFlat(x, fv, f.flat, f.key)
			continue
		}
		w.field(f.name)
		emitValue(w, fv)
		w.endField()
	}
	w.close()
}

// emitFlat writes a list as elements of that name beside the other members, and a map
// as such elements with a key and a Value.
func emitFlat(w *xmlWriter, v reflect.Value, name, key string) {
	if v.Kind() == reflect.Slice {
		for i := range v.Len() {
			w.field(name)
			emitValue(w, v.Index(i))
			w.endField()
		}
		return
	}
	keys := v.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
	for _, k := range keys {
		w.field(name)
		w.leaf(key, k.String())
		w.field("Value")
		emitValue(w, v.MapIndex(k))
		w.endField()
		w.endField()
	}
}

func emitMap(w emitter, v reflect.Value) {
	keys := v.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
	w.openMap()
	for _, k := range keys {
		w.entry(k.String())
		emitValue(w, v.MapIndex(k))
		w.endEntry()
	}
	w.closeMap()
}

func isAbsent(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map, reflect.Interface:
		return v.IsNil()
	case reflect.String:
		return v.Len() == 0
	case reflect.Struct:
		return v.Type() == timeType && v.Interface().(time.Time).IsZero()
	}
	return false
}

type fieldInfo struct {
	name  string
	flat  string // of a list or map in forms and XML; "" if it is not flattened
	key   string // of the pairs of a flattened map in XML
	index int
}

var fieldCache sync.Map // reflect.Type to []fieldInfo

// fieldsOf returns the members of a struct type, in order of declaration.
func fieldsOf(t reflect.Type) []fieldInfo {
	if known, ok := fieldCache.Load(t); ok {
		return known.([]fieldInfo)
	}
	var fields []fieldInfo
	for i := range t.NumField() {
		f := t.Field(i)
		name := f.Tag.Get("wire")
		if name == "" {
			name = f.Name
		}
		if f.IsExported() && name != "-" {
			flat, key, _ := strings.Cut(f.Tag.Get("flat"), ",")
			if key == "" {
				key = "Name"
			}
			fields = append(fields, fieldInfo{name: name, flat: flat, key: key, index: i})
		}
	}
	fieldCache.Store(t, fields)
	return fields
}
