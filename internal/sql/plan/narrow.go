package plan

import "github.com/weir-db/weir/internal/storage"

// narrowScans lets joins that drop rows of their probe side without a match tell the scan there which series can have one.
func narrowScans(b *builder, n Node) Node {
	return transform(n, func(n Node) Node {
		if j, ok := n.(*Join); ok {
			if j.Narrows = j.narrowing(); j.Narrows != nil {
				b.changes++
			}
		}
		return n
	})
}

// narrowing finds a key of the probe side that is a dimension of a scan.
func (n *Join) narrowing() *Narrowing {
	probe, keys := n.Left, n.LeftKeys
	switch {
	case n.Kind == AntiJoin || n.Kind == FullJoin:
		return nil
	case n.BuildLeft && n.Kind != SemiJoin:
		if n.Kind == RightJoin {
			return nil
		}
		probe, keys = n.Right, n.RightKeys
	case n.Kind == LeftJoin:
		return nil
	}
	for i, k := range keys {
		scan, e := filteredScan(probe, k)
		c, ok := e.(*Column)
		if !ok || scan.Spec.Limit > 0 || scan.Top != nil {
			continue
		}
		if role := scan.Roles[c.Index]; role == storage.Dimension || role == storage.MeasureName {
			return &Narrowing{Key: i, Column: scan.Spec.Columns[c.Index]}
		}
	}
	return nil
}
