package vec

import "fmt"

// Check returns what is wrong with the shape of a batch, or nil: lengths that do not
// agree, indexes past their dictionary, offsets that fall. It is for tests and for builds with
// the tag invariants; it looks at every row.
func (b *Batch) Check() error {
	if b.Len <= 0 {
		return fmt.Errorf("a batch of %d rows", b.Len)
	}
	for i, c := range b.Columns {
		if c.Len() != b.Len {
			return fmt.Errorf("column %d has %d rows, the batch %d", i, c.Len(), b.Len)
		}
		if err := c.Check(); err != nil {
			return fmt.Errorf("column %d of type %s: %w", i, c.Type, err)
		}
	}
	return nil
}

// Check returns what is wrong with the shape of a vector, or nil.
func (v *Vector) Check() error {
	slots := v.n
	switch v.Form {
	case Constant:
		slots = 1
	case Dictionary:
		return v.checkDictionary()
	}
	if v.Nulls != nil && len(v.Nulls) < slots {
		return fmt.Errorf("%d null flags for %d slots", len(v.Nulls), slots)
	}
	have := slots
	switch v.Type.Kind.Storage() {
	case StoreInts:
		have = len(v.Ints)
	case StoreFloats:
		have = len(v.Floats)
	case StoreBools:
		have = len(v.Bools)
	case StoreStrs:
		have = len(v.Strs)
	case StoreNested:
		return v.checkNested(slots)
	}
	if have < slots {
		return fmt.Errorf("%d values for %d slots", have, slots)
	}
	return nil
}

func (v *Vector) checkDictionary() error {
	if v.Dict == nil || len(v.Index) != v.n {
		return fmt.Errorf("%d indexes for %d rows", len(v.Index), v.n)
	}
	for i, at := range v.Index {
		if at < 0 || int(at) >= v.Dict.Len() {
			return fmt.Errorf("row %d is entry %d of a dictionary of %d", i, at, v.Dict.Len())
		}
	}
	return v.Dict.Check()
}

func (v *Vector) checkNested(slots int) error {
	if v.Type.Kind == Row {
		for f, c := range v.Children {
			if c.Len() < slots {
				return fmt.Errorf("field %d has %d rows, want %d", f, c.Len(), slots)
			}
			if err := c.Check(); err != nil {
				return fmt.Errorf("field %d: %w", f, err)
			}
		}
		return nil
	}
	if len(v.Offsets) < slots+1 {
		return fmt.Errorf("%d offsets for %d slots", len(v.Offsets), slots)
	}
	for i := range slots {
		if v.Offsets[i] > v.Offsets[i+1] {
			return fmt.Errorf("offset %d of slot %d is past the next, %d", v.Offsets[i], i, v.Offsets[i+1])
		}
	}
	for f, c := range v.Children {
		if c.Len() < int(v.Offsets[slots]) {
			return fmt.Errorf("child %d has %d rows, the offsets end at %d", f, c.Len(), v.Offsets[slots])
		}
		if err := c.Check(); err != nil {
			return fmt.Errorf("child %d: %w", f, err)
		}
	}
	return nil
}
