// Package fn holds the functions of the SQL dialect: what they are called, which
// types they take and give, how they treat nulls, what they say of themselves, and
// the kernels that compute them over vectors.
//
// One [Registry] is the single truth: the planner resolves calls with it, and the
// function reference and the shell's help are printed from it. Operators are
// functions too, under their SQL spelling ("+", "=", "||", "like", "[]"). Forms that must not
// evaluate all their arguments (AND, OR, CASE, IF, COALESCE, NULLIF, TRY) are not functions; the
// planner has nodes for them.
//
// # Signatures
//
// A signature is text: "bin(timestamp, interval day to second) -> timestamp",
// "greatest(T, T...) -> T", "array_join(array(T), varchar) -> varchar",
// "filter(array(T), function(T, boolean)) -> array(T)". Single capital letters are type
// variables; a last parameter with "..." repeats, zero times included. The last type inside
// function(…) is what the lambda returns; point(T) is row(time timestamp, value T).
//
// # Evaluation
//
// [Invoke] knows the null rule and the forms of vectors, so that kernels need not: they get
// flat and constant vectors, and no null unless they ask for it (CalledOnNull). Constants are
// evaluated once and dictionaries once per entry; an entry that fails, and a null slot that
// does, counts for nothing unless a row has it. [Cast] follows the same rules.
//
// A new function is an entry in the list of its file, with an example; tests evaluate the
// example, alone and through whole queries, and docs/functions.md is printed from the lists.
//
// A Registry is immutable after [New] and safe for concurrent use.
package fn

import (
	"time"

	"github.com/weir-db/weir/internal/vec"
)

// Docs is what a function says of itself.
type Docs struct {
	Category string // "date and time", "string", … as the reference groups them
	Text     string // one or two sentences
	Example  string // an SQL expression, for example "bin(TIMESTAMP '2031-02-03 04:05:06', 15m)"
	Result   string // the API text of the example, or "NULL"; empty if it varies
}

// Scalar is one overload of a scalar function or operator.
type Scalar struct {
	Name      string // lower case
	Signature string
	Docs      Docs

	// CalledOnNull: Eval sees null arguments. Otherwise the result is null where any
	// argument is, and Eval is called only with rows that have no null.
	CalledOnNull bool
	// Volatile: a new value for every row even when the arguments are the same.
	Volatile bool

	// Eval computes n rows. args are vectors of n rows, of the parameter types after
	// coercion, in any form; lambda parameters are nil there and come in c.Lambdas.
	// An error is one of kind fault.Execution (fault.Invalid for a pattern that cannot be
	// read) whose text the client sees. Eval must not
	// keep or modify args. The result has the type c.Return.
	//
	// [Invoke] passes flat and constant vectors, never dictionaries.
	Eval Kernel

	dense  bool // Eval may be given null slots as well: it is cheap and does no harm there
	noText bool // varchar arguments do not turn into times (arithmetic operators)
	sig    *signature
}

// Kernel computes n rows of a scalar function.
type Kernel func(c *Context, args []*vec.Vector, n int) (*vec.Vector, error)

// Context is what a kernel may know besides its arguments.
type Context struct {
	Now     time.Time  // the start of the query
	Return  vec.Type   // the resolved result type
	Lambdas []Lambda   // by parameter position, nil where the parameter is no lambda
	Args    []vec.Type // the resolved argument types

	// Interrupted, unless nil, returns why the query ends, if it does. Kernels that may take long over a
	// batch ask between its rows.
	Interrupted func() error
}

func (c *Context) interrupted() error {
	if c.Interrupted == nil {
		return nil
	}
	return c.Interrupted()
}

// Lambda evaluates a lambda's body over n rows of its parameters. capture holds for
// each of the n rows the row of the calling batch it belongs to (for captured columns).
type Lambda func(params []*vec.Vector, capture []int32) (*vec.Vector, error)

// Aggregate is one overload of an aggregate function.
type Aggregate struct {
	Name      string
	Signature string
	Docs      Docs
	// New returns an accumulator without groups. args and ret are resolved types.
	New func(args []vec.Type, ret vec.Type) Accumulator

	sig *signature
}

// Accumulator aggregates rows into groups numbered from 0. It is used by one
// goroutine.
type Accumulator interface {
	// Resize makes room for groups 0 to groups-1; it never shrinks.
	Resize(groups int)
	// Add adds row i of args to group groups[i]. Nulls are there: each function has its
	// own rule (sql.md section 9). Errors are of kind fault.Execution.
	Add(groups []int32, args []*vec.Vector) error
	// Combine adds group from[i] of other, an accumulator of the same call, to group into[i].
	// Of rows that are equally good (arbitrary, ties of max_by) those of either may stay. Floating-point
	// sums may differ in their last digits from those of one accumulator.
	Combine(other Accumulator, from, into []int32) error
	// Result returns one row per group. No Add may follow.
	Result() (*vec.Vector, error)
	// SizeBytes estimates the memory held, for the query's limit.
	SizeBytes() int64
}

// longResult is an [Accumulator] whose Result may take long. It asks ask now and then, and ends with its error.
type longResult interface {
	resultAsking(ask func() error) (*vec.Vector, error)
}

// Result is acc.Result, which ends with the error of interrupted soon after that returns one.
func Result(acc Accumulator, interrupted func() error) (*vec.Vector, error) {
	if long, ok := acc.(longResult); ok {
		return long.resultAsking(interrupted)
	}
	return acc.Result()
}

// Merger is an [Accumulator] that can take on partial states that storage computed
// (storage.Aggregation). State columns by function:
//
//	count            bigint
//	sum              the sum, null when no value
//	avg(double)      sum, bigint count
//	avg(bigint, integer), stddev*, var*   bigint n, double mean, double m2
//	min, max         the value, null when none
//	max_by(x, time)  timestamp, x        of the row with the greatest time
//	min_by(x, time)  timestamp, x        of the row with the least time
type Merger interface {
	Accumulator
	Merge(groups []int32, states []*vec.Vector) error
}

// Settler is a [Merger] that may know the results of groups that have one partial state each.
type Settler interface {
	Merger
	// Settle returns the results, whose groups are the rows of states, or nil where they take a Merge. The accumulator is new,
	// and serves for nothing else. The result shares the memory of states.
	Settle(states []*vec.Vector) *vec.Vector
}

// WindowFunc is a function that only exists with OVER (rank, lag, …); every
// aggregate is one as well. The executor computes it by name.
type WindowFunc struct {
	Name      string
	Signature string
	Docs      Docs

	sig *signature
}

// Call is a resolved scalar call.
type Call struct {
	Func   *Scalar
	Args   []vec.Type // parameter types after coercion: the caller casts its arguments to these
	Return vec.Type
}

// AggCall is a resolved aggregate call.
type AggCall struct {
	Func   *Aggregate
	Args   []vec.Type
	Return vec.Type
}
