package ingest

import (
	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/vec"
)

// columns is the value columns of a batch, deduplicated by name and type. Names
// may point into the request's body; reset forgets them.
type columns struct {
	list    []storage.Column
	info    []columnInfo          // beside list
	byName  map[string]int32      // attributes: the first column of that name
	scalars [vec.Lambda + 1]int32 // measure_value::T: its column + 1, by kind
}

type columnInfo struct {
	first int32 // column whose stamp counts for all of this name
	next  int32 // next column of this name and another type, or -1
	stamp int32 // of first: 1 + index of the last record that used the name
}

func (c *columns) reset() {
	clear(c.list)
	c.list, c.info = c.list[:0], c.info[:0]
	clear(c.byName)
	c.scalars = [vec.Lambda + 1]int32{}
}

// scalar returns the column measure_value::kind.
func (c *columns) scalar(kind vec.Kind) int32 {
	if at := c.scalars[kind]; at > 0 {
		return at - 1
	}
	at := c.add(storage.Column{Name: scalarNames[kind], Type: vec.Type{Kind: kind}, Role: storage.MeasureValue})
	c.scalars[kind] = at + 1
	return at
}

var scalarNames = map[vec.Kind]string{
	vec.Double: "measure_value::double", vec.Bigint: "measure_value::bigint",
	vec.Varchar: "measure_value::varchar", vec.Boolean: "measure_value::boolean",
}

// is reports whether column at is the attribute of that name and kind.
func (c *columns) is(at int32, name string, kind vec.Kind) bool {
	col := &c.list[at]
	return col.Type.Kind == kind && col.Name == name && col.Role == storage.Attribute
}

// attribute returns the column of an attribute.
func (c *columns) attribute(name string, kind vec.Kind) int32 {
	first, known := c.byName[name]
	if !known {
		at := c.add(storage.Column{Name: name, Type: vec.Type{Kind: kind}, Role: storage.Attribute})
		if c.byName == nil {
			c.byName = make(map[string]int32)
		}
		c.byName[name] = at
		return at
	}
	at := first
	for c.list[at].Type.Kind != kind {
		if c.info[at].next < 0 {
			next := c.add(storage.Column{Name: name, Type: vec.Type{Kind: kind}, Role: storage.Attribute})
			c.info[next].first = first
			c.info[at].next = next
			return next
		}
		at = c.info[at].next
	}
	return at
}

func (c *columns) add(col storage.Column) int32 {
	at := int32(len(c.list))
	c.list = append(c.list, col)
	c.info = append(c.info, columnInfo{first: at, next: -1})
	return at
}

// use notes that a record uses a column's name, and reports false if it did already.
func (c *columns) use(at int32, record int) bool {
	stamp := &c.info[c.info[at].first].stamp
	if *stamp == int32(record+1) {
		return false
	}
	*stamp = int32(record + 1)
	return true
}

// used reports whether a record uses an attribute of that name.
func (c *columns) used(name string, record int) bool {
	first, known := c.byName[name]
	return known && c.info[first].stamp == int32(record+1)
}
