package exec

import (
	"context"
	"slices"

	"github.com/weir-db/weir/internal/sql/plan"
	"github.com/weir-db/weir/internal/vec"
)

// distinctSetsOp computes aggregates without GROUP BY of which some are DISTINCT, next to others or over several
// arguments. Each set of different arguments is the groups of an aggregation of its own, which takes the rows in
// parallel and spills; the others are computed as ever. All take the rows of one reading of the input.
type distinctSetsOp struct {
	f     *frame
	n     *plan.Aggregate
	in    *pipeline
	parts []*aggregatePart
	done  bool
}

// aggregatePart is the aggregates that one aggregation gives.
type aggregatePart struct {
	filter []*expr      // the rows that it takes; nil: all
	takes  *aggregateOp // rows
	gives  *aggregateOp // the row of results
	aggs   []int        // their places among the aggregates of the plan
	plan   plan.Aggregate
}

// setsOf divides the aggregates of n, or returns nil if there is nothing to gain.
func setsOf(n *plan.Aggregate) []*aggregatePart {
	if len(n.Keys) > 0 || n.Pushed != nil {
		return nil
	}
	var plain *aggregatePart
	var parts []*aggregatePart
	sets := false
	for i, a := range n.Aggs {
		isSet := a.Distinct && len(a.Order) == 0 && len(a.Args) > 0
		at := -1
		if isSet {
			sets = true
			at = slices.IndexFunc(parts, func(p *aggregatePart) bool {
				b := n.Aggs[p.aggs[0]]
				return p != plain && plan.Same(a.Filter, b.Filter) && slices.EqualFunc(a.Args, b.Args, plan.Same)
			})
		} else if plain != nil {
			at = slices.Index(parts, plain)
		}
		if at < 0 {
			at = len(parts)
			parts = append(parts, &aggregatePart{plan: plan.Aggregate{Input: n.Input}})
			if !isSet {
				plain = parts[at]
			}
		}
		parts[at].aggs = append(parts[at].aggs, i)
		parts[at].plan.Aggs = append(parts[at].plan.Aggs, a)
	}
	if !sets {
		return nil
	}
	return parts
}

func newDistinctSets(f *frame, n *plan.Aggregate, parts []*aggregatePart) (operator, error) {
	in, err := build(f, n.Input)
	if err != nil {
		return nil, err
	}
	o := &distinctSetsOp{f: f, n: n, in: newPipeline(f, in), parts: parts}
	for _, p := range parts {
		if err := p.make(f, n); err != nil {
			o.close()
			return nil, err
		}
		o.in.serial = o.in.serial || !p.takes.g.concurrent() || !concurrent(p.filter)
	}
	return o, nil
}

// make makes the operators of the part.
func (p *aggregatePart) make(f *frame, n *plan.Aggregate) (err error) {
	if first := n.Aggs[p.aggs[0]]; first.Distinct && len(first.Order) == 0 {
		if first.Filter != nil {
			if p.filter, err = conjuncts(first.Filter); err != nil {
				return err
			}
		}
		for i := range p.plan.Aggs {
			p.plan.Aggs[i].Filter = nil
		}
		over := distinctFirst(&p.plan)
		if p.takes, err = aggregateOf(f, over.Input.(*plan.Aggregate), noRows{}, n); err != nil {
			return err
		}
		p.gives, err = aggregateOf(f, over, p.takes, n)
		return err
	}
	p.takes, err = aggregateOf(f, &p.plan, noRows{}, n)
	p.gives = p.takes
	return err
}

func (o *distinctSetsOp) next(ctx context.Context) (*vec.Batch, error) {
	if o.done {
		return nil, nil
	}
	o.done = true
	if err := o.in.run(ctx, o.sink); err != nil {
		return nil, err
	}
	out := &vec.Batch{Len: 1, Columns: make([]*vec.Vector, len(o.n.Aggs))}
	for _, p := range o.parts {
		b, err := p.gives.next(ctx)
		if err != nil {
			return nil, err
		}
		for k, at := range p.aggs {
			out.Columns[at] = b.Columns[k]
		}
		p.gives.close()
	}
	return out, nil
}

// sink gives the rows of one worker to all parts.
func (o *distinctSetsOp) sink(w int) emitFunc {
	return func(ctx context.Context, b *vec.Batch) error {
		for _, p := range o.parts {
			rows := b
			if p.filter != nil {
				pass, all, err := filterRows(ctx, o.f, p.filter, b)
				if err != nil {
					return err
				}
				if !all {
					rows = b.Gather(pass)
				}
			}
			if rows.Len == 0 {
				continue
			}
			if err := p.takes.worker(w).add(ctx, rows); err != nil {
				return err
			}
		}
		return nil
	}
}

func (o *distinctSetsOp) close() {
	o.in.close()
	for _, p := range o.parts {
		if p.gives != nil {
			p.gives.close()
		}
		if p.takes != nil {
			p.takes.close()
		}
	}
	o.done = true
}
