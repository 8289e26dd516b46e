package embedded

import (
	"slices"
	"strings"

	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/storage/embedded/memstore"
	"github.com/weir-db/weir/internal/vec"
)

// names is the observed columns of a table: the schema as readers see it, and the
// ids that value columns have inside the engine. It is changed by the goroutine
// that applies the log; readers take the snapshot.
type names struct {
	observed   *observed          // replaced, never modified
	columns    map[string]*column // by name, all roles
	measures   map[string]*measure
	values     int32 // value columns so far: the next id
	dimensions int
	attributes int
}

// observed is a schema and the ids of its value columns, by position; -1 for others.
type observed struct {
	storage.Schema
	ids []int32
}

// column is what the engine knows of a column by name.
type column struct {
	storage.Column
	id int32 // of a value column; else -1
}

type measure struct {
	single vec.Kind // of single-measure records; Unknown if there was none
	// Positions in schema.Measures plus one, 0 if there is none.
	singleAt, multiAt int
}

// newNames builds the state from a stored schema; nil is an empty table.
func newNames(schema *observed) *names {
	if schema == nil {
		schema = &observed{Schema: storage.Schema{Columns: []storage.Column{
			{Name: storage.MeasureNameColumn, Type: vec.VarcharType, Role: storage.MeasureName},
			{Name: storage.TimeColumnName, Type: vec.TimestampType, Role: storage.TimeColumn},
		}}, ids: []int32{-1, -1}}
	}
	n := &names{observed: schema, columns: map[string]*column{}, measures: map[string]*measure{}}
	for i, c := range schema.Columns {
		col := &column{Column: c, id: schema.ids[i]}
		switch c.Role {
		case storage.Dimension:
			n.dimensions++
		case storage.Attribute, storage.MeasureValue:
			n.values = max(n.values, col.id+1)
			if c.Role == storage.Attribute {
				n.attributes++
			}
		}
		n.columns[c.Name] = col
	}
	for i, m := range schema.Measures {
		known := n.measure(m.Name)
		if m.Multi {
			known.multiAt = i + 1
		} else {
			known.single, known.singleAt = m.Type.Kind, i+1
		}
	}
	return n
}

func (n *names) measure(name string) *measure {
	m := n.measures[name]
	if m == nil {
		m = &measure{}
		n.measures[name] = m
	}
	return m
}

// resolve appends the table's column for each column of a request; the id is -1
// where the table does not have it so.
func (n *names) resolve(dst []memstore.Col, columns []storage.Column) []memstore.Col {
	for i := range columns {
		c := n.columns[columns[i].Name]
		if c == nil || c.id < 0 || c.Role != columns[i].Role || c.Type.Kind != columns[i].Type.Kind {
			dst = append(dst, memstore.Col{ID: -1})
			continue
		}
		dst = append(dst, memstore.Col{ID: c.id, Kind: c.Type.Kind})
	}
	return dst
}

// judge says why a row's names or types are refused, or nil.
func (n *names) judge(rows *storage.Rows, row *storage.Row) *storage.Rejection {
	dimensions, attributes := n.dimensions, n.attributes
	for i := range row.Dimensions {
		name := row.Dimensions[i].Name
		c := n.columns[name]
		if c == nil {
			dimensions++
		} else if c.Role != storage.Dimension {
			return &storage.Rejection{Cause: storage.NameConflict, Column: strings.Clone(name)}
		}
	}
	for k := range row.Values {
		brought := rows.Columns[row.Values[k].Column]
		c := n.columns[brought.Name]
		switch {
		case c == nil && slices.ContainsFunc(row.Dimensions, func(d storage.Dim) bool { return d.Name == brought.Name }),
			c != nil && c.Role != brought.Role:
			return &storage.Rejection{Cause: storage.NameConflict, Column: strings.Clone(brought.Name)}
		case c == nil && brought.Role == storage.Attribute:
			attributes++
		case c != nil && !c.Type.Equal(brought.Type):
			return &storage.Rejection{Cause: storage.TypeConflict, Column: strings.Clone(brought.Name), Have: c.Type, Want: brought.Type}
		}
	}
	m := n.measures[row.Measure]
	if m != nil && !row.Multi && m.single != vec.Unknown {
		if want := rows.Columns[row.Values[0].Column].Type; want.Kind != m.single {
			return &storage.Rejection{Cause: storage.TypeConflict, Column: strings.Clone(row.Measure), Have: vec.Type{Kind: m.single}, Want: want}
		}
	}
	switch {
	case dimensions > storage.MaxDimensionsPerTable:
		return &storage.Rejection{Cause: storage.TooManyDimensions}
	case m == nil && len(n.measures) >= storage.MaxMeasureNamesPerTable:
		return &storage.Rejection{Cause: storage.TooManyMeasures}
	case attributes > storage.MaxAttributesPerTable:
		return &storage.Rejection{Cause: storage.TooManyAttributes}
	}
	return nil
}

// grow adds the names of an accepted row and reports whether the schema changed.
func (n *names) grow(rows *storage.Rows, row *storage.Row) bool {
	var added []storage.Column
	add := func(c storage.Column) {
		if n.columns[c.Name] != nil {
			return
		}
		c.Name = strings.Clone(c.Name)
		col := &column{Column: c, id: -1}
		if c.Role >= storage.MeasureValue {
			col.id = n.values
			n.values++
		}
		n.columns[c.Name] = col
		added = append(added, c)
	}
	for _, d := range row.Dimensions {
		add(storage.Column{Name: d.Name, Type: vec.VarcharType, Role: storage.Dimension})
	}
	for _, v := range row.Values {
		add(rows.Columns[v.Column])
	}
	s := *n.observed
	changed := len(added) > 0
	if changed {
		s.Columns, s.ids = slices.Clone(s.Columns), slices.Clone(s.ids)
		for _, c := range added {
			switch c.Role {
			case storage.Dimension:
				n.dimensions++
			case storage.Attribute:
				n.attributes++
			}
			at := slices.IndexFunc(s.Columns, func(have storage.Column) bool { return have.Role > c.Role })
			if at < 0 {
				at = len(s.Columns)
			}
			s.Columns = slices.Insert(s.Columns, at, c)
			s.ids = slices.Insert(s.ids, at, n.columns[c.Name].id)
		}
	}
	if n.growMeasure(&s.Schema, rows, row) {
		changed = true
	}
	if changed {
		n.observed = &s
	}
	return changed
}

func (n *names) growMeasure(s *storage.Schema, rows *storage.Rows, row *storage.Row) bool {
	m := n.measures[row.Measure]
	if m == nil {
		m = n.measure(strings.Clone(row.Measure))
	}
	at := &m.singleAt
	if row.Multi {
		at = &m.multiAt
	}
	fresh := *at == 0
	if fresh {
		kind := storage.Measure{Name: strings.Clone(row.Measure), Multi: row.Multi}
		if !row.Multi {
			kind.Type = rows.Columns[row.Values[0].Column].Type
			m.single = kind.Type.Kind
		}
		// Appending past a snapshot's length is not seen by its readers.
		s.Measures = append(s.Measures, kind)
		*at = len(s.Measures)
	}
	have := s.Measures[*at-1].Dimensions
	for _, d := range row.Dimensions {
		if !slices.Contains(have, d.Name) {
			have = append(slices.Clip(have), strings.Clone(d.Name))
		}
	}
	if len(have) == len(s.Measures[*at-1].Dimensions) {
		return fresh
	}
	if !fresh {
		s.Measures = slices.Clone(s.Measures)
	}
	s.Measures[*at-1].Dimensions = have
	return true
}
