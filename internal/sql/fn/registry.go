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

	candidates [3]map[string][]candidate // of scalars, aggregates and windows
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
	r.candidates[0] = candidatesOf(r.scalars, func(s *Scalar) candidate { return candidate{s.sig, s.Signature, !s.noText} })
	r.candidates[1] = candidatesOf(r.aggregates, func(a *Aggregate) candidate { return candidate{a.sig, a.Signature, true} })
	r.candidates[2] = candidatesOf(r.windows, func(w *WindowFunc) candidate { return candidate{w.sig, w.Signature, true} })
	return r
}

func candidatesOf[F any](m map[string][]F, of func(F) candidate) map[string][]candidate {
	out := make(map[string][]candidate, len(m))
	for name, list := range m {
		for _, f := range list {
			out[name] = append(out[name], of(f))
		}
	}
	return out
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
	lower := strings.ToLower(name)
	overloads := r.scalars[lower]
	i, params, result, err := resolve(name, r.candidates[0][lower], args)
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
	lower := strings.ToLower(name)
	overloads := r.aggregates[lower]
	i, params, result, err := resolve(name, r.candidates[1][lower], args)
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
	lower := strings.ToLower(name)
	overloads := r.windows[lower]
	i, params, result, err := resolve(name, r.candidates[2][lower], args)
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
	for i := range cands {
		c := &cands[i]
		cost, ok := c.sig.cost(args, c.text)
		switch {
		case !ok || best >= 0 && cost > bestCost:
		case best >= 0 && cost == bestCost:
			tie = true
		default:
			best, bestCost, tie = i, cost, false
		}
		if best >= 0 && bestCost == 0 {
			break // these very types: no other is nearer
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
	params, result := cands[best].sig.types(args)
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
