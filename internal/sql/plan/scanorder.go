package plan

import (
	"slices"

	"github.com/weir-db/weir/internal/storage"
)

// scanOrder asks scans for rows in the order that sorts and windows above them need: by dimensions, the measure
// name and then time, which is how rows are stored or nearly so. Between them may be what keeps the order of rows:
// filters, projections, and windows, which give rows by their own partitions and order. Whether storage honours it turns out
// when the scan begins; the executor sorts what it does not.
func scanOrder(b *builder, n Node) Node {
	return transform(n, func(n Node) Node {
		changed := false
		switch n := n.(type) {
		case *Window:
			n.Ordered, n.Whole = ask(n.Input, n.rowOrder(), len(n.Partition))
			changed = n.Ordered
		case *Sort:
			n.Ordered, _ = ask(n.Input, n.Keys, 0)
			changed = n.Ordered
		case *TopN:
			n.Ordered, _ = ask(n.Input, n.Keys, 0)
			if scan, _ := scanBelow(n.Input, nil); scan != nil && n.Ordered {
				scan.Spec.Limit = n.N
			}
			changed = n.Ordered
		}
		if changed {
			b.changes++
		}
		return n
	})
}

// rowOrder is the order in which a window gives its rows, which are those of its input.
func (n *Window) rowOrder() []SortKey {
	keys := make([]SortKey, len(n.Partition), len(n.Partition)+len(n.Order))
	for i, p := range n.Partition {
		keys[i].Expr = p
	}
	return append(keys, n.Order...)
}

// ask reports whether n can give its rows by keys, and if so has the scan below asked for that order. Then whole says that rows
// that are equal in so many of the first keys are in one piece of the scan.
func ask(n Node, keys []SortKey, first int) (ok, whole bool) {
	switch n := n.(type) {
	case *Filter:
		return ask(n.Input, keys, first)
	case *Project:
		keys = slices.Clone(keys)
		for i := range keys {
			keys[i].Expr = replaced(keys[i].Expr, n.Exprs)
		}
		return ask(n.Input, keys, first)
	case *Window:
		has := n.rowOrder()
		return len(keys) <= len(has) && sameKeys(keys, has[:len(keys)]), false
	case *Scan:
		order, ok := n.orderOf(keys)
		if !ok || n.Spec.Limit > 0 || n.Spec.From >= n.Spec.To {
			return false, false
		}
		if len(n.Spec.Order) > 0 {
			return len(order) <= len(n.Spec.Order) && slices.Equal(order, n.Spec.Order[:len(order)]), false
		}
		n.Spec.Order = order
		of, _ := n.orderOf(keys[:first])
		// Without an order only a series is in one piece, and a partition may have several.
		return true, len(order) > 0 && len(withoutTime(of)) == len(withoutTime(order))
	}
	return false, false
}

// withoutTime is the dimensions and the measure name of an order.
func withoutTime(order []storage.OrderKey) []storage.OrderKey {
	if n := len(order); n > 0 && order[n-1].Column == storage.TimeColumnName {
		return order[:n-1]
	}
	return order
}

// orderOf returns keys over the scan as storage takes them: without those that are constant or come again, and time
// in place of a bin of time at the end.
func (n *Scan) orderOf(keys []SortKey) (order []storage.OrderKey, ok bool) {
	for _, k := range keys {
		if _, constant := constOf(k.Expr); constant {
			continue
		}
		name := storage.TimeColumnName
		if c, ok := k.Expr.(*Column); ok {
			if name = n.Spec.Columns[c.Index]; n.fixed(name) {
				continue
			}
			if r := n.Roles[c.Index]; r != storage.Dimension && r != storage.MeasureName && r != storage.TimeColumn {
				return nil, false
			}
		} else if _, width := slicedBy(n, k.Expr, false); width == 0 {
			return nil, false
		}
		last := len(order) - 1
		switch {
		case name != storage.TimeColumnName && slices.ContainsFunc(order, func(o storage.OrderKey) bool { return o.Column == name }):
		case last < 0 || order[last].Column != storage.TimeColumnName:
			order = append(order, storage.OrderKey{Column: name, Desc: k.Desc, NullsFirst: k.NullsFirst})
		case name != storage.TimeColumnName || k.Desc != order[last].Desc:
			return nil, false // rows of one time, or of one bin, come in any order
		}
	}
	return order, true
}

// fixed reports whether a column has one value in all rows that pass the scan's filters.
func (n *Scan) fixed(column string) bool {
	return slices.ContainsFunc(n.Filters, func(f Filtered) bool {
		return f.Pred.Column == column && (f.Pred.Op == storage.Eq || f.Pred.Op == storage.In && len(f.Pred.Values) == 1)
	})
}
