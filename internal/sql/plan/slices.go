package plan

import (
	"math"
	"time"

	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/vec"
)

// TimeSlices reads its input in slices of time, the newest (or with Ascending the oldest) first, until
// it has given N rows: rows of later slices come after them in the order that is asked for above. The
// slices grow, so that little is read twice as often where few rows pass.
//
// Input is projections, filters and at most one grouping over one scan. Slices begin at
// multiples of WidthNs, so that no group is in two.
type TimeSlices struct {
	Input     Node
	WidthNs   int64
	FirstNs   int64 // length of the first slice, a multiple of WidthNs
	N         int64
	Ascending bool
	NewestNs  int64 // no row is expected after it
}

func (n *TimeSlices) Types() []vec.Type { return n.Input.Types() }

// slicesOfRows is the first slice of rows that are not grouped.
const slicesOfRows = int64(time.Minute)

// sliceTime has ORDER BY a bin of time (or time itself) with LIMIT read slice after slice, if storage
// is not asked for the newest rows already.
func sliceTime(b *builder, n Node) Node {
	return transform(n, func(n Node) Node {
		top, ok := n.(*TopN)
		if !ok || len(top.Keys) == 0 || top.N <= 0 || top.N > 10_000 {
			return n
		}
		scan, width := slicedBy(top.Input, top.Keys[0].Expr, false)
		if scan == nil || scan.Spec.Limit > 0 || scan.Spec.From >= scan.Spec.To {
			return n
		}
		ascending := !top.Keys[0].Desc
		if ascending && scan.Spec.From == storage.AllTime.From {
			return n // where its rows begin is not known
		}
		first := slicesOfRows
		if width > 1 {
			if width > math.MaxInt64/4/top.N {
				return n
			}
			first = width * top.N
		}
		now := b.env.Now.Add(storage.EarlySlack).UnixNano()
		top.Input = &TimeSlices{Input: top.Input, WidthNs: width, FirstNs: first, N: top.N, Ascending: ascending, NewestNs: now}
		b.changes++
		return n
	})
}

// slicedBy returns the scan below n whose time e, over n, is or is a bin of, and the width of the
// bin: 1 for time itself. grouped says that a grouping was passed.
func slicedBy(n Node, e Expr, grouped bool) (*Scan, int64) {
	switch n := n.(type) {
	case *Scan:
		if n.isTime(e) {
			return n, 1
		}
		call, ok := e.(*Call)
		if !ok {
			return nil, 0
		}
		p := pusher{scan: n}
		width, _, ok := p.grain(call)
		if !ok || !wholeBins(call) {
			return nil, 0
		}
		return n, width
	case *Project:
		return slicedBy(n.Input, replaced(e, n.Exprs), grouped)
	case *Filter:
		return slicedBy(n.Input, e, grouped)
	case *Aggregate:
		c, ok := e.(*Column)
		if !ok || grouped || c.Index >= len(n.Keys) {
			return nil, 0
		}
		return slicedBy(n.Input, n.Keys[c.Index], true)
	}
	return nil, 0
}

// wholeBins reports whether the function gives the beginning of a bin as wide as its grain.
func wholeBins(c *Call) bool {
	if c.Call.Func.Name == "bin" {
		return true
	}
	if c.Call.Func.Name != "date_trunc" {
		return false
	}
	switch v, _ := constOf(c.Args[0]); v.Str {
	case "second", "minute", "hour", "day":
		return true
	}
	return false
}

// Slice is a range of time, From <= time < To.
type Slice struct{ From, To int64 }

// Slices returns an iterator over the slices of the scan's range: each call gives the next, ok is false
// after the last.
func (n *TimeSlices) Slices() func() (s Slice, ok bool) {
	spec := n.scan().Spec
	length, done := n.FirstNs, false
	bin := func(t int64) int64 { return t - ((t%n.WidthNs)+n.WidthNs)%n.WidthNs }
	if n.Ascending {
		from, to := spec.From, bin(spec.From)
		return func() (Slice, bool) {
			if done {
				return Slice{}, false
			}
			if to > min(spec.To, n.NewestNs)-length { // the last one
				done = true
				return Slice{from, spec.To}, true
			}
			to += length
			s := Slice{from, to}
			from, length = to, grown(length)
			return s, true
		}
	}
	newest := min(spec.To-1, n.NewestNs)
	oldest := max(spec.From, 0) // stored times begin at 1970
	from, to := bin(newest), spec.To
	length -= n.WidthNs // the bin of newest is the first of them
	return func() (Slice, bool) {
		if done {
			return Slice{}, false
		}
		if from < oldest+length {
			done = true
			return Slice{spec.From, to}, true
		}
		from -= length
		s := Slice{from, to}
		to, length = from, grown(max(length, n.FirstNs))
		return s, true
	}
}

// grown is the length of the next slice. It stays a multiple of the width.
func grown(length int64) int64 {
	if length > math.MaxInt64/16 {
		return length
	}
	return 4 * length
}

// scan is the scan below.
func (n *TimeSlices) scan() *Scan {
	in := n.Input
	for {
		if s, ok := in.(*Scan); ok {
			return s
		}
		in = Inputs(in)[0]
	}
}

// Within returns the input as it reads the slice, and which of its nodes stands for which.
func (n *TimeSlices) Within(s Slice) (in Node, origin map[Node]Node) {
	in, origin = clone(n.Input), map[Node]Node{}
	a, b := in, n.Input
	for {
		origin[a] = b
		if scan, ok := a.(*Scan); ok {
			scan.Spec.From, scan.Spec.To = max(scan.Spec.From, s.From), min(scan.Spec.To, s.To)
			return in, origin
		}
		a, b = Inputs(a)[0], Inputs(b)[0]
	}
}
