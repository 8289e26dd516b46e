package plan

import (
	"math"

	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/vec"
)

// topN makes ORDER BY … LIMIT n keep n rows only.
func topN(b *builder, n Node) Node {
	return transform(n, func(n Node) Node {
		l, ok := n.(*Limit)
		if !ok || l.N < 0 || l.N > math.MaxInt32 || l.Offset > math.MaxInt32 {
			return n
		}
		s, ok := l.Input.(*Sort)
		if !ok {
			return n
		}
		b.changes++
		top := &TopN{Input: s.Input, Keys: s.Keys, N: l.N + l.Offset}
		if l.Offset == 0 {
			return top
		}
		l.Input = top
		return l
	})
}

// pushLimit tells a scan how many rows are wanted, and for ORDER BY time DESC that they
// are the newest.
func pushLimit(b *builder, n Node) Node {
	return transform(n, func(n Node) Node {
		switch n := n.(type) {
		case *Limit:
			if scan, _ := scanBelow(n.Input, nil); scan != nil && n.N >= 0 && n.N < math.MaxInt64-n.Offset {
				b.changes++
				scan.Spec.Limit = max(n.N+n.Offset, 1)
			}
		case *TopN:
			if len(n.Keys) != 1 || !n.Keys[0].Desc || n.N == 0 {
				break
			}
			scan, key := scanBelow(n.Input, n.Keys[0].Expr)
			if c, ok := key.(*Column); ok && scan != nil && scan.Roles[c.Index] == storage.TimeColumn {
				b.changes++
				scan.Spec.Limit, scan.Spec.NewestFirst = n.N, true
			}
		}
		return n
	})
}

// ScanTop is the first key of the TopN above a scan: rows that come after its last row so far need not be read.
type ScanTop struct {
	Column           int // of Spec.Columns
	Desc, NullsFirst bool
}

// boundTop tells the scan below a TopN what it is ordered by.
func boundTop(b *builder, n Node) Node {
	return transform(n, func(n Node) Node {
		top, ok := n.(*TopN)
		if !ok || len(top.Keys) == 0 || top.N == 0 {
			return n
		}
		key := top.Keys[0]
		scan, e := filteredScan(top.Input, key.Expr)
		c, ok := e.(*Column)
		if !ok || scan.Spec.Limit > 0 || len(scan.Spec.Order) > 0 || scan.Roles[c.Index] == storage.Dimension {
			return n
		}
		switch c.T.Kind {
		case vec.Double, vec.Bigint, vec.Timestamp:
			b.changes++
			scan.Top = &ScanTop{c.Index, key.Desc, key.NullsFirst}
		}
		return n
	})
}

// filteredScan is scanBelow that passes filters, too.
func filteredScan(n Node, e Expr) (*Scan, Expr) {
	switch n := n.(type) {
	case *Scan:
		return n, e
	case *Filter:
		return filteredScan(n.Input, e)
	case *Project:
		return filteredScan(n.Input, replaced(e, n.Exprs))
	}
	return nil, nil
}

// scanBelow returns the scan that n projects row by row, and e, over n, as an
// expression over it.
func scanBelow(n Node, e Expr) (*Scan, Expr) {
	switch n := n.(type) {
	case *Scan:
		return n, e
	case *Project:
		if e != nil {
			e = replaced(e, n.Exprs)
		}
		return scanBelow(n.Input, e)
	}
	return nil, nil
}

// buildSide hashes the side of a join that seems to have fewer rows.
func buildSide(b *builder, n Node) Node {
	e := estimator{}
	return transform(n, func(n Node) Node {
		if j, ok := n.(*Join); ok && j.Kind != SemiJoin && j.Kind != AntiJoin {
			if j.BuildLeft = e.rows(j.Left) < e.rows(j.Right); j.BuildLeft {
				b.changes++
			}
		}
		return n
	})
}

// estimator guesses how many rows nodes give, each once.
type estimator map[Node]float64

func (e estimator) rows(n Node) float64 {
	if rows, ok := e[n]; ok {
		return rows
	}
	rows := e.guess(n)
	e[n] = rows
	return rows
}

func (e estimator) guess(n Node) float64 {
	switch n := n.(type) {
	case *Scan:
		rows := float64(n.Table.Stats().Rows)
		if n.Spec.From != storage.AllTime.From || n.Spec.To != storage.AllTime.To {
			rows *= 0.3
		}
		for _, f := range n.Filters {
			rows *= selectivity(f.Pred.Op)
		}
		return rows
	case *Values:
		return float64(len(n.Rows))
	case *Filter:
		return 0.3 * e.rows(n.Input)
	case *Aggregate:
		if len(n.Keys) == 0 {
			return 1
		}
		return 0.1 * e.rows(n.Input)
	case *TopN:
		return min(float64(n.N), e.rows(n.Input))
	case *Limit:
		if n.N < 0 {
			return e.rows(n.Input)
		}
		return min(float64(n.N), e.rows(n.Input))
	case *SetOp:
		sum := 0.0
		for _, in := range n.Inputs {
			sum += e.rows(in)
		}
		return sum
	case *Join:
		if n.Kind == SemiJoin || n.Kind == AntiJoin {
			return e.rows(n.Left)
		}
		if len(n.LeftKeys) == 0 && !hasEquality(n) {
			return e.rows(n.Left) * e.rows(n.Right)
		}
		return max(e.rows(n.Left), e.rows(n.Right))
	case *Unnest:
		return 10 * e.rows(n.Input)
	}
	most := 0.0
	for _, in := range Inputs(n) {
		most = max(most, e.rows(in))
	}
	return most
}

// hasEquality reports whether n's condition has an equality that can become a hash key.
func hasEquality(n *Join) bool {
	width := -1
	for _, c := range split(n.Residual) {
		if width < 0 {
			width = Width(n.Left)
		}
		if _, _, ok := equality(c, width); ok {
			return true
		}
	}
	return false
}

func selectivity(op storage.Op) float64 {
	switch op {
	case storage.Eq:
		return 0.05
	case storage.In, storage.Match:
		return 0.2
	case storage.Ne, storage.IsNotNull:
		return 0.9
	}
	return 0.3
}
