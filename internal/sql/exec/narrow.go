package exec

import (
	"github.com/weir-db/weir/internal/storage"
)

// mostNarrow is how many keys a join tells a scan at most: their set takes some three mebibytes then.
const mostNarrow = 1 << 16

// narrow tells the scan on the probe side, which has not begun, which keys are in the table. It need not listen.
func (o *joinOp) narrow() {
	t := o.table.keys
	if o.narrows == nil || t == nil || t.len() > mostNarrow {
		return
	}
	scan := scanBelow(o.probe)
	if scan == nil || scan.open != nil {
		return
	}
	v := t.column(o.narrows.Key)
	keys := make(map[string]struct{}, v.Len())
	for i := range v.Len() {
		if !v.IsNull(i) {
			keys[v.Str(i)] = struct{}{}
		}
	}
	scan.narrow = append(scan.narrow, storage.Predicate{Column: o.narrows.Column, Op: storage.Match, Text: "has a key of the join",
		Matches: func(value string, null bool) bool {
			_, ok := keys[value]
			return ok && !null
		}})
}

// scanBelow returns the scan that in is rows of, or nil.
func scanBelow(in operator) *scanOp {
	switch o := in.(type) {
	case *measured:
		return scanBelow(o.operator)
	case *filterOp:
		return scanBelow(o.in)
	case *projectOp:
		return scanBelow(o.in)
	case *scanOp:
		return o
	}
	return nil
}
