package exec

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/weir-db/weir/internal/sql/exec/spill"
	"github.com/weir-db/weir/internal/sql/plan"
	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/vec"
)

// measure is what one operator did, over all its instances.
type measure struct {
	rows    int64
	took    time.Duration // in next, inputs included
	held    int64         // memory charged now
	peak    int64         // most of it
	spilled int64         // written to temporary files
	applied *storage.Applied
}

// measured wraps an operator to measure it. While an operator works, it is the one that memory and
// temporary files are put down to.
type measured struct {
	operator
	run *run
	m   *measure
}

func (o *measured) next(ctx context.Context) (*vec.Batch, error) {
	defer o.run.works(o.m)()
	began := time.Now()
	b, err := o.operator.next(ctx)
	o.m.took += time.Since(began)
	if b != nil {
		o.m.rows += int64(b.Len)
	}
	return b, err
}

func (o *measured) close() {
	defer o.run.works(o.m)()
	o.operator.close()
}

// works makes m the measure of the operator that runs, until the function it returns is called.
func (r *run) works(m *measure) func() {
	before := r.working
	r.working = m
	return func() { r.working = before }
}

// noteSpilled puts bytes written to temporary files down to the operator that runs.
func (r *run) noteSpilled(bytes int64) {
	if r.working != nil {
		r.working.spilled += bytes
	}
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
	if m.peak > 0 {
		text += ", memory " + spill.SizeText(m.peak)
	}
	if m.spilled > 0 {
		text += ", spilled " + spill.SizeText(m.spilled)
	}
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
