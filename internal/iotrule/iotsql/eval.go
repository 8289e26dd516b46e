package iotsql

import (
	"errors"
	"strings"
	"time"
)

// Input is one message, as statements and templates see it. Set the fields, then
// evaluate any number of statements; the payload is parsed when first needed. It
// belongs to one goroutine, and its Payload must not change while it is in use.
type Input struct {
	Topic     string // without the prefix of Basic Ingest
	Payload   []byte
	ClientID  string // "" if the message did not come by MQTT
	Principal string
	AccountID string
	Now       time.Time

	// Properties of MQTT 5; nil or empty when absent.
	ContentType     string
	ResponseTopic   string
	CorrelationData []byte
	UTF8Payload     bool // payload format indicator 1
	UserProperties  []Property

	docs  [2]document // by whether whole decimals are Ints
	trace string
}

// TraceID returns the id that joins what is logged about the message, made when
// first asked for.
func (in *Input) TraceID() string {
	if in.trace == "" {
		in.trace = NewUUID()
	}
	return in.trace
}

// Property is a user property of MQTT 5.
type Property struct{ Key, Value string }

type document struct {
	value  Value
	err    error
	parsed bool
}

// doc returns the payload as JSON; Undefined if it is empty or not JSON.
func (in *Input) doc(v Version) (Value, error) {
	d := &in.docs[0]
	if v.whole() {
		d = &in.docs[1]
	}
	if !d.parsed {
		d.parsed = true
		if len(in.Payload) > 0 {
			d.value, d.err = ParseJSON(string(in.Payload), v.whole())
		}
	}
	return d.value, d.err
}

// Result is what a statement made of a message.
type Result struct {
	Fired bool  // WHERE was true, so the actions run
	Value Value // the output; Undefined if Raw and the payload is not JSON
	// Raw: the output is the payload as it is (SELECT * alone).
	Raw  bool
	vars []Value
}

// PayloadError says that a rule reads attributes of a payload that is not JSON.
type PayloadError struct{ Err error }

func (e *PayloadError) Error() string { return "the payload is not JSON: " + e.Err.Error() }

// Unwrap returns where the text is not JSON.
func (e *PayloadError) Unwrap() error { return e.Err }

var (
	errBudget   = errors.New("the statement's nested SELECTs visit too many elements")
	errVarBytes = errors.New("the statement's variables are larger than 128 KiB")
)

// maxVisits bounds the elements that the nested SELECTs of one evaluation visit.
const maxVisits = 1_000_000

// env is the state of one evaluation.
type env struct {
	in      *Input
	version Version
	vars    []Value
	frame   *frame // innermost nested SELECT
	visits  int
	err     error // the first error; values after it do not matter
}

// frame is the element that a nested SELECT is at.
type frame struct {
	name   string // of AS, or ""
	elem   Value
	parent *frame
}

// Eval runs the statement on a message. The error is a [*PayloadError], or says
// that a limit was passed; then no action must run.
func (s *Statement) Eval(in *Input) (Result, error) {
	e := env{in: in, version: s.version}
	if s.readsAttributes {
		if _, err := in.doc(s.version); err != nil {
			return Result{}, &PayloadError{err}
		}
	}
	if err := e.assign(s.vars); err != nil {
		return Result{}, err
	}
	if s.query.where != nil {
		fire, ok := s.query.where.eval(&e).toBool()
		if e.err != nil || !ok || !fire {
			return Result{}, e.err
		}
	}
	r := Result{Fired: true, vars: e.vars}
	if s.query.lone() {
		r.Raw = true
		r.Value, _ = in.doc(s.version)
		return r, nil
	}
	r.Value = s.query.output(&e)
	return r, e.err
}

func (e *env) assign(vars []variable) error {
	total := 0
	for i := range vars {
		v := vars[i].expr.eval(e)
		b, err := v.AppendJSON(nil, maxVarBytes)
		if total += len(b); err != nil || total > maxVarBytes {
			return errVarBytes
		}
		e.vars = append(e.vars, v)
	}
	return e.err
}

// num applies the version's rule for decimals without a fraction to a result.
func (e *env) num(v Value) Value {
	if e.version.whole() {
		return v.wholeAsInt()
	}
	return v
}

// lookup resolves the first name of a path.
func (e *env) lookup(name string) Value {
	for f := e.frame; f != nil; f = f.parent {
		if f.name == name {
			return f.elem
		}
		if v := f.elem.Member(name); v.kind != Undefined {
			return v
		}
	}
	doc, _ := e.in.doc(e.version)
	return doc.Member(name)
}

// output evaluates the items of a selection.
func (s *selection) output(e *env) Value {
	if s.value {
		return s.items[0].expr.eval(e)
	}
	members := make([]Member, 0, len(s.items))
	var index map[string]int
	for i := range s.items {
		it := &s.items[i]
		v := it.expr.eval(e)
		switch {
		case it.path == nil:
			for _, m := range v.Members() {
				members, index = put(members, index, m.Key, m.Value)
			}
		case v.kind == Undefined:
		case len(it.path) == 1:
			members, index = put(members, index, it.path[0], v)
		default:
			members, index = put(members, index, it.path[0], nest(find(members, it.path[0]), it.path[1:], v))
		}
	}
	return object(members)
}

func find(members []Member, key string) Value {
	for i := range members {
		if members[i].Key == key {
			return members[i].Value
		}
	}
	return Value{}
}

// nest returns a copy of into, or a new object if it is none, with v at path.
func nest(into Value, path []string, v Value) Value {
	if len(path) == 0 {
		return v
	}
	old := into.Members()
	members := append(make([]Member, 0, len(old)+1), old...)
	members, _ = put(members, nil, path[0], nest(into.Member(path[0]), path[1:], v))
	return object(members)
}

type operator uint8

const (
	opNone operator = iota
	opOr
	opAnd
	opEqual
	opUnequal
	opLess
	opLessEqual
	opGreater
	opGreaterEqual
	opIn
	opAdd
	opSubtract
	opMultiply
	opDivide
	opRemainder
)

// expr is a node of the tree. eval never panics and leaves errors in env.err.
type expr interface{ eval(e *env) Value }

type literal struct{ v Value }

func (x literal) eval(e *env) Value { return e.num(x.v) }

// starExpr is the payload, or the element of a nested SELECT.
type starExpr struct{}

func (starExpr) eval(e *env) Value {
	if e.frame != nil {
		return e.frame.elem
	}
	doc, _ := e.in.doc(e.version)
	return doc
}

type pathExpr struct{ segments []string }

func (x *pathExpr) eval(e *env) Value {
	v := e.lookup(x.segments[0])
	for _, name := range x.segments[1:] {
		v = v.Member(name)
	}
	return v
}

type varExpr struct {
	name  string
	index int
}

func (x *varExpr) eval(e *env) Value {
	if x.index < len(e.vars) {
		return e.vars[x.index]
	}
	return Value{}
}

type memberExpr struct {
	x    expr
	name string
}

func (x *memberExpr) eval(e *env) Value { return x.x.eval(e).Member(x.name) }

type notExpr struct{ x expr }

func (x *notExpr) eval(e *env) Value {
	if b, ok := x.x.eval(e).toBool(); ok {
		return boolean(!b)
	}
	return Value{}
}

type negateExpr struct{ x expr }

func (x *negateExpr) eval(e *env) Value {
	if n, ok := x.x.eval(e).toNum(); ok {
		return e.num(negate(n))
	}
	return Value{}
}

type binaryExpr struct {
	op          operator
	left, right expr
}

// eval evaluates both sides always: by the documented operand tables Undefined
// on one side makes AND and OR Undefined whatever the other side is.
func (x *binaryExpr) eval(e *env) Value {
	a, b := x.left.eval(e), x.right.eval(e)
	switch x.op {
	case opOr, opAnd:
		return logical(x.op, a, b)
	case opEqual, opUnequal:
		if a.kind == Undefined || b.kind == Undefined {
			return Value{}
		}
		return boolean(equal(a, b) == (x.op == opEqual))
	case opIn:
		return contains(b, a)
	case opLess, opLessEqual, opGreater, opGreaterEqual:
		return order(x.op, a, b)
	}
	return e.num(arithmetic(x.op, a, b))
}

func logical(op operator, a, b Value) Value {
	p, ok1 := a.toBool()
	q, ok2 := b.toBool()
	switch {
	case !ok1 || !ok2:
		return Value{}
	case op == opAnd:
		return boolean(p && q)
	}
	return boolean(p || q)
}

func contains(list, v Value) Value {
	if list.kind != Arr || v.kind == Undefined {
		return Value{}
	}
	for _, item := range list.Items() {
		if equal(item, v) {
			return boolean(true)
		}
	}
	return boolean(false)
}

func order(op operator, a, b Value) Value {
	x, ok1 := a.toNum()
	y, ok2 := b.toNum()
	if !ok1 || !ok2 || x.kind != Num || y.kind != Num {
		return Value{}
	}
	c := compare(x, y)
	switch op {
	case opLess:
		return boolean(c < 0)
	case opLessEqual:
		return boolean(c <= 0)
	case opGreater:
		return boolean(c > 0)
	}
	return boolean(c >= 0)
}

func arithmetic(op operator, a, b Value) Value {
	if op == opAdd && (a.kind == Str || b.kind == Str) {
		s, ok1 := a.toText()
		t, ok2 := b.toText()
		if !ok1 || !ok2 {
			return Value{}
		}
		return text(s + t)
	}
	x, ok1 := a.toNum()
	y, ok2 := b.toNum()
	if !ok1 || !ok2 || x.kind != Num || y.kind != Num {
		return Value{}
	}
	switch op {
	case opAdd:
		return add(x, y)
	case opSubtract:
		return add(x, negate(y))
	case opMultiply:
		return multiply(x, y)
	case opDivide:
		return divide(x, y)
	}
	return remainder(x, y)
}

type when struct{ test, result expr }

type caseExpr struct {
	value     expr
	whens     []when
	otherwise expr // nil without ELSE
}

func (x *caseExpr) eval(e *env) Value {
	v := x.value.eval(e)
	if v.kind == Undefined {
		return Value{}
	}
	for _, w := range x.whens {
		if t := w.test.eval(e); t.kind != Undefined && equal(v, t) {
			return w.result.eval(e)
		}
	}
	if x.otherwise == nil {
		return Value{}
	}
	return x.otherwise.eval(e)
}

type castType uint8

const (
	castString castType = iota
	castInt
	castDecimal
	castDouble
	castBool
)

type castExpr struct {
	x  expr
	to castType
}

func (x *castExpr) eval(e *env) Value {
	v := x.x.eval(e)
	switch x.to {
	case castString:
		if s, ok := v.toText(); ok {
			return text(s)
		}
		return Value{}
	case castBool:
		if v.kind == Num {
			return boolean(sign(v) != 0)
		}
		if b, ok := v.toBool(); ok {
			return boolean(b)
		}
		return Value{}
	}
	if v.kind == Bool {
		v = Int(v.n)
	}
	n, ok := v.toNum()
	if !ok || n.kind != Num {
		return Value{}
	}
	switch x.to {
	case castInt:
		return toInt(n, down)
	case castDouble:
		return e.num(fromFloat(n.Float64()))
	}
	return e.num(n.asDecimal())
}

type arrayExpr struct{ items []expr }

func (x *arrayExpr) eval(e *env) Value {
	items := make([]Value, 0, len(x.items))
	for _, item := range x.items {
		if v := item.eval(e); v.kind != Undefined {
			items = append(items, v)
		}
	}
	return array(items)
}

type objectExpr struct {
	keys   []string
	values []expr
}

func (x *objectExpr) eval(e *env) Value {
	members := make([]Member, 0, len(x.keys))
	var index map[string]int
	for i, key := range x.keys {
		if v := x.values[i].eval(e); v.kind != Undefined {
			members, index = put(members, index, key, v)
		}
	}
	return object(members)
}

// subquery is a nested SELECT.
type subquery struct {
	selection
	source expr
	name   string
}

func (x *subquery) eval(e *env) Value {
	v, _ := x.run(e)
	return v
}

// run gives an array over an array, one result over an object, else Undefined;
// any says whether an element passed.
func (x *subquery) run(e *env) (v Value, any bool) {
	v = x.source.eval(e)
	switch v.kind {
	case Obj:
		return x.element(e, v)
	case Arr:
		results := []Value{}
		for _, elem := range v.Items() {
			if r, ok := x.element(e, elem); ok && r.kind != Undefined {
				results = append(results, r)
			}
			if e.err != nil {
				break
			}
		}
		return array(results), len(results) > 0
	}
	return Value{}, false
}

func (x *subquery) element(e *env, elem Value) (v Value, ok bool) {
	if e.visits++; e.visits > maxVisits {
		e.err = errBudget
		return Value{}, false
	}
	e.frame = &frame{name: x.name, elem: elem, parent: e.frame}
	defer func() { e.frame = e.frame.parent }()
	if x.where != nil {
		if fire, ok := x.where.eval(e).toBool(); !ok || !fire {
			return Value{}, false
		}
	}
	if x.lone() {
		return elem, true
	}
	return x.output(e), true
}

type existsExpr struct{ q *subquery }

func (x *existsExpr) eval(e *env) Value {
	_, found := x.q.run(e)
	return boolean(found)
}

type callExpr struct {
	name string // as written
	fn   *function
	args []expr
}

// eval calls the function; the wrong number of arguments gives Undefined.
func (x *callExpr) eval(e *env) Value {
	if len(x.args) < x.fn.min || x.fn.max >= 0 && len(x.args) > x.fn.max {
		return Value{}
	}
	if x.fn.raw != nil {
		return x.fn.raw(e, x.args)
	}
	var few [4]Value
	args := few[:0]
	for _, a := range x.args {
		args = append(args, a.eval(e))
	}
	return x.fn.eval(e, args)
}

// level returns the n-th level of a topic, from 1.
func level(topic string, n int) (string, bool) {
	for ; n > 1; n-- {
		i := strings.IndexByte(topic, '/')
		if i < 0 {
			return "", false
		}
		topic = topic[i+1:]
	}
	if i := strings.IndexByte(topic, '/'); i >= 0 {
		topic = topic[:i]
	}
	return topic, n == 1
}
