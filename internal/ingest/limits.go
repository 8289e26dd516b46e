package ingest

import (
	"fmt"
	"strconv"
	"strings"
)

// Limits are the bounds of a request. A zero field means the service's quota.
//
// The quota "record size 2 KB" has no field: together with the others it would
// forbid what the API model allows (a VARCHAR of 2048 bytes, a MULTI record of 256
// doubles with their names). A record is bounded by DimensionBytes, and by
// ValueBytes or MultiBytes.
type Limits struct {
	Records            int // per request; 100
	Dimensions         int // per record, after the merge; 128
	Measures           int // per MULTI record; 256
	DimensionNameBytes int // 60
	MeasureNameBytes   int // of measure and attribute names; 256
	DimensionBytes     int // names and values of one record's dimensions; 2048
	ValueBytes         int // one measure value; 2048
	MultiBytes         int // measure values of one MULTI record; 2048
}

func (l Limits) withDefaults() Limits {
	set := func(field *int, quota int) {
		if *field == 0 {
			*field = quota
		}
	}
	set(&l.Records, 100)
	set(&l.Dimensions, 128)
	set(&l.Measures, 256)
	set(&l.DimensionNameBytes, 60)
	set(&l.MeasureNameBytes, 256)
	set(&l.DimensionBytes, 2048)
	set(&l.ValueBytes, 2048)
	set(&l.MultiBytes, 2048)
	return l
}

// roomy are limits for those whom the service's quotas are too small for. What the API
// model itself bounds (a value of 2048 characters) stays.
var roomy = Limits{Records: 10_000, Measures: 1024, DimensionNameBytes: 256, MeasureNameBytes: 1024, DimensionBytes: 16 << 10, MultiBytes: 256 << 10}

// limitNames are the limits by their names in a setting, with the most that each may be:
// beyond, a record would not fit the engine's blocks.
var limitNames = []struct {
	name  string
	most  int
	field func(*Limits) *int
}{
	{"records", 100_000, func(l *Limits) *int { return &l.Records }},
	{"dimensions", 128, func(l *Limits) *int { return &l.Dimensions }},
	{"measures", 1024, func(l *Limits) *int { return &l.Measures }},
	{"dimension-name-bytes", 4 << 10, func(l *Limits) *int { return &l.DimensionNameBytes }},
	{"measure-name-bytes", 4 << 10, func(l *Limits) *int { return &l.MeasureNameBytes }},
	{"dimension-bytes", 64 << 10, func(l *Limits) *int { return &l.DimensionBytes }},
	{"value-bytes", 2048, func(l *Limits) *int { return &l.ValueBytes }},
	{"multi-bytes", 1 << 20, func(l *Limits) *int { return &l.MultiBytes }},
}

// ParseLimits reads a setting: "aws" or "roomy", then changes to single limits, all
// separated by commas: "aws,records=1000". Empty is "aws".
func ParseLimits(setting string) (Limits, error) {
	var l Limits
	for i, part := range strings.Split(setting, ",") {
		name, value, change := strings.Cut(strings.TrimSpace(part), "=")
		switch {
		case i == 0 && !change && (name == "aws" || name == ""):
			continue
		case i == 0 && name == "roomy" && !change:
			l = roomy
			continue
		}
		n, err := strconv.Atoi(value)
		field, most := limitNamed(&l, name)
		switch {
		case field == nil:
			return l, fmt.Errorf("want aws or roomy first, then changes such as records=1000 of %s; got %q", knownLimits(), part)
		case err != nil || n < 1 || n > most:
			return l, fmt.Errorf("%s: want a number from 1 to %d, got %q", name, most, value)
		}
		*field = n
	}
	return l.withDefaults(), nil
}

func limitNamed(l *Limits, name string) (field *int, most int) {
	for _, n := range limitNames {
		if n.name == name {
			return n.field(l), n.most
		}
	}
	return nil, 0
}

func knownLimits() string {
	var names []string
	for _, n := range limitNames {
		names = append(names, n.name)
	}
	return strings.Join(names, ", ")
}
