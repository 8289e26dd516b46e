package embedded

import (
	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/storage/embedded/series"
	"github.com/weir-db/weir/internal/vec"
)

// grouping maps series to groups by the keys that are dimensions or the measure
// name. It is made once per scan.
type grouping struct {
	of      []uint32    // group of each of plan.ids
	first   []series.ID // a series of each group, for its key values
	oneEach bool        // every series is a group of its own
	final   bool        // each group and bin has one slot in all batches
}

func newGrouping(p *plan) *grouping {
	g := &grouping{of: make([]uint32, len(p.ids))}
	if one, ok := p.onlyKey(); ok {
		g.byCode(p, one)
		return g
	}
	byKey := map[string]uint32{}
	var key []byte
	for i, id := range p.ids {
		key = key[:0]
		for k := range p.keys {
			if c, ok := p.keys[k].code(p.series, id); ok {
				key = append(key, byte(c), byte(c>>8), byte(c>>16), byte(c>>24), 1)
			} else {
				key = append(key, 0, 0, 0, 0, 0)
			}
		}
		group, ok := byKey[string(key)]
		if !ok {
			group = uint32(len(g.first))
			byKey[string(key)] = group
			g.first = append(g.first, id)
		}
		g.of[i] = group
	}
	g.oneEach = len(g.first) == len(p.ids)
	return g
}

// onlyKey returns the key that is a dimension or the measure name, if there is just one.
func (p *plan) onlyKey() (key *scanColumn, ok bool) {
	for k := range p.keys {
		if p.keys[k].Role != storage.TimeColumn {
			if key != nil {
				return nil, false
			}
			key = &p.keys[k]
		}
	}
	return key, key != nil
}

// byCode groups by the codes of one key, through a table in place of a map.
func (g *grouping) byCode(p *plan, key *scanColumn) {
	n := len(p.series.Measures())
	if key.Role == storage.Dimension {
		n = len(key.dim.Values)
	}
	groups := make([]uint32, n+1) // by code, then for series without; group plus one
	for i, id := range p.ids {
		code, ok := key.code(p.series, id)
		if !ok {
			code = uint32(n)
		}
		if groups[code] == 0 {
			g.first = append(g.first, id)
			groups[code] = uint32(len(g.first))
		}
		g.of[i] = groups[code] - 1
	}
	g.oneEach = len(g.first) == len(p.ids)
}

// code returns a series' value of a dimension or measure name as a code, or false
// if the series lacks it. The time key has no code.
func (c *scanColumn) code(v *series.View, id series.ID) (uint32, bool) {
	switch c.Role {
	case storage.Dimension:
		return c.dim.Code(id)
	case storage.MeasureName:
		return v.MeasureCode(id), true
	}
	return 0, false
}

// keyVector returns the values of a dimension or measure name for the given series.
func (c *scanColumn) keyVector(v *series.View, ids []series.ID) *vec.Vector {
	values := v.Measures()
	if c.Role == storage.Dimension {
		values = c.dim.Values
	}
	if len(ids) == 1 {
		if code, ok := c.code(v, ids[0]); ok {
			return vec.Const(vec.Str(values[code]), 1)
		}
		return vec.NullsOf(vec.VarcharType, 1)
	}
	index := make([]int32, len(ids))
	missing := false
	for i, id := range ids {
		code, ok := c.code(v, id)
		index[i] = int32(code)
		if !ok {
			index[i] = int32(len(values))
			missing = true
		}
	}
	dict := vec.OfStrs(values, nil)
	if missing {
		nulls := make([]bool, len(values)+1)
		nulls[len(values)] = true
		dict = vec.OfStrs(append(values[:len(values):len(values)], ""), nulls)
	}
	return vec.OfDict(index, dict)
}
