package storage

import "github.com/weir-db/weir/internal/fault"

// Deletion says which rows to delete: those with From <= time < To that satisfy every
// predicate of Where.
type Deletion struct {
	From, To int64 // ns; see AllTime

	// Where is a conjunction of predicates on dimensions and measure_name.
	Where []Predicate

	// Confirm, if not nil, is called after the predicates were evaluated on all values
	// that there are and before anything is deleted; its error ends the deletion. It is for
	// predicates that can fail.
	Confirm func() error
}

// Check returns an error of kind fault.Invalid if the deletion has a predicate on a column
// that the schema lacks or that deletions do not test.
func (d *Deletion) Check(s *Schema) error {
	for i := range d.Where {
		name := d.Where[i].Column
		at := s.Lookup(name)
		if at < 0 {
			return fault.New(fault.Invalid, "The column %s does not exist.", name)
		}
		if r := s.Columns[at].Role; r != Dimension && r != MeasureName {
			return fault.New(fault.Invalid, "A deletion cannot test the column %s: only dimensions, %s and %s.", name, MeasureNameColumn, TimeColumnName)
		}
	}
	return nil
}
