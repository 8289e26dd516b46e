package fn

import "github.com/weir-db/weir/internal/vec"

// What one call may make. Functions such as replace, array_join, repeat and concat multiply
// what they get, and a few of them nested would ask for more memory than a machine has before
// the query's memory limit, which counts what operators hold, could see it.
const (
	maxTextBytes  = 16 << 20  // of one text
	maxTextsBytes = 256 << 20 // of all texts of one call, thus of a batch of rows
	maxElements   = 32 << 20  // of all arrays of one call, at every depth
	maxConstant   = 1 << 20   // as maxElements, of an array that is the same for all rows
)

func errTextTooLong() error {
	return fail("The result is a text of more than %d bytes", maxTextBytes)
}

// textMeter counts the texts that a call makes.
type textMeter struct{ left int }

func newTextMeter() textMeter { return textMeter{maxTextsBytes} }

func (m *textMeter) add(size int) error {
	if size > maxTextBytes {
		return errTextTooLong()
	}
	if m.left -= size; m.left < 0 {
		return fail("The texts that a function makes of a batch of rows have more than %d bytes", maxTextsBytes)
	}
	return nil
}

// elementMeter counts the array elements that a call makes.
type elementMeter struct{ left int }

func newElementMeter() elementMeter { return elementMeter{maxElements} }

func (m *elementMeter) add(elements int) error {
	if m.left -= elements; m.left < 0 {
		return errTooManyElements()
	}
	return nil
}

func errTooManyElements() error {
	return fail("The arrays that a function makes of a batch of rows have more than %d elements", maxElements)
}

// CheckSize returns an error of kind fault.Execution if the arrays in the rows of vs have
// too many elements together, as copying them row by row would take.
func CheckSize(vs ...*vec.Vector) error {
	m := newElementMeter()
	for _, v := range vs {
		if v == nil || v.Type.Kind.Storage() != vec.StoreNested {
			continue
		}
		for i := range v.Len() {
			if err := m.add(weight(v, i)); err != nil {
				return err
			}
		}
	}
	return nil
}

// CheckConstant is CheckSize for vectors that are the same in every row, whose values are
// boxed, at more than a hundred bytes each.
func CheckConstant(vs ...*vec.Vector) error {
	total := 0
	for _, v := range vs {
		if v != nil && v.Len() > 0 {
			total += weight(v, 0)
		}
	}
	if total > maxConstant {
		return errTooManyElements()
	}
	return nil
}

// weight is the number of values in row i of v, at every depth: 1 for a scalar.
func weight(v *vec.Vector, i int) int {
	if v.Type.Kind.Storage() != vec.StoreNested || v.IsNull(i) {
		return 1
	}
	v, i = v.At(i)
	from, to := i, i+1
	if v.Type.Kind != vec.Row {
		from, to = int(v.Offsets[i]), int(v.Offsets[i+1])
	}
	total := 0
	for _, child := range v.Children {
		if child.Type.Kind.Storage() != vec.StoreNested {
			total += to - from
			continue
		}
		for r := from; r < to; r++ {
			total += weight(child, r)
		}
	}
	return total
}
