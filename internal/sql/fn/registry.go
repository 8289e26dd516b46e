package fn

import (
	"fmt"
	"sort"
	"strings"

	"github.com/weir-db/weir/internal/vec"
)

// Registry is the set of all functions.
type Registry struct {
	scalars    map[string][]*Scalar
	aggregates map[string][]*Aggregate
	windows    map[string][]*WindowFunc
}

// ResolveError says why a call cannot be resolved. Text has no position; the
// planner puts "line L:C: " before it.
type ResolveError struct{ Text string }

func (e *ResolveError) Error() string { return e.Text }

// New returns the registry of the whole dialect.
func New() *Registry {
	r := &Registry{scalars: map[string][]*Scalar{}, aggregates: map[string][]*Aggregate{}, windows: map[string][]*WindowFunc{}}
	for _, list := range scalarLists {
		for _, s := range list() {
			s.sig = mustParse(s.Signature)
			s.Name = s.sig.name
			r.scalars[s.Name] = append(r.scalars[s.Name], &s)
		}
	}
	for _, list := range aggregateLists {
		for _, a := range list() {
			a.sig = mustParse(a.Signature)
			a.Name = a.sig.name
			r.aggregates[a.Name] = append(r.aggregates[a.Name], &a)
		}
	}
	for _, w := range windowFunctions() {
		w.sig = mustParse(w.Signature)
		w.Name = w.sig.name
		r.windows[w.Name] = append(r.windows[w.Name], &w)
	}
	return r
}

func mustParse(text string) *signature {
	s, err := parseSignature(text)
	if err != nil {
		panic("bug: " + err.Error())
	}
	return s
}

// Scalars returns every overload of every scalar function and operator, by name.
func (r *Registry) Scalars() []*Scalar { return flatten(r.scalars) }

// Aggregates returns every overload of every aggregate, by name.
func (r *Registry) Aggregates() []*Aggregate { return flatten(r.aggregates) }

// Windows returns every overload of every window-only function, by name.
func (r *Registry) Windows() []*WindowFunc { return flatten(r.windows) }

func flatten[F any](m map[string][]F) []F {
	var out []F
	for _, name := range sortedKeys(m) {
		out = append(out, m[name]...)
	}
	return out
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// Scalar resolves a scalar call: exact types first, then the unique overload with
// the least coercions (sql.md section 4). The error is a [*ResolveError]. Arguments
// of kind vec.Lambda carry their parameter types in Fields and their result in Elem; the
// call's Args say in Elem what the body has to be cast to.
func (r *Registry) Scalar(name string, args []vec.Type) (*Call, error) {
	overloads := r.scalars[strings.ToLower(name)]
	sigs := make([]candidate, len(overloads))
	for i, s := range overloads {
		sigs[i] = candidate{s.sig, s.Signature, !s.noText}
	}
	i, params, result, err := resolve(name, sigs, args)
	if err != nil {
		return nil, err
	}
	return &Call{Func: overloads[i], Args: params, Return: result}, nil
}

// LambdaParams returns, for a call with lambda arguments (kind vec.Lambda, Fields
// one per parameter with types not yet known, Elem nil), the parameter types of each
// argument that is a lambda, by position (nil elsewhere), so that the planner can
// type the bodies before it calls Scalar.
func (r *Registry) LambdaParams(name string, args []vec.Type) ([][]vec.Type, error) {
	overloads := r.scalars[strings.ToLower(name)]
	if len(overloads) == 0 {
		return nil, notRegistered(name)
	}
	var sigs []candidate
	for _, s := range overloads {
		sigs = append(sigs, candidate{s.sig, s.Signature, true})
		var b bindings
		if !s.sig.bindArgs(args, &b) {
			continue
		}
		params := make([][]vec.Type, len(args))
		for i, a := range args {
			if a.Kind != vec.Lambda {
				continue
			}
			for _, f := range s.sig.param(i).instantiate(&b).Fields {
				params[i] = append(params[i], f.Type)
			}
		}
		return params, nil
	}
	return nil, unexpected(name, sigs, args)
}

// Aggregate resolves an aggregate call, as Scalar does.
func (r *Registry) Aggregate(name string, args []vec.Type) (*AggCall, error) {
	overloads := r.aggregates[strings.ToLower(name)]
	sigs := make([]candidate, len(overloads))
	for i, a := range overloads {
		sigs[i] = candidate{a.sig, a.Signature, true}
	}
	i, params, result, err := resolve(name, sigs, args)
	if err != nil {
		return nil, err
	}
	return &AggCall{Func: overloads[i], Args: params, Return: result}, nil
}

// Window resolves a window-only function and returns its result type. The caller
// casts the arguments to what [Registry.WindowArgs] says.
func (r *Registry) Window(name string, args []vec.Type) (*WindowFunc, vec.Type, error) {
	w, _, result, err := r.window(name, args)
	return w, result, err
}

// WindowArgs returns the parameter types of a window-only function after coercion.
func (r *Registry) WindowArgs(name string, args []vec.Type) ([]vec.Type, error) {
	_, params, _, err := r.window(name, args)
	return params, err
}

func (r *Registry) window(name string, args []vec.Type) (*WindowFunc, []vec.Type, vec.Type, error) {
	overloads := r.windows[strings.ToLower(name)]
	sigs := make([]candidate, len(overloads))
	for i, w := range overloads {
		sigs[i] = candidate{w.sig, w.Signature, true}
	}
	i, params, result, err := resolve(name, sigs, args)
	if err != nil {
		return nil, nil, vec.Type{}, err
	}
	return overloads[i], params, result, nil
}

// IsScalar reports whether some scalar overload of that name exists.
func (r *Registry) IsScalar(name string) bool { return len(r.scalars[strings.ToLower(name)]) > 0 }

// IsAggregate reports whether some aggregate overload of that name exists.
func (r *Registry) IsAggregate(name string) bool { return len(r.aggregates[strings.ToLower(name)]) > 0 }

// IsWindow reports whether name is a window-only function.
func (r *Registry) IsWindow(name string) bool { return len(r.windows[strings.ToLower(name)]) > 0 }

// candidate is one overload in a resolution.
type candidate struct {
	sig       *signature
	signature string
	text      bool // varchar arguments may become times
}

// resolve returns the index of the overload with the least cost, and its types.
func resolve(name string, cands []candidate, args []vec.Type) (int, []vec.Type, vec.Type, error) {
	if len(cands) == 0 {
		return 0, nil, vec.Type{}, notRegistered(name)
	}
	best, bestCost, tie := -1, 0, false
	var params []vec.Type
	var result vec.Type
	for i, c := range cands {
		p, res, cost, ok := c.sig.match(args, c.text)
		switch {
		case !ok || best >= 0 && cost > bestCost:
		case best >= 0 && cost == bestCost:
			tie = true
		default:
			best, bestCost, tie, params, result = i, cost, false, p, res
		}
	}
	if best < 0 {
		return 0, nil, vec.Type{}, unexpected(name, cands, args)
	}
	if tie && !anyUnknown(args) {
		return 0, nil, vec.Type{}, &ResolveError{Text: "Could not choose a best candidate operator. Explicit type casts must be added."}
	}
	// With a null literal several overloads fit equally; the value is null whichever
	// is taken, so the first declared stands.
	return best, params, result, nil
}

func anyUnknown(types []vec.Type) bool {
	for _, t := range types {
		if t.Kind == vec.Unknown || t.Elem != nil && anyUnknown([]vec.Type{*t.Elem}) {
			return true
		}
	}
	return false
}

func notRegistered(name string) error {
	return &ResolveError{Text: fmt.Sprintf("Function %s not registered", strings.ToLower(name))}
}

// unexpected is the error for arguments that no overload takes.
func unexpected(name string, cands []candidate, args []vec.Type) error {
	got := make([]string, len(args))
	for i, a := range args {
		got[i] = a.String()
	}
	if isOperator(name) {
		return &ResolveError{Text: fmt.Sprintf("'%s' cannot be applied to %s", strings.ToUpper(name), strings.Join(got, ", "))}
	}
	want := make([]string, len(cands))
	for i, c := range cands {
		want[i] = parameterList(c.signature)
	}
	return &ResolveError{Text: fmt.Sprintf("Unexpected parameters (%s) for function %s. Expected: %s",
		strings.Join(got, ", "), strings.ToLower(name), strings.Join(want, ", "))}
}

func isOperator(name string) bool {
	switch strings.ToLower(name) {
	case "like", "is distinct from":
		return true
	}
	return name != "" && !('a' <= name[0]|0x20 && name[0]|0x20 <= 'z')
}
