package plan

import (
	"cmp"
	"slices"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/sql/fn"
	"github.com/weir-db/weir/internal/sql/syntax"
	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/vec"
)

// from analyses the FROM clause: its items are joined crosswise.
func (b *builder) from(items []syntax.Relation, fr *frame, w *with) (*relation, error) {
	if len(items) == 0 {
		return &relation{node: &Values{Rows: [][]Expr{{}}}}, nil
	}
	around := b.relations
	b.relations = relationCount{}
	defer func() { b.relations = around }()
	var left *relation
	for _, item := range items {
		if u, alias := unnestOf(item); u != nil {
			var err error
			if left, err = b.unnest(left, u, alias, fr, w); err != nil {
				return nil, err
			}
			continue
		}
		right, err := b.relation(item, fr, w)
		if err != nil {
			return nil, err
		}
		if left == nil {
			left = right
			continue
		}
		left = cross(left, right)
	}
	return left, nil
}

// cross takes both relations over: left's fields are the beginning of the result's.
func cross(left, right *relation) *relation {
	return &relation{
		node:   &Join{Kind: InnerJoin, Left: left.node, Right: right.node},
		fields: append(left.fields, right.fields...),
		names:  left.named(),
	}
}

func (b *builder) relation(r syntax.Relation, fr *frame, w *with) (*relation, error) {
	if err := b.enter(r.Pos()); err != nil {
		return nil, err
	}
	defer b.leave()
	switch r.(type) {
	case *syntax.TableRef, *syntax.DerivedTable, *syntax.Unnest:
		if b.relations.all++; b.relations.all > maxRelations {
			return nil, errorAt(r.Pos(), "The FROM clause has more than %d relations", maxRelations)
		}
	}
	switch r := r.(type) {
	case *syntax.TableRef:
		return b.table(r, fr, w)
	case *syntax.DerivedTable:
		rel, err := b.query(r.Query, fr, w)
		if err != nil {
			return nil, err
		}
		return renamed(rel, "", nil), nil
	case *syntax.Unnest:
		return b.unnest(nil, r, nil, fr, w)
	case *syntax.Join:
		return b.join(r, fr, w)
	case *syntax.Aliased:
		if u, _ := unnestOf(r); u != nil {
			return b.unnest(nil, u, r, fr, w)
		}
		rel, err := b.relation(r.Rel, fr, w)
		if err != nil {
			return nil, err
		}
		return alias(rel, r)
	}
	return nil, errorAt(r.Pos(), "This relation is not supported")
}

// renamed returns rel under a relation name, with new column names if there are any.
// Output names that were made up (_col0) become names.
func renamed(rel *relation, name string, columns []syntax.Ident) *relation {
	out := &relation{node: rel.node, fields: make([]field, len(rel.fields))}
	for i, f := range rel.fields {
		f.name = f.output(i).Name
		f.database, f.rel, f.hidden, f.aliased = "", name, false, false
		if columns != nil {
			f.aliased = f.name != columns[i].Name
			f.name = columns[i].Name
		}
		out.fields[i] = f
	}
	return out
}

// alias gives the visible columns of rel a relation name.
func alias(rel *relation, r *syntax.Aliased) (*relation, error) {
	rel = visible(rel)
	if r.Columns != nil && len(r.Columns) != len(rel.fields) {
		return nil, errorAt(r.At, "Column alias list has %d entries but '%s' has %d columns available", len(r.Columns), r.Alias.Name, len(rel.fields))
	}
	return renamed(rel, r.Alias.Name, r.Columns), nil
}

// visible drops the hidden columns of rel.
func visible(rel *relation) *relation {
	if !slices.ContainsFunc(rel.fields, func(f field) bool { return f.hidden }) {
		return rel
	}
	out := &relation{}
	var exprs []Expr
	for i, f := range rel.fields {
		if !f.hidden {
			exprs = append(exprs, &Column{i, f.t})
			out.fields = append(out.fields, f)
		}
	}
	out.node = &Project{rel.node, exprs}
	return out
}

// table is a query of WITH or a table.
func (b *builder) table(r *syntax.TableRef, fr *frame, w *with) (*relation, error) {
	if r.Name.Database.Name == "" {
		if c := w.lookup(r.Name.Table.Name); c != nil {
			if c.frame != fr && HasParams(c.shared) {
				return nil, errorAt(r.At, "A correlated query of WITH cannot be used in a further subquery")
			}
			return renamed(&relation{node: c.shared, fields: c.fields}, r.Name.Table.Name, nil), nil
		}
		if b.env.Database == "" {
			return nil, errorAt(r.At, "Schema must be specified when session schema is not set")
		}
	}
	ref := TableRef{cmp.Or(r.Name.Database.Name, b.env.Database), r.Name.Table.Name}
	t, err := b.resolveTable(ref, r.At)
	if err != nil {
		return nil, err
	}
	b.addTable(ref)
	columns := t.Schema().Columns
	scan := &Scan{Ref: ref, Table: t, Output: len(columns)}
	scan.Spec.From, scan.Spec.To = storage.AllTime.From, storage.AllTime.To
	scan.Spec.Columns = make([]string, len(columns))
	scan.Cols = make([]vec.Type, len(columns))
	scan.Roles = make([]storage.Role, len(columns))
	out := &relation{node: scan, fields: make([]field, len(columns))}
	for i, c := range columns {
		scan.Spec.Columns[i], scan.Cols[i], scan.Roles[i] = c.Name, c.Type, c.Role
		out.fields[i] = field{database: ref.Database, rel: ref.Table, name: c.Name, t: c.Type, table: &ref}
	}
	return out, nil
}

func (b *builder) resolveTable(ref TableRef, at syntax.Pos) (storage.Table, error) {
	if b.env.Catalog == nil {
		return nil, errorAt(at, "Table '%s.%s' does not exist", ref.Database, ref.Table)
	}
	t, missingDatabase, err := b.env.Catalog.Resolve(ref.Database, ref.Table)
	if err == nil {
		return t, nil
	}
	if !fault.Is(err, fault.NotFound) {
		return nil, err
	}
	what, name := "table", ref.Table
	if missingDatabase {
		what, name = "database", ref.Database
	}
	return nil, fault.New(fault.Invalid, "Requested %s '%s' not found for identifier '%s.%s' at %s", what, name, ref.Database, ref.Table, at)
}

func (b *builder) addTable(ref TableRef) {
	for _, t := range b.tables {
		if t == ref {
			return
		}
	}
	b.tables = append(b.tables, ref)
}

// unnestOf returns the UNNEST that r is, and its alias if it has one.
func unnestOf(r syntax.Relation) (*syntax.Unnest, *syntax.Aliased) {
	switch r := r.(type) {
	case *syntax.Unnest:
		return r, nil
	case *syntax.Aliased:
		if u, ok := r.Rel.(*syntax.Unnest); ok {
			return u, r
		}
	}
	return nil, nil
}

// unnest expands expressions over left, which may be nil.
func (b *builder) unnest(left *relation, u *syntax.Unnest, named *syntax.Aliased, fr *frame, w *with) (*relation, error) {
	if left == nil {
		left = &relation{node: &Values{Rows: [][]Expr{{}}}}
	}
	a := &analyser{builder: b, scope: left.scope(fr), with: w, clause: "UNNEST"}
	node := &Unnest{Input: left.node, Ordinality: u.Ordinality}
	made := &relation{node: node}
	for _, e := range u.Exprs {
		x, err := a.expr(e)
		if err != nil {
			return nil, err
		}
		t := x.Type()
		if UnnestTypes(t) == nil {
			return nil, errorAt(e.Pos(), "Cannot unnest type: %s", t)
		}
		node.Exprs = append(node.Exprs, x)
		made.fields = append(made.fields, unnestFields(t)...)
	}
	if u.Ordinality {
		made.fields = append(made.fields, field{t: vec.BigintType, name: "ordinality"})
	}
	if named != nil {
		if named.Columns != nil && len(named.Columns) != len(made.fields) {
			return nil, errorAt(named.At, "Column alias list has %d entries but '%s' has %d columns available", len(named.Columns), named.Alias.Name, len(made.fields))
		}
		for i := range made.fields {
			made.fields[i].rel = named.Alias.Name
			if named.Columns != nil {
				made.fields[i].name = named.Columns[i].Name
			}
		}
	}
	made.fields, made.names = append(left.fields, made.fields...), left.named()
	return made, nil
}

func unnestFields(t vec.Type) []field {
	switch {
	case t.Kind == vec.TimeSeries:
		return []field{{name: "time", t: vec.TimestampType}, {name: "value", t: *t.Elem}}
	case t.Elem.Kind == vec.Row:
		var out []field
		for _, f := range t.Elem.Fields {
			out = append(out, field{name: f.Name, t: f.Type})
		}
		return out
	}
	return []field{{t: *t.Elem}}
}

var joinKinds = [...]JoinKind{
	syntax.CrossJoin: InnerJoin, syntax.InnerJoin: InnerJoin, syntax.LeftJoin: LeftJoin, syntax.RightJoin: RightJoin, syntax.FullJoin: FullJoin,
}

func (b *builder) join(j *syntax.Join, fr *frame, w *with) (*relation, error) {
	left, err := b.relation(j.Left, fr, w)
	if err != nil {
		return nil, err
	}
	if u, named := unnestOf(j.Right); u != nil {
		return b.joinUnnest(j, left, u, named, fr, w)
	}
	right, err := b.relation(j.Right, fr, w)
	if err != nil {
		return nil, err
	}
	out := cross(left, right)
	node := out.node.(*Join)
	node.Kind = joinKinds[j.Kind]
	switch {
	case j.Using != nil:
		return b.using(j, left, right, node)
	case j.On != nil:
		if node.Residual, err = b.on(j.On, out, fr, w); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (b *builder) on(on syntax.Expr, over *relation, fr *frame, w *with) (Expr, error) {
	if err := b.rejectAggregates(on, "JOIN clause"); err != nil {
		return nil, err
	}
	a := &analyser{builder: b, scope: over.scope(fr), with: w, clause: "JOIN clause"}
	return a.condition(on, "JOIN ON clause")
}

// joinUnnest is a join whose right side reads the columns of the left.
func (b *builder) joinUnnest(j *syntax.Join, left *relation, u *syntax.Unnest, named *syntax.Aliased, fr *frame, w *with) (*relation, error) {
	rel, err := b.unnest(left, u, named, fr, w)
	if err != nil {
		return nil, err
	}
	always := j.On == nil
	if lit, ok := j.On.(*syntax.BooleanLit); ok && lit.Value {
		always = true
	}
	switch {
	case j.Using != nil:
		return nil, errorAt(j.At, "UNNEST cannot be joined with USING")
	case j.Kind == syntax.LeftJoin && always:
		rel.node.(*Unnest).KeepEmpty = true
	case j.Kind != syntax.CrossJoin && j.Kind != syntax.InnerJoin:
		return nil, errorAt(j.At, "UNNEST on other than the right side of CROSS JOIN, or of LEFT JOIN with ON TRUE, is not supported")
	case !always:
		cond, err := b.on(j.On, rel, fr, w)
		if err != nil {
			return nil, err
		}
		rel.node = &Filter{rel.node, cond}
	}
	return rel, nil
}

// using joins on columns of one name, which come first and once; the two they are made
// of stay reachable by their relations' names.
func (b *builder) using(j *syntax.Join, left, right *relation, node *Join) (*relation, error) {
	if b.relations.using++; b.relations.using > maxUsing {
		return nil, errorAt(j.At, "The FROM clause has more than %d joins with USING; use ON", maxUsing)
	}
	n := len(left.fields)
	out := &relation{}
	var exprs []Expr
	used := make([]bool, n+len(right.fields))
	for _, name := range j.Using {
		l, err := usingColumn(left, name, "left")
		if err != nil {
			return nil, err
		}
		r, err := usingColumn(right, name, "right")
		if err != nil {
			return nil, err
		}
		t, ok := fn.CommonType(left.fields[l].t, right.fields[r].t)
		if !ok {
			return nil, errorAt(name.At, "Column types of '%s' in USING do not match: %s, %s", name.Name, left.fields[l].t, right.fields[r].t)
		}
		place := func(int) syntax.Pos { return name.At }
		lx, err := b.coerce(&Column{l, left.fields[l].t}, t, name.At)
		if err != nil {
			return nil, err
		}
		rx, err := b.coerce(&Column{n + r, right.fields[r].t}, t, name.At)
		if err != nil {
			return nil, err
		}
		eq, err := b.scalar("=", name.At, []Expr{lx, rx}, place)
		if err != nil {
			return nil, err
		}
		node.Residual = and(node.Residual, eq)
		key := lx
		switch node.Kind {
		case RightJoin:
			key = rx
		case FullJoin:
			key = &Coalesce{[]Expr{lx, rx}}
		}
		exprs = append(exprs, key)
		f := left.fields[l]
		f.rel, f.database, f.t = "", "", t
		out.fields = append(out.fields, f)
		used[l], used[n+r] = true, true
	}
	for i, f := range append(left.fields, right.fields...) {
		f.hidden = f.hidden || used[i]
		exprs = append(exprs, &Column{i, f.t})
		out.fields = append(out.fields, f)
	}
	out.node = &Project{node, exprs}
	return out, nil
}

func usingColumn(rel *relation, name syntax.Ident, side string) (int, error) {
	s := &scope{fields: rel.fields}
	i, err := s.match(&syntax.Ref{At: name.At, Parts: []syntax.Ident{name}}, []syntax.Ident{name})
	if err != nil {
		return 0, err
	}
	if i < 0 {
		return 0, errorAt(name.At, "Column '%s' is missing from %s side of join", name.Name, side)
	}
	return i, nil
}

// and is the conjunction of two conditions, of which one or both may be nil.
func and(a, b Expr) Expr {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	return conjunction(append(split(a), split(b)...))
}

// conjunction is the AND of terms; of none, nil.
func conjunction(terms []Expr) Expr {
	switch len(terms) {
	case 0:
		return nil
	case 1:
		return terms[0]
	}
	return &And{terms}
}

// split returns the terms of a conjunction, flattened; of nil, none.
func split(e Expr) []Expr {
	switch x := e.(type) {
	case nil:
		return nil
	case *And:
		return appendTerms(make([]Expr, 0, len(x.Terms)), x)
	}
	return []Expr{e}
}

// appendTerms appends what split returns.
func appendTerms(dst []Expr, e Expr) []Expr {
	switch x := e.(type) {
	case nil:
		return dst
	case *And:
		for _, t := range x.Terms {
			dst = appendTerms(dst, t)
		}
		return dst
	}
	return append(dst, e)
}
