package vec

import (
	"reflect"
	"testing"
)

func boxed(v *Vector) []Value {
	out := make([]Value, v.Len())
	for i := range out {
		out[i] = v.Value(i)
	}
	return out
}

func TestEveryFormGivesTheSameValues(t *testing.T) {
	dict := OfStrs([]string{"a", "", "c"}, []bool{false, true, false})
	v := OfDict([]int32{2, 1, 0, 2}, dict)
	flat := v.Flat()
	if !reflect.DeepEqual(boxed(v), boxed(flat)) || flat.Form != Flat {
		t.Fatalf("Flat changed the values: %v, want %v", boxed(flat), boxed(v))
	}
	c := Const(Int(BigintType, 7), 3)
	if got := boxed(c.Flat()); len(got) != 3 || got[2].Int != 7 {
		t.Fatalf("Flat of a constant = %v", got)
	}
	if got := boxed(v.Gather([]int32{3, 1})); got[0].Str != "c" || !got[1].Null {
		t.Fatalf("Gather of a dictionary = %v", got)
	}
}

func TestNestedValuesSurviveBuildGatherAndSlice(t *testing.T) {
	series := TimeSeriesOf(DoubleType)
	point := func(ts int64, f float64) Value {
		return Value{Type: PointType(DoubleType), List: []Value{Int(TimestampType, ts), Float(f)}}
	}
	row := RowOf(Field{"s", series}, Field{"xs", ArrayOf(BigintType)})
	vals := []Value{
		{Type: row, List: []Value{{Type: series, List: []Value{point(1, 1.5), point(2, 2.5)}}, {Type: ArrayOf(BigintType), List: []Value{}}}},
		{Type: row, Null: true},
		{Type: row, List: []Value{Null(series), {Type: ArrayOf(BigintType), List: []Value{Int(BigintType, 4), Null(BigintType)}}}},
	}
	b := NewBuilder(row, 0)
	for _, v := range vals {
		b.Append(v)
	}
	v := b.Vector()
	if !reflect.DeepEqual(boxed(v), vals) {
		t.Fatalf("got  %#v\nwant %#v", boxed(v), vals)
	}
	if got, want := boxed(v.Gather([]int32{2, 0})), []Value{vals[2], vals[0]}; !reflect.DeepEqual(got, want) {
		t.Fatalf("Gather: got %#v\nwant %#v", got, want)
	}
	if got := boxed(v.Slice(1, 3)); !reflect.DeepEqual(got, vals[1:]) {
		t.Fatalf("Slice: got %#v\nwant %#v", got, vals[1:])
	}
}

func TestTypeNames(t *testing.T) {
	check := func(typ Type, want string) {
		t.Helper()
		if got := typ.String(); got != want {
			t.Errorf("String = %q, want %q", got, want)
		}
	}
	check(Type{Kind: Varchar, Length: 5}, "varchar(5)")
	check(ArrayOf(TimeSeriesOf(DoubleType)), "array(timeseries(double))")
	check(RowOf(Field{"a", BigintType}, Field{"", VarcharType}), "row(a bigint, varchar)")
	check(IntervalYearType, "interval year to month")
}

func TestGatherOfABatchDoesNotCopyLongLists(t *testing.T) {
	t.Parallel()
	list := OfNested(ArrayOf(BigintType), []int32{0, 1 << 19}, nil, OfInts(BigintType, make([]int64, 1<<19), nil))
	b := (&Batch{Len: 1, Columns: []*Vector{list}}).Gather(make([]int32, 1000))
	if v := b.Columns[0]; v.Len() != 1000 || v.Form != Dictionary || v.Dict != list {
		t.Errorf("got %d rows in form %d, want 1000 that share one list", v.Len(), v.Form)
	}
}

func TestCheckFindsVectorsThatDoNotHoldTogether(t *testing.T) {
	good := &Batch{Len: 2, Columns: []*Vector{OfInts(BigintType, []int64{1, 2}, nil), OfDict([]int32{0, 0}, OfStrs([]string{"a"}, nil)), Const(Float(1), 2)}}
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	for name, v := range map[string]*Vector{
		"length":     OfInts(BigintType, []int64{1}, nil),
		"nulls":      OfInts(BigintType, []int64{1, 2}, []bool{true}),
		"dictionary": OfDict([]int32{0, 1}, OfStrs([]string{"a"}, nil)),
		"offsets":    OfNested(ArrayOf(BigintType), []int32{0, 2, 1}, nil, OfInts(BigintType, []int64{1, 2}, nil)),
		"child":      OfNested(ArrayOf(BigintType), []int32{0, 2, 3}, nil, OfInts(BigintType, []int64{1, 2}, nil)),
	} {
		if (&Batch{Len: 2, Columns: []*Vector{v}}).Check() == nil {
			t.Errorf("%s: nothing found", name)
		}
	}
}
