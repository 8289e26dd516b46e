package ingest

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
