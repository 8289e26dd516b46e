package embedded

import (
	"math"

	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/storage/embedded/series"
	"github.com/weir-db/weir/internal/vec"
)

// whole answers a run from statistics if it lies in one group, and reports whether.
func (a *aggregator) whole(r run, id series.ID, group uint32) (bool, error) {
	n, first, last := r.span()
	if first < a.p.from || last >= a.p.to || len(a.p.tests) > 0 || a.bin(first) != a.bin(last) {
		return false, nil
	}
	for i := range a.st.cols {
		c := &a.st.cols[i]
		if !c.fromStats(statsOf(r, c)) {
			return false, nil
		}
	}
	a.p.stats.rows.Add(int64(n))
	slot := a.st.slot(id, group, a.bin(first))
	for i := range a.st.cols {
		c := &a.st.cols[i]
		var err error
		switch c.Role {
		case storage.Attribute, storage.MeasureValue:
			err = c.addStats(slot, statsOf(r, c), n, first, last)
		default:
			if c.fn == storage.CountRows {
				c.n[slot] += int64(n)
				continue
			}
			var v values
			a.constant(c, id, &v)
			if c.Role == storage.TimeColumn {
				v.ints = []int64{first, last}
				err = c.addRows(slot, &v, v.ints, 0, 2)
				if c.fn == storage.Count {
					c.n[slot] += int64(n - 2)
				}
				break
			}
			switch c.fn {
			case storage.First:
				c.offer(slot, &v, first, 0)
			case storage.Last:
				c.offer(slot, &v, last, 0)
			default:
				err = c.addRows(slot, &v, nil, 0, n)
			}
		}
		if err != nil {
			return false, err
		}
	}
	return true, nil
}

func statsOf(r run, c *stateColumn) *blockStats {
	if c.fn == storage.CountRows || c.col.Kind == vec.Unknown {
		return nil
	}
	return r.stats(c.col)
}

// fromStats reports whether statistics can stand for all rows of a block.
func (c *stateColumn) fromStats(s *blockStats) bool {
	if c.fn == storage.CountRows {
		return true
	}
	switch {
	case c.Role == storage.TimeColumn || c.Role == storage.Dimension || c.Role == storage.MeasureName:
		return true
	case s == nil:
		return false
	case c.fn == storage.Count:
		return true
	case c.fn == storage.Moments:
		return s.hasM2 && s.hasSum || s.nonNull == 0
	case c.fn == storage.Sum:
		return s.hasSum || s.nonNull == 0
	case c.fn == storage.First:
		return s.first != nil
	case c.fn == storage.Last:
		return s.last != nil
	}
	return s.hasMinMax || s.nonNull == 0
}

// addStats adds a whole block of n rows to a slot.
func (c *stateColumn) addStats(slot int, s *blockStats, n int, minTime, maxTime int64) error {
	switch c.fn {
	case storage.CountRows:
		c.n[slot] += int64(n)
	case storage.Count:
		c.n[slot] += int64(s.nonNull)
	case storage.First:
		c.offerStored(slot, s.first, minTime)
	case storage.Last:
		c.offerStored(slot, s.last, maxTime)
	case storage.Moments:
		if s.nonNull == 0 {
			return nil
		}
		sum := math.Float64frombits(s.sumBits)
		if c.Type.Kind != vec.Double {
			sum = float64(int64(s.sumBits))
		}
		c.mergeMoments(slot, s.nonNull, sum/float64(s.nonNull), s.m2)
	case storage.Sum:
		if s.nonNull == 0 {
			return nil
		}
		c.empty[slot] = false
		if c.Type.Kind == vec.Double {
			c.floats[slot] += math.Float64frombits(s.sumBits)
			return nil
		}
		sum, ok := addInts(c.ints[slot], int64(s.sumBits))
		if !ok {
			return errOverflow
		}
		c.ints[slot] = sum
	case storage.Min, storage.Max:
		if s.nonNull == 0 {
			return nil
		}
		bound := values{kind: c.Type.Kind, constant: true}
		b, str := s.minBits, s.minStr
		if c.fn == storage.Max {
			b, str = s.maxBits, s.maxStr
		}
		bound.strs = []string{str}
		if c.Type.Kind != vec.Varchar {
			bound.strs = nil
			bound.setBits([]uint64{b})
		}
		c.addExtreme(slot, &bound, 0, 1)
	}
	return nil
}

// offerStored is offer for a value from statistics.
func (c *stateColumn) offerStored(slot int, v *storedValue, time int64) {
	if !c.fresh[slot] && (c.fn == storage.First) == (time >= c.n[slot]) {
		return
	}
	c.fresh[slot] = false
	c.n[slot] = time
	c.empty[slot] = v.null
	if v.null {
		return
	}
	switch c.Type.Kind.Storage() {
	case vec.StoreFloats:
		c.floats[slot] = math.Float64frombits(v.bits)
	case vec.StoreBools:
		c.bools[slot] = v.bits != 0
	case vec.StoreStrs:
		c.strs[slot] = v.str
	default:
		c.ints[slot] = int64(v.bits)
	}
}
