package fn

import (
	"strings"
	"testing"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/vec"
)

func TestTextsThatMultiplyEndInAnError(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 1<<20)
	check := func(what string, err error) {
		t.Helper()
		if fault.KindOf(err) != fault.Execution {
			t.Errorf("%s: got %v, want an execution error", what, err)
		}
	}
	_, err := replaceAll(long, "x", long)
	check("replace", err)
	_, err = replaceAll(long, "", long)
	check("replace of nothing", err)
	text := func(s string) *vec.Vector { return vec.OfStrs([]string{s}, nil) }
	_, err = joinTexts(&Context{Return: vec.VarcharType}, []*vec.Vector{text(strings.Repeat("x", maxTextBytes)), text("y")}, 1)
	check("||", err)
	meter := newTextMeter()
	for err = nil; err == nil; {
		err = meter.add(maxTextBytes)
	}
	check("a batch", err)
}

func TestArraysThatMultiplyEndInAnError(t *testing.T) {
	t.Parallel()
	ints := vec.OfInts(vec.BigintType, make([]int64, maxElements/4), nil)
	one := vec.OfNested(vec.ArrayOf(vec.BigintType), []int32{0, int32(ints.Len())}, nil, ints)
	if err := CheckSize(one, one); err != nil {
		t.Errorf("two quarters: %v", err)
	}
	if err := CheckSize(one, one, one, one, one); fault.KindOf(err) != fault.Execution {
		t.Errorf("five quarters: got %v, want an execution error", err)
	}
	nested := vec.OfNested(vec.ArrayOf(one.Type), []int32{0, 1}, nil, one)
	if got := weight(nested, 0); got != ints.Len() {
		t.Errorf("a nested array weighs %d, want %d", got, ints.Len())
	}
	c := &Context{Return: vec.ArrayOf(nested.Type)}
	if _, err := repeatKernel(c, []*vec.Vector{nested, vec.OfInts(vec.BigintType, []int64{9}, nil)}, 1); fault.KindOf(err) != fault.Execution {
		t.Errorf("repeat of a nested array: got %v, want an execution error", err)
	}
}
