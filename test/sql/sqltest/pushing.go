package sqltest

import (
	"context"
	"slices"

	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/storage/storagetest"
	"github.com/weir-db/weir/internal/vec"
)

// Pushing returns a view of t whose scans take on everything they are offered:
// predicates row by row, aggregation with one partial group per row, and order. It
// shows that what the executor makes of pushed work is right, whatever the backend.
func Pushing(t storage.Table) storage.Table { return &pushing{t} }

type pushing struct{ storage.Table }

// Scan implements [storage.Table].
func (p *pushing) Scan(ctx context.Context, spec storage.ScanSpec) (storage.Scanner, error) {
	schema := p.Schema()
	inner := storage.ScanSpec{From: spec.From, To: spec.To}
	for _, c := range schema.Columns {
		inner.Columns = append(inner.Columns, c.Name)
	}
	for _, name := range spec.Columns {
		if schema.Lookup(name) < 0 {
			return p.Table.Scan(ctx, spec) // for its error
		}
	}
	s, err := p.Table.Scan(ctx, inner)
	if err != nil {
		return nil, err
	}
	out := &pushingScanner{Scanner: s, spec: spec, schema: schema}
	if spec.NewestFirst && spec.Limit > 0 {
		err = out.sort(ctx, []storage.OrderKey{{Column: storage.TimeColumnName, Desc: true}})
	} else if len(spec.Order) > 0 {
		err = out.sort(ctx, spec.Order)
	}
	return out, err
}

type pushingScanner struct {
	storage.Scanner
	spec   storage.ScanSpec
	schema *storage.Schema
	sorted *vec.Batch // with an order
	passed int64
	done   bool
}

func (s *pushingScanner) Applied() storage.Applied {
	a := storage.Applied{Where: make([]bool, len(s.spec.Where)), Aggregation: s.spec.Aggregation != nil, NewestFirst: s.spec.NewestFirst && s.sorted != nil, Order: len(s.spec.Order) > 0}
	for i := range a.Where {
		a.Where[i] = true
	}
	return a
}

// sort reads all rows and sorts them.
func (s *pushingScanner) sort(ctx context.Context, keys []storage.OrderKey) error {
	all := make([]*vec.Builder, len(s.schema.Columns))
	for i, c := range s.schema.Columns {
		all[i] = vec.NewBuilder(c.Type, 0)
	}
	for {
		b, err := s.filtered(ctx)
		if err != nil {
			return err
		}
		if b == nil {
			break
		}
		for i, c := range b.Columns {
			for r := range b.Len {
				all[i].AppendFrom(c, r)
			}
		}
	}
	s.sorted = &vec.Batch{Len: all[0].Len()}
	for _, b := range all {
		s.sorted.Columns = append(s.sorted.Columns, b.Vector())
	}
	order := make([]int32, s.sorted.Len)
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortStableFunc(order, func(a, b int32) int {
		for _, k := range keys {
			if c := compareKey(k, s.sorted.Columns[s.schema.Lookup(k.Column)], int(a), int(b)); c != 0 {
				return c
			}
		}
		return 0
	})
	s.sorted = s.sorted.Gather(order)
	return nil
}

func compareKey(k storage.OrderKey, v *vec.Vector, a, b int) int {
	switch x, y := v.IsNull(a), v.IsNull(b); {
	case x && y:
		return 0
	case x || y:
		if x == k.NullsFirst {
			return -1
		}
		return 1
	case k.Desc:
		return vec.Compare(v, b, v, a)
	}
	return vec.Compare(v, a, v, b)
}

// filtered returns the next rows that satisfy the predicates, in all columns.
func (s *pushingScanner) filtered(ctx context.Context) (*vec.Batch, error) {
	for {
		b, err := s.Scanner.Next(ctx)
		if err != nil || b == nil {
			return nil, err
		}
		var rows []int32
		for i := range b.Len {
			holds := true
			for _, p := range s.spec.Where {
				holds = holds && storagetest.Holds(p, b.Columns[s.schema.Lookup(p.Column)].Value(i))
			}
			if holds {
				rows = append(rows, int32(i))
			}
		}
		if len(rows) > 0 {
			return b.Gather(rows), nil
		}
	}
}

func (s *pushingScanner) Next(ctx context.Context) (*vec.Batch, error) {
	if s.done || s.spec.Limit > 0 && s.passed >= s.spec.Limit {
		return nil, ctx.Err()
	}
	b := s.sorted
	if b == nil {
		var err error
		if b, err = s.filtered(ctx); err != nil || b == nil {
			return nil, err
		}
	} else if s.done = true; b.Len == 0 {
		return nil, nil
	}
	s.passed += int64(b.Len)
	if s.spec.Aggregation != nil {
		return s.partial(b), nil
	}
	out := &vec.Batch{Len: b.Len}
	for _, name := range s.spec.Columns {
		out.Columns = append(out.Columns, b.Columns[s.schema.Lookup(name)])
	}
	return out, nil
}

// partial makes one group of each row.
func (s *pushingScanner) partial(b *vec.Batch) *vec.Batch {
	out := &vec.Batch{Len: b.Len}
	times := b.Columns[s.schema.Lookup(storage.TimeColumnName)]
	for _, k := range s.spec.Aggregation.Keys {
		v := b.Columns[s.schema.Lookup(k.Column)]
		if k.BinNs > 0 {
			bins := make([]int64, b.Len)
			for i := range bins {
				bins[i] = vec.FloorDiv(times.Int(i), k.BinNs) * k.BinNs
			}
			v = vec.OfInts(vec.TimestampType, bins, nil)
		}
		out.Columns = append(out.Columns, v)
	}
	for _, a := range s.spec.Aggregation.Aggs {
		v := times
		if a.Func != storage.CountRows {
			v = b.Columns[s.schema.Lookup(a.Column)]
		}
		out.Columns = append(out.Columns, states(a.Func, v, times)...)
	}
	return out
}

func states(f storage.AggFunc, v, times *vec.Vector) []*vec.Vector {
	counts := make([]int64, v.Len())
	for i := range counts {
		if f == storage.CountRows || !v.IsNull(i) {
			counts[i] = 1
		}
	}
	n := vec.OfInts(vec.BigintType, counts, nil)
	switch f {
	case storage.CountRows, storage.Count:
		return []*vec.Vector{n}
	case storage.First, storage.Last:
		return []*vec.Vector{times, v}
	case storage.Moments:
		means := make([]float64, v.Len())
		for i := range means {
			switch {
			case v.IsNull(i):
			case v.Type.Kind == vec.Double:
				means[i] = v.Float(i)
			default:
				means[i] = float64(v.Int(i))
			}
		}
		return []*vec.Vector{n, vec.OfFloats(means, nil), vec.OfFloats(make([]float64, v.Len()), nil)}
	}
	return []*vec.Vector{v}
}
