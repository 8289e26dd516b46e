package fn

import (
	"fmt"

	"github.com/weir-db/weir/internal/vec"
)

// Registry is the set of all functions.
type Registry struct{}

// New returns the registry of the whole dialect.
func New() *Registry { return &Registry{} }

// ResolveError says why a call cannot be resolved. Text has no position; the
// planner puts "line L:C: " before it.
type ResolveError struct{ Text string }

func (e *ResolveError) Error() string { return e.Text }

// Scalar resolves a scalar call: exact types first, then the unique overload with
// the least coercions (sql.md section 4). The error is a [*ResolveError]. Arguments
// of kind vec.Lambda carry their parameter types in Fields and their result in Elem.
func (r *Registry) Scalar(name string, args []vec.Type) (*Call, error) {
	return nil, &ResolveError{Text: fmt.Sprintf("Function %s not registered", name)}
}

// LambdaParams returns, for a call with lambda arguments (kind vec.Lambda, Fields
// one per parameter with types not yet known, Elem nil), the parameter types of each
// argument that is a lambda, by position (nil elsewhere), so that the planner can
// type the bodies before it calls Scalar.
func (r *Registry) LambdaParams(name string, args []vec.Type) ([][]vec.Type, error) {
	return nil, &ResolveError{Text: fmt.Sprintf("Function %s not registered", name)}
}

// Aggregate resolves an aggregate call, as Scalar does.
func (r *Registry) Aggregate(name string, args []vec.Type) (*AggCall, error) {
	return nil, &ResolveError{Text: fmt.Sprintf("Function %s not registered", name)}
}

// Window resolves a window-only function and returns its result type.
func (r *Registry) Window(name string, args []vec.Type) (*WindowFunc, vec.Type, error) {
	return nil, vec.Type{}, &ResolveError{Text: fmt.Sprintf("Function %s not registered", name)}
}

// IsAggregate and IsWindow report whether some overload of that name exists.
func (r *Registry) IsAggregate(name string) bool { return false }

// IsWindow reports whether name is a window-only function.
func (r *Registry) IsWindow(name string) bool { return false }

// Coercible reports whether from converts to to without a CAST (sql.md section 4).
func Coercible(from, to vec.Type) bool { return from.Equal(to) }

// CommonType returns the least type that all types coerce to.
func CommonType(types ...vec.Type) (vec.Type, bool) { return vec.Type{}, false }

// Cast returns the kernel that casts from one type to another, or false when the
// pair is impossible (an analysis error). The kernel fails on the first value that
// cannot be cast; with try, such values become null.
func Cast(from, to vec.Type, try bool) (func(c *Context, v *vec.Vector) (*vec.Vector, error), bool) {
	return nil, false
}

// Invoke evaluates a resolved call over n rows of args, which have call.Args' types:
// it applies the null rule, evaluates constants once and dictionaries once per
// distinct value, and calls the kernel for the rest.
func Invoke(call *Call, c *Context, args []*vec.Vector, n int) (*vec.Vector, error) {
	return call.Func.Eval(c, args, n)
}
