//go:build invariants

package embedded

import "math"

// poison overwrites a column whose memory is about to be used again, so that whoever still reads the batch that
// was made of it shows.
func poison(o *outputs) {
	for i := range o.ints {
		o.ints[i] = math.MinInt64 + 666
	}
	for i := range o.floats {
		o.floats[i] = -666e66
	}
	for i := range o.strs {
		o.strs[i] = "a batch was read after its end"
	}
	invert(o.bools)
	invert(o.nulls)
}

// poisonBlock does the same with a block that a worker decoded.
func poisonBlock(d *blockData) {
	overwrite(d.times)
	overwrite(d.versions)
	columns := d.columns[:cap(d.columns)]
	for i := range columns {
		c := &columns[i]
		overwrite(c.Ints)
		for k := range c.Floats {
			c.Floats[k] = -666e66
		}
		for k := range c.Strs {
			c.Strs[k] = "a block was read after its end"
		}
		invert(c.Bools)
		invert(c.Nulls)
	}
}

func overwrite(ints []int64) {
	for i := range ints {
		ints[i] = math.MinInt64 + 666
	}
}

func invert(bools []bool) {
	for i := range bools {
		bools[i] = !bools[i]
	}
}
