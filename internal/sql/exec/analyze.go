package exec

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/weir-db/weir/internal/sql/plan"
	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/vec"
)

// measure is what one operator did, over all its instances.
type measure struct {
	rows    int64
	took    time.Duration // in next, inputs included
	applied *storage.Applied
}

// measured wraps an operator to measure it.
type measured struct {
	operator
	m *measure
}

func (o *measured) next(ctx context.Context) (*vec.Batch, error) {
	began := time.Now()
	b, err := o.operator.next(ctx)
	o.m.took += time.Since(began)
	if b != nil {
		o.m.rows += int64(b.Len)
	}
	return b, err
}

// measureOf returns the measure of a node.
func (r *run) measureOf(n plan.Node) *measure {
	m := r.measures[n]
	if m == nil {
		m = &measure{}
		r.measures[n] = m
	}
	return m
}

// note is what Explain writes behind a node.
func (r *run) note(n plan.Node) string {
	m := r.measures[n]
	if m == nil {
		return ""
	}
	text := fmt.Sprintf(" (%d rows, %v", m.rows, m.took.Round(time.Microsecond))
	if a := m.applied; a != nil {
		switch {
		case a.Aggregation:
			text = " (grouped by storage"
		case slices.Contains(a.Where, false):
			text += ", filtered by the executor"
		}
	}
	return text + ")"
}
