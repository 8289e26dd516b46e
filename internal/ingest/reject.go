package ingest

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/weir-db/weir/internal/catalog"
	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/vec"
)

// isoMillis is how the service prints the ends of a window.
const isoMillis = "2006-01-02T15:04:05.000Z"

// typeWord names a type as the API does.
func typeWord(kind vec.Kind) string {
	switch kind {
	case vec.Double:
		return string(Double)
	case vec.Bigint:
		return string(Bigint)
	case vec.Varchar:
		return string(Varchar)
	case vec.Boolean:
		return string(Boolean)
	case vec.Timestamp:
		return string(Timestamp)
	}
	return string(Multi)
}

// rejected words a table's rejections; row i of the batch is record i.
func rejected(t *catalog.Table, list []storage.Rejection) *RejectedError {
	e := &RejectedError{Records: make([]Rejected, len(list))}
	for i := range list {
		r := &list[i]
		e.Records[i] = Rejected{Index: r.Row, Reason: reason(t, r)}
		if r.Cause == storage.LowerVersion {
			e.Records[i].ExistingVersion = r.Existing
		}
	}
	slices.SortFunc(e.Records, func(a, b Rejected) int { return cmp.Compare(a.Index, b.Index) })
	return e
}

// reason is the API's text where it is known (recorded answers of the service), our own
// where it is not: type conflicts, per-table limits, partition keys.
func reason(t *catalog.Table, r *storage.Rejection) string {
	switch r.Cause {
	case storage.OutsideWindow:
		noun := "memory store"
		if t.Magnetic.Enabled {
			noun = "data ingestion window"
		}
		return fmt.Sprintf("The record timestamp is outside the time range [%s, %s) of the %s.", iso(r.WindowFrom), iso(r.WindowTo), noun)
	case storage.SameVersion:
		return "A record already exists with the same time, dimensions, measure name, and record version. A higher record version must be specified in order to update the measure value. Specifying record version is supported by the latest SDKs."
	case storage.LowerVersion:
		return fmt.Sprintf("The record version %d is lower than the existing version %d. A higher version is required to update the measure value.", r.Version, r.Existing)
	case storage.TypeConflict:
		return fmt.Sprintf("The measure value type %s of '%s' does not match its existing type %s. The type of a measure cannot be changed.", typeWord(r.Want.Kind), r.Column, typeWord(r.Have.Kind))
	case storage.NameConflict:
		return fmt.Sprintf("The name '%s' is used both as a dimension and as a measure of the table. Dimension and measure names must be unique.", r.Column)
	case storage.TooManyDimensions:
		return fmt.Sprintf("The table would exceed the limit of %d dimensions.", storage.MaxDimensionsPerTable)
	case storage.TooManyMeasures:
		return fmt.Sprintf("The table would exceed the limit of %d measure names.", storage.MaxMeasureNamesPerTable)
	case storage.TooManyAttributes:
		return fmt.Sprintf("The table would exceed the limit of %d distinct measures of multi-measure records.", storage.MaxAttributesPerTable)
	case storage.MissingDimension:
		return fmt.Sprintf("The record does not have the dimension '%s', which the partition key of the table requires.", r.Column)
	}
	panic(fmt.Sprintf("bug: rejection with cause %d", r.Cause))
}

func iso(ns int64) string { return time.Unix(0, ns).UTC().Format(isoMillis) }
