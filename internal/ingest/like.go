package ingest

import (
	"math"

	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/vec"
)

// base is what records that are Like another share with it.
type base struct {
	like   int        // 1 + index of the other record; 0: none
	unit   int64      // ns
	common int        // values that come from the common attributes
	kinds  []vec.Kind // of the record's own values
	names  *dimensionNames
	// Of the own values, without the texts of VARCHAR: what they are metered, and what they
	// count against the limit.
	metered, size int64
}

// setBase prepares b.base for records like number like-1.
func (b *builder) setBase(like int) {
	r, row, c := &b.req.Records[like-1], &b.rows.Rows[like-1], &b.req.Common
	s := base{like: like, unit: first(r.TimeUnit, c.TimeUnit, Milliseconds).scale(), kinds: b.base.kinds[:0]}
	if row.Multi {
		s.common = len(c.MeasureValues)
	}
	for k := range row.Values {
		kind := b.columns.list[row.Values[k].Column].Type.Kind
		if k < s.common {
			s.size += valueBytes(kind, row.Values[k].Str)
			continue
		}
		s.kinds = append(s.kinds, kind)
		bytes := valueBytes(kind, "")
		s.size += bytes
		s.metered += bytes
		if row.Multi {
			s.metered += int64(len(r.MeasureValues[k-s.common].Name))
		}
	}
	if r.MeasureName != "" {
		s.metered += int64(len(r.MeasureName))
	}
	if r.Time != "" {
		s.metered += 8
	}
	b.base = s
}

// like appends the row of a record that is like another, which was found good: what is left to
// judge is what differs. It reports false, with nothing changed, if there is anything to say about
// the record; then record says it.
func (b *builder) like(r *Record) bool {
	own := r.List
	if r.Alike != nil {
		own = r.Alike
	}
	list, now := b.listOf(r, own)
	if !list.holds(now) || r.Alike != nil && !b.valuesFit(list, r.Dimensions) {
		return false
	}
	if b.base.like != r.Like {
		b.setBase(r.Like)
	}
	s, other := &b.base, &b.rows.Rows[r.Like-1]
	if list.names != s.names {
		if !sameDimNames(list.row, other.Dimensions) {
			return false
		}
		if s.names == nil {
			s.names = list.names
		}
		list.names = s.names
	}
	row := storage.Row{Measure: other.Measure, Dimensions: list.row, TimeNs: other.TimeNs, Version: other.Version, Multi: other.Multi}
	if r.Time != "" {
		n, ok := parseInt(r.Time)
		if !ok {
			return false
		}
		row.TimeNs, _ = scaled(n, s.unit)
	}
	if r.Version != 0 {
		row.Version = r.Version
	}
	texts := r.Values
	if !row.Multi {
		if r.MeasureValue == "" {
			return false
		}
		texts = []string{r.MeasureValue}
	}
	var ok bool
	var metered int64
	if row.Values, metered, ok = b.likeValues(other.Values, texts); !ok {
		return false
	}
	b.metered += metered
	if r.Alike != nil {
		row.Dimensions = b.alike(list, r.Dimensions)
		b.metered += meteredDims(r.Dimensions)
	} else {
		if len(r.Dimensions) > 0 {
			b.metered += list.bytes
		}
		row.Memo = list.memo(row.Measure)
	}
	b.lastDims, b.lastNames, b.lastVals, b.familiar = row.Dimensions, list.names, row.Values, true
	b.rows.Rows = append(b.rows.Rows, row)
	return true
}

// valuesFit reports whether dimensions that are like those of a list, but for their values, are within the limit.
func (b *builder) valuesFit(list *DimensionList, own []Dimension) bool {
	size := meteredDims(own)
	for _, dim := range list.row[:len(list.row)-len(own)] {
		size += int64(len(dim.Name) + len(dim.Value))
	}
	return size <= int64(b.limits.DimensionBytes)
}

// alike appends the dimensions of a row whose own ones are like those of a list, but for their values.
func (b *builder) alike(list *DimensionList, own []Dimension) []storage.Dim {
	b.dims = grow(b.dims, len(list.row), len(b.req.Records)-b.index)
	start := len(b.dims)
	b.dims = append(b.dims, list.row...)
	dims := b.dims[start:len(b.dims):len(b.dims)]
	for k := range own {
		dims[len(dims)-len(own)+k].Value = own[k].Value
	}
	return dims
}

// likeValues appends values of the columns of a row of b.base, the own ones of the given texts, and
// returns what they and the record's other members are metered.
func (b *builder) likeValues(other []storage.Val, texts []string) (vals []storage.Val, metered int64, ok bool) {
	s := &b.base
	if len(texts) != len(s.kinds) {
		return nil, 0, false
	}
	b.vals = grow(b.vals, len(other), len(b.req.Records)-b.index)
	start := len(b.vals)
	vals = append(b.vals, other...)[start:]
	own := vals[s.common:]
	var varchar int64
	for k, text := range texts {
		v := &own[k]
		if s.kinds[k] == vec.Double {
			f, ok := parseDouble(text)
			if !ok || len(text) > b.limits.ValueBytes {
				return nil, 0, false
			}
			v.Bits = math.Float64bits(f)
			continue
		}
		if len(text) > b.limits.ValueBytes {
			return nil, 0, false
		}
		if v.Bits, v.Str, ok = parseValue(s.kinds[k], text, s.unit); !ok {
			return nil, 0, false
		}
		varchar += int64(len(v.Str))
	}
	if s.size+varchar > int64(b.limits.MultiBytes) {
		return nil, 0, false
	}
	b.vals = b.vals[:start+len(vals)]
	return vals[:len(vals):len(vals)], s.metered + varchar, true
}
