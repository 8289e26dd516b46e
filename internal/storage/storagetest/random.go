package storagetest

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/vec"
)

var seedFlag = flag.Uint64("storagetest.seed", 0, "seed of the random storage test; 0 picks one")

// testRandom drives the backend and the model with the same random operations.
func testRandom(e *env) {
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64()
	}
	e.Logf("replay with -storagetest.seed=%d", seed)
	r := &random{env: e, Rand: rand.New(rand.NewPCG(seed, 1)), model: NewNaive(e.clock), id: testID, policy: basePolicy}
	r.both(func(b storage.Backend) error { return b.CreateTable(context.Background(), r.id, r.policy) })
	rounds := e.suite.Rounds
	if rounds == 0 {
		rounds = 150
	}
	for i := 0; i < rounds && !e.Failed(); i++ {
		r.step()
	}
	r.compareAll()
}

type random struct {
	*env
	*rand.Rand
	model  *Naive
	id     storage.TableID
	policy storage.Policy
}

func (r *random) both(do func(b storage.Backend) error) {
	r.Helper()
	for _, b := range []storage.Backend{r.b, r.model} {
		if err := do(b); err != nil {
			r.Fatal(err)
		}
	}
}

func (r *random) tables() (got, want storage.Table) {
	r.Helper()
	got, err := r.b.Table(r.id)
	if err != nil {
		r.Fatal(err)
	}
	want, err = r.model.Table(r.id)
	if err != nil {
		r.Fatal(err)
	}
	return got, want
}

func (r *random) step() {
	ctx := context.Background()
	switch n := r.IntN(100); {
	case n < 50:
		r.write()
	case n < 71:
		r.scan()
	case n < 75:
		r.delete()
	case n < 82:
		if r.suite.Disturb != nil {
			r.suite.Disturb(r.T, r.b)
		}
	case n < 87:
		if r.suite.Reopen != nil {
			r.b = r.suite.Reopen(r.T, r.clock, r.b)
		}
	case n < 93:
		r.clock.Advance(time.Duration(r.ExpFloat64() * float64(6*time.Hour)))
	case n < 96:
		r.policy.MagneticWrites = r.IntN(4) > 0
		r.policy.MemoryRetention = time.Duration(1+r.IntN(48)) * time.Hour
		r.policy.MagneticRetention = time.Duration(1+r.IntN(10)) * 24 * time.Hour
		r.both(func(b storage.Backend) error { return b.SetPolicy(ctx, r.id, r.policy) })
	case n < 97:
		r.both(func(b storage.Backend) error { return b.DropTable(ctx, r.id) })
		r.id.Incarnation++
		r.both(func(b storage.Backend) error { return b.CreateTable(ctx, r.id, r.policy) })
	default:
		r.compareAll()
	}
}

func (r *random) write() {
	got, want := r.tables()
	var b Batch
	for range 1 + r.IntN(40) {
		b.Add(r.point())
	}
	g, err := got.Write(context.Background(), &b.Rows)
	if err != nil {
		r.Fatalf("write: %v", err)
	}
	w, _ := want.Write(context.Background(), &b.Rows)
	same := g.Memory == w.Memory && g.Magnetic == w.Magnetic && slices.EqualFunc(g.Rejections, w.Rejections, sameRejection)
	for _, s := range g.Superseded { // only as far as known
		same = same && slices.ContainsFunc(w.Superseded, func(x storage.Rejection) bool { return sameRejection(s, x) })
	}
	if !same {
		r.Errorf("write\n got %+v\nwant %+v", g, w)
	}
}

func (r *random) delete() {
	got, want := r.tables()
	now := r.clock.Now().UnixNano()
	d := storage.Deletion{From: storage.AllTime.From, To: storage.AllTime.To}
	if r.IntN(4) > 0 {
		d.To = now - r.Int64N(int64(3*24*time.Hour))
		d.From = d.To - r.Int64N(int64(24*time.Hour))
	}
	schema := want.Schema()
	for range r.IntN(3) {
		if c := schema.Columns[r.IntN(len(schema.Columns))]; c.Role == storage.Dimension || c.Role == storage.MeasureName {
			d.Where = append(d.Where, r.predicate(c, now))
		}
	}
	if len(d.Where) == 0 && r.IntN(4) > 0 {
		d.From = max(d.From, d.To-int64(time.Hour)) // not all of it, most of the time
	}
	g, err := got.Delete(context.Background(), d)
	if err != nil {
		r.Fatalf("delete: %v", err)
	}
	if w, _ := want.Delete(context.Background(), d); g != w {
		r.Errorf("delete %s gave %d rows, want %d", describe(storage.ScanSpec{From: d.From, To: d.To, Where: d.Where}), g, w)
	}
}

// point is a row whose key often meets another one's.
func (r *random) point() Point {
	now := r.clock.Now().UnixNano()
	p := Point{Measure: fmt.Sprint("m", r.IntN(3)), Version: int64(1 + r.IntN(3))}
	switch r.IntN(4) {
	case 0: // anywhere in some weeks
		p.TimeNs = now - r.Int64N(int64(15*24*time.Hour))
	case 1: // just now
		p.TimeNs = now - r.Int64N(int64(time.Minute))
	default: // on a grid
		grid := int64(30 * time.Minute)
		p.TimeNs = (now/grid - r.Int64N(100)) * grid
	}
	for _, d := range []string{"a", "b", "c"}[:r.IntN(4)] {
		p.Dims = append(p.Dims, d, fmt.Sprint(r.IntN(3)))
	}
	if r.IntN(4) == 0 {
		p.Single = true
		p.Values = []NamedValue{r.value("")}
		if r.IntN(20) > 0 {
			p.Measure += "-" + p.Values[0].Value.Type.String()
		}
		return p
	}
	for i := range 4 {
		if r.IntN(3) > 0 {
			p.Values = append(p.Values, r.typed(fmt.Sprint("v", i), i))
		}
	}
	if len(p.Values) == 0 || r.IntN(50) == 0 {
		p.Values = append(p.Values, r.value("any"))
	}
	return p
}

func (r *random) value(name string) NamedValue { return r.typed(name, r.IntN(4)) }

func (r *random) typed(name string, kind int) NamedValue {
	switch kind {
	case 0:
		if r.IntN(3) == 0 {
			return F(name, r.NormFloat64())
		}
		return F(name, float64(r.IntN(1000))/10)
	case 1:
		return I(name, r.Int64N(1000)-500)
	case 2:
		return S(name, fmt.Sprint("s", r.IntN(5)))
	}
	return B(name, r.IntN(2) == 0)
}

func (r *random) compareAll() {
	r.Helper()
	got, want := r.tables()
	g, w := got.Schema(), want.Schema()
	if fmt.Sprint(g) != fmt.Sprint(w) {
		r.Errorf("schema\n got %v\nwant %v", g, w)
		return
	}
	r.compare(storage.ScanSpec{From: storage.AllTime.From, To: storage.AllTime.To, Columns: columnNames(w)})
}

func (r *random) compare(spec storage.ScanSpec) {
	r.Helper()
	got, want := r.tables()
	g, w := Answer(r.T, got, spec), Answer(r.T, want, spec)
	if !Same(g, w) {
		r.Errorf("scan %s at %v\n got\n%s\nwant\n%s", describe(spec), r.clock.Now(), Text(g), Text(w))
	}
}

func (r *random) scan() {
	_, want := r.tables()
	schema := want.Schema()
	now := r.clock.Now().UnixNano()
	spec := storage.ScanSpec{From: storage.AllTime.From, To: storage.AllTime.To}
	if r.IntN(3) > 0 {
		spec.To = now - r.Int64N(int64(5*24*time.Hour))
		spec.From = spec.To - r.Int64N(int64(3*24*time.Hour))
	}
	pick := func() storage.Column { return schema.Columns[r.IntN(len(schema.Columns))] }
	for range r.IntN(3) {
		spec.Where = append(spec.Where, r.predicate(pick(), now))
	}
	if r.IntN(2) == 0 {
		spec.Aggregation = r.aggregation(schema, pick)
		r.compare(spec)
		return
	}
	for range 1 + r.IntN(3) {
		spec.Columns = append(spec.Columns, pick().Name)
	}
	if r.IntN(3) == 0 {
		spec.Columns = []string{storage.TimeColumnName}
		spec.Limit, spec.NewestFirst = 1+r.Int64N(20), true
	} else if r.IntN(2) == 0 {
		spec.Order = r.order(schema)
		if r.IntN(3) == 0 {
			spec.Limit, spec.Columns = 1+r.Int64N(20), nil
			for _, k := range spec.Order { // so that ties are equal
				spec.Columns = append(spec.Columns, k.Column)
			}
		}
	}
	r.compare(spec)
}

// order is some dimensions and the measure name in any order, and mostly time.
func (r *random) order(schema *storage.Schema) []storage.OrderKey {
	var keys []storage.OrderKey
	add := func(name string) {
		keys = append(keys, storage.OrderKey{Column: name, Desc: r.IntN(2) == 0, NullsFirst: r.IntN(2) == 0})
	}
	for _, i := range r.Perm(len(schema.Columns)) {
		if c := schema.Columns[i]; c.Role <= storage.MeasureName && r.IntN(3) > 0 {
			add(c.Name)
		}
	}
	if len(keys) == 0 || r.IntN(4) > 0 {
		add(storage.TimeColumnName)
	}
	return keys
}

func (r *random) predicate(c storage.Column, now int64) storage.Predicate {
	p := storage.Predicate{Column: c.Name, Op: storage.Op(r.IntN(int(storage.IsNotNull) + 1))}
	if (c.Role == storage.Dimension || c.Role == storage.MeasureName) && r.IntN(4) == 0 {
		p.Op = storage.Match
		p.Matches = func(v string, null bool) bool { return null || v >= "1" }
		return p
	}
	n := 1
	if p.Op == storage.In {
		n += r.IntN(3)
	}
	for range n {
		var v vec.Value
		switch {
		case c.Role == storage.Dimension:
			v = vec.Str(fmt.Sprint(r.IntN(3)))
		case c.Role == storage.MeasureName:
			v = vec.Str(fmt.Sprint("m", r.IntN(3)))
		case c.Role == storage.TimeColumn:
			grid := int64(30 * time.Minute)
			v = vec.Int(vec.TimestampType, (now/grid-r.Int64N(100))*grid)
		case c.Type.Kind == vec.Double:
			v = r.typed("", 0).Value
		case c.Type.Kind == vec.Bigint:
			v = r.typed("", 1).Value
		case c.Type.Kind == vec.Varchar:
			v = r.typed("", 2).Value
		default:
			v = r.typed("", 3).Value
		}
		p.Values = append(p.Values, v)
	}
	return p
}

func (r *random) aggregation(schema *storage.Schema, pick func() storage.Column) *storage.Aggregation {
	agg := &storage.Aggregation{}
	unique := r.IntN(3) == 0 // by series: then First and Last have no ties
	for _, c := range schema.Columns {
		if c.Role <= storage.MeasureName && (unique || r.IntN(4) == 0) {
			agg.Keys = append(agg.Keys, storage.GroupKey{Column: c.Name})
		}
	}
	if unique && r.IntN(4) == 0 {
		ends, of := storage.Last, storage.Max // one end of each series answers all
		if r.IntN(3) == 0 {
			ends, of = storage.First, storage.Min
		}
		agg.Aggs = []storage.Agg{{Func: ends, Column: pick().Name}, {Func: of, Column: storage.TimeColumnName}, {Func: ends, Column: pick().Name}}[r.IntN(2):]
		return agg
	}
	if r.IntN(2) == 0 {
		bins := []time.Duration{time.Minute, time.Hour, 24 * time.Hour, 7 * 24 * time.Hour}
		agg.Keys = append(agg.Keys, storage.GroupKey{Column: storage.TimeColumnName, BinNs: int64(bins[r.IntN(len(bins))])})
	}
	for range r.IntN(4) {
		c := pick()
		funcs := []storage.AggFunc{storage.CountRows, storage.Count, storage.Min, storage.Max}
		if unique {
			funcs = append(funcs, storage.First, storage.Last, storage.Last)
		}
		if c.Type.Kind == vec.Double || c.Type.Kind == vec.Bigint {
			funcs = append(funcs, storage.Sum, storage.Moments)
		}
		a := storage.Agg{Func: funcs[r.IntN(len(funcs))], Column: c.Name}
		if a.Func == storage.CountRows {
			a.Column = ""
		}
		agg.Aggs = append(agg.Aggs, a)
	}
	return agg
}
