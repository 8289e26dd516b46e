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
	for i := range o.bools {
		o.bools[i] = !o.bools[i]
	}
	for i := range o.nulls {
		o.nulls[i] = !o.nulls[i]
	}
}

// poisonBlock does the same with a block that a worker decoded.
func poisonBlock(d *blockData) {
	overwrite(d.times)
	overwrite(d.versions)
	for i := range d.columns[:cap(d.columns)] {
		overwrite(d.columns[:cap(d.columns)][i].Ints)
		clear(d.columns[:cap(d.columns)][i].Floats)
		clear(d.columns[:cap(d.columns)][i].Strs)
	}
}

func overwrite(ints []int64) {
	for i := range ints {
		ints[i] = math.MinInt64 + 666
	}
}
