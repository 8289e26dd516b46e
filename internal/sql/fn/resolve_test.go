package fn

import (
	"sync"
	"testing"

	"github.com/weir-db/weir/internal/vec"
)

func TestCommonTypeIsTheLeastThatAllCoerceTo(t *testing.T) {
	check := func(want string, types ...vec.Type) {
		t.Helper()
		got, ok := CommonType(types...)
		text := got.String()
		if !ok {
			text = "none"
		}
		if text != want {
			t.Errorf("CommonType(%v) = %s, want %s", types, text, want)
		}
	}
	varchar := func(n int) vec.Type { return vec.Type{Kind: vec.Varchar, Length: n} }
	check("unknown")
	check("bigint", vec.IntegerType, vec.BigintType)
	check("double", vec.IntegerType, vec.DoubleType, vec.UnknownType)
	check("timestamp", vec.DateType, vec.TimestampType)
	check("timestamp", vec.VarcharType, vec.TimestampType)
	check("varchar(7)", varchar(3), varchar(7))
	check("varchar", varchar(3), vec.VarcharType)
	check("array(double)", vec.ArrayOf(vec.BigintType), vec.ArrayOf(vec.DoubleType))
	check("array(bigint)", vec.ArrayOf(vec.UnknownType), vec.ArrayOf(vec.BigintType))
	check("row(a bigint)", vec.RowOf(vec.Field{Type: vec.IntegerType}), vec.RowOf(vec.Field{Name: "a", Type: vec.BigintType}))
	check("none", vec.VarcharType, vec.BigintType)
	check("none", vec.BooleanType, vec.BigintType)
	check("none", vec.IntervalDayType, vec.IntervalYearType)
}

func TestLambdaParametersComeFromTheOtherArguments(t *testing.T) {
	lambda := func(n int) vec.Type { return vec.Type{Kind: vec.Lambda, Fields: make([]vec.Field, n)} }
	series := vec.TimeSeriesOf(vec.DoubleType)
	params, err := registry.LambdaParams("reduce", []vec.Type{series, vec.BigintType, lambda(2), lambda(1)})
	if err != nil {
		t.Fatal(err)
	}
	if len(params) != 4 || params[0] != nil || !params[2][0].Equal(vec.BigintType) || !params[2][1].Equal(vec.PointType(vec.DoubleType)) || !params[3][0].Equal(vec.BigintType) {
		t.Errorf("parameters of reduce = %v", params)
	}
	if _, err := registry.LambdaParams("filter", []vec.Type{vec.BigintType, lambda(1)}); err == nil ||
		err.Error() != "Unexpected parameters (bigint, function) for function filter. Expected: filter(array(T), function(T, boolean)), filter(timeseries(T), function(point(T), boolean))" {
		t.Errorf("filter over a bigint: %v", err)
	}
	// A state that the lambda would widen is refused.
	wide := lambda(2)
	wide.Elem = &vec.DoubleType
	last := lambda(1)
	last.Elem = &vec.DoubleType
	if call, err := registry.Scalar("reduce", []vec.Type{series, vec.BigintType, wide, last}); err == nil {
		t.Errorf("reduce takes a double for a bigint state: %v", call)
	}
}

func TestSignaturesAreChecked(t *testing.T) {
	for _, bad := range []string{"", "f", "f()", "f() ->", "f(int) -> bigint", "f(T..., T) -> T", "f(array(T) -> T", "(T) -> T"} {
		if s, err := parseSignature(bad); err == nil {
			t.Errorf("parseSignature(%q) = %+v", bad, s)
		}
	}
}

func TestARegistryServesManyAtOnce(t *testing.T) {
	call, err := registry.Scalar("regexp_like", []vec.Type{vec.VarcharType, vec.VarcharType})
	if err != nil {
		t.Fatal(err)
	}
	texts := vec.OfStrs([]string{"pump", "fan", "pumpe"}, nil)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for _, pattern := range []string{"^pump$", "(?=f)fan", "p+", string(rune('a' + i))} {
				if _, err := Invoke(call, &Context{}, []*vec.Vector{texts, vec.Const(vec.Str(pattern), 3)}, 3); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}
