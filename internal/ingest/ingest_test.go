package ingest_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-db/weir/internal/catalog"
	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/ingest"
	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/storage/storagetest"
)

var now = time.Date(2026, 3, 4, 5, 6, 7, 890_000_000, time.UTC)

// world is a service over the naive backend with the table db.t: memory store of
// 12 h, magnetic store of 5 d, late writes off.
type world struct {
	*ingest.Service
	t        testing.TB
	catalog  *catalog.Catalog
	clock    *clock.Clock
	observed ingest.Observation
}

func newWorld(t testing.TB) *world {
	w := &world{t: t, clock: clock.Manual(now)}
	var err error
	w.catalog, err = catalog.Open(t.Context(), catalog.Options{Backend: storagetest.NewNaive(w.clock), Clock: w.clock})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.catalog.CreateDatabase(t.Context(), "db", "", nil); err != nil {
		t.Fatal(err)
	}
	w.table(catalog.NewTable{Name: "t"})
	w.Service = ingest.New(ingest.Options{Catalog: w.catalog, Observe: func(o *ingest.Observation) { w.observed = *o }})
	return w
}

func (w *world) table(n catalog.NewTable) storage.Table {
	w.t.Helper()
	n.Database = "db"
	n.Retention = &catalog.Retention{MemoryHours: 12, MagneticDays: 5}
	t, err := w.catalog.CreateTable(w.t.Context(), n)
	if err != nil {
		w.t.Fatal(err)
	}
	return t.Store
}

// write sends records to db.t.
func (w *world) write(common ingest.Record, records ...ingest.Record) (ingest.Result, error) {
	return w.Write(w.t.Context(), &ingest.Request{Database: "db", Table: "t", Common: common, Records: records})
}

func ms(t time.Time) string { return fmt.Sprint(t.UnixMilli()) }

func dims(pairs ...string) []ingest.Dimension {
	var out []ingest.Dimension
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, ingest.Dimension{Name: pairs[i], Value: pairs[i+1]})
	}
	return out
}

// double is a valid record.
func double(value string) ingest.Record {
	return ingest.Record{Dimensions: dims("host", "a"), MeasureName: "cpu", MeasureValue: value, Time: ms(now)}
}

func multi(values ...ingest.MeasureValue) ingest.Record {
	return ingest.Record{Dimensions: dims("host", "a"), MeasureName: "metrics", Type: ingest.Multi, MeasureValues: values, Time: ms(now)}
}

// everything is the rows of a table as text.
func everything(t testing.TB, table storage.Table) string {
	var names []string
	for _, c := range table.Schema().Columns {
		names = append(names, c.Name)
	}
	return storagetest.Text(storagetest.Answer(t, table, storage.ScanSpec{From: storage.AllTime.From, To: storage.AllTime.To, Columns: names}))
}

func invalid(t *testing.T, err error, text string) {
	t.Helper()
	var rejected *ingest.RejectedError
	if !fault.Is(err, fault.Invalid) || errors.As(err, &rejected) || !strings.Contains(err.Error(), text) {
		t.Errorf("got  %v\nwant %s", err, text)
	}
}

// rejects checks that exactly the record 0 is refused for that reason.
func rejects(t *testing.T, err error, reason string, existing int64) {
	t.Helper()
	var e *ingest.RejectedError
	if !errors.As(err, &e) || len(e.Records) != 1 {
		t.Errorf("got  %v\nwant a rejection: %s", err, reason)
		return
	}
	if got := e.Records[0]; got != (ingest.Rejected{Index: 0, Reason: reason, ExistingVersion: existing}) {
		t.Errorf("got  %+v\nwant %s (existing %d)", got, reason, existing)
	}
}

func TestRecordsOfEveryTypeArriveAsWritten(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	single := func(name string, typ ingest.ValueType, value string) ingest.Record {
		return ingest.Record{Dimensions: dims("host", "a"), MeasureName: name, Type: typ, MeasureValue: value, Time: ms(now)}
	}
	result, err := w.write(ingest.Record{},
		single("d", "", "-12.5e3"), single("i", ingest.Bigint, "-9223372036854775808"), single("b", ingest.Boolean, "TRUE"), single("s", ingest.Varchar, "é"),
		multi(
			ingest.MeasureValue{Name: "md", Value: "0.1", Type: ingest.Double}, ingest.MeasureValue{Name: "mi", Value: "+7", Type: ingest.Bigint},
			ingest.MeasureValue{Name: "mb", Value: "false", Type: ingest.Boolean}, ingest.MeasureValue{Name: "ms", Value: "x", Type: ingest.Varchar},
			ingest.MeasureValue{Name: "mt", Value: "0", Type: ingest.Timestamp},
		))
	if err != nil || result != (ingest.Result{Total: 5, Memory: 5, BytesMetered: 1024}) {
		t.Fatalf("Write = %+v, %v", result, err)
	}
	table, _ := w.catalog.Table("db", "t")
	const want = `"a" "b" 1772600767890000000 null null true null null null null null null
"a" "d" 1772600767890000000 -12500 null null null null null null null null
"a" "i" 1772600767890000000 null -9223372036854775808 null null null null null null null
"a" "metrics" 1772600767890000000 null null null null 0.1 7 false "x" 0
"a" "s" 1772600767890000000 null null null "é" null null null null null
`
	if got := everything(t, table.Store); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestTimeUnitsScaleTimesAndTimestamps(t *testing.T) {
	t.Parallel()
	for unit, digits := range map[ingest.TimeUnit]string{
		ingest.Seconds: "1772600767", ingest.Milliseconds: "1772600767000", ingest.Microseconds: "1772600767000000", ingest.Nanoseconds: "1772600767000000000", "": "1772600767000",
	} {
		w := newWorld(t)
		r := multi(ingest.MeasureValue{Name: "at", Value: digits, Type: ingest.Timestamp})
		r.Time, r.TimeUnit = digits, unit
		if _, err := w.write(ingest.Record{}, r); err != nil {
			t.Errorf("%s: %v", unit, err)
		}
		table, _ := w.catalog.Table("db", "t")
		if got := everything(t, table.Store); strings.Count(got, "1772600767000000000") != 2 {
			t.Errorf("%s: %s", unit, got)
		}
	}
}

func TestCommonAttributesFillInWhatARecordLacks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	common := ingest.Record{
		Dimensions: dims("region", "eu"), MeasureName: "metrics", Type: ingest.Multi, Time: "1772600767", TimeUnit: ingest.Seconds, Version: 5,
		MeasureValues: []ingest.MeasureValue{{Name: "a", Value: "1", Type: ingest.Bigint}},
	}
	_, err := w.write(common,
		ingest.Record{Dimensions: dims("host", "x")},
		ingest.Record{Dimensions: dims("host", "y"), MeasureValues: []ingest.MeasureValue{{Name: "b", Value: "2", Type: ingest.Bigint}}},
		ingest.Record{MeasureName: "other", Time: "1772600768", Version: 6},
	)
	if err != nil {
		t.Fatal(err)
	}
	table, _ := w.catalog.Table("db", "t")
	got := everything(t, table.Store)
	if strings.Count(got, "eu") != 3 || strings.Count(got, "1772600767000000000") != 2 || strings.Count(got, "1772600768000000000") != 1 || !strings.Contains(got, "other") {
		t.Errorf("rows:\n%s", got)
	}
	_, err = w.write(common, ingest.Record{Dimensions: dims("host", "x"), Version: 4})
	rejects(t, err, "The record version 4 is lower than the existing version 5. A higher version is required to update the measure value.", 5)
	invalid(t, second(w.write(common, ingest.Record{Dimensions: dims("region", "us")})), "The dimension name 'region' is given more than once")
	invalid(t, second(w.write(common, ingest.Record{MeasureValues: common.MeasureValues})), "The measure name 'a' is given more than once")
}

func second(_ ingest.Result, err error) error { return err }

func TestWhatCanBeSeenWithoutTheTableRefusesTheRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	check := func(text string, change func(r *ingest.Record)) {
		t.Helper()
		r := double("1")
		change(&r)
		_, err := w.write(ingest.Record{}, double("2"), r)
		invalid(t, err, text)
	}
	value := func(typ ingest.ValueType, v string) func(r *ingest.Record) {
		return func(r *ingest.Record) { r.Type, r.MeasureValue = typ, v }
	}
	asMulti := func(values ...ingest.MeasureValue) func(r *ingest.Record) {
		return func(r *ingest.Record) { *r = multi(values...) }
	}

	check("At least one dimension is required for a record.", func(r *ingest.Record) { r.Dimensions = nil })
	for _, bad := range []string{"", "now", "1.5", "1772600767.0", "0x10", "1e3", "99999999999999999999"} {
		check("Invalid time for record.", func(r *ingest.Record) { r.Time = bad })
	}
	check("TIMESTAMP is an invalid measure value type", value(ingest.Timestamp, "1"))
	for _, bad := range []string{"NaN", "Infinity", "-Infinity", "inf", "-0.0", "-0", "1e999", "0x1p3", "1_0", "abc", " 1", "1d", "--1", "1.2.3", ".", "-"} {
		check("is not a valid DOUBLE", value(ingest.Double, bad))
	}
	for _, bad := range []string{"1.0", "9223372036854775808", "x", "-", "0x1"} {
		check("is not a valid BIGINT", value(ingest.Bigint, bad))
	}
	for _, bad := range []string{"1", "yes", "tru", "falsy"} {
		check("is not a valid BOOLEAN", value(ingest.Boolean, bad))
	}
	for _, bad := range []string{"-1", "9223372036855", "1.5"} { // the unit is milliseconds
		check("is not a valid TIMESTAMP", asMulti(ingest.MeasureValue{Name: "at", Value: bad, Type: ingest.Timestamp}))
	}
	check("A measure name is required", func(r *ingest.Record) { r.MeasureName = "" })
	check("A measure value is required", func(r *ingest.Record) { r.MeasureValue = "" })
	check("can only be given for records of the measure value type MULTI", func(r *ingest.Record) {
		r.MeasureValues = []ingest.MeasureValue{{Name: "a", Value: "1", Type: ingest.Double}}
	})
	check("takes MeasureValues, not MeasureValue", func(r *ingest.Record) { r.Type = ingest.Multi })
	check("needs at least one of MeasureValues", asMulti())
	check("MULTI is an invalid type for the measure 'a'", asMulti(ingest.MeasureValue{Name: "a", Value: "1", Type: ingest.Multi}))
	check("The measure name 'a' is given more than once", asMulti(
		ingest.MeasureValue{Name: "a", Value: "1", Type: ingest.Double}, ingest.MeasureValue{Name: "b", Value: "1", Type: ingest.Double}, ingest.MeasureValue{Name: "a", Value: "1", Type: ingest.Bigint}))
	check("The name 'host' is given both as a dimension and as a measure", asMulti(ingest.MeasureValue{Name: "host", Value: "1", Type: ingest.Double}))
	check("The dimension name 'host' is given more than once", func(r *ingest.Record) { r.Dimensions = dims("host", "a", "host", "a") })
	for _, bad := range []string{"time", "ts_x", "measure_name", "measure_value", "measure_value::double", "a:b", `a"b`, "a\nb", "ts_non_existent_col"} {
		check("The dimension name '"+bad+"' is invalid.", func(r *ingest.Record) { r.Dimensions = dims(bad, "x") })
		check("The measure name '"+bad+"' is invalid.", func(r *ingest.Record) { r.MeasureName = bad })
		check("The measure name '"+bad+"' is invalid.", asMulti(ingest.MeasureValue{Name: bad, Value: "1", Type: ingest.Double}))
	}
	check("Record index: 1.", value(ingest.Bigint, "x"))

	table, _ := w.catalog.Table("db", "t")
	if n := table.Store.Stats().Rows; n != 0 {
		t.Errorf("refused requests stored %d rows", n)
	}
}

func TestUnusualNamesAndValuesAreAccepted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := double("1")
	r.Dimensions = dims("host-name", "", "0", "x", "größe", "\x00", "Time", "x", "measure", "x", strings.Repeat("n", 60), "x")
	r.MeasureName = "1/disk used-%"
	if _, err := w.write(ingest.Record{}, r); err != nil {
		t.Error(err)
	}
}

func TestLimitsAreThoseOfTheService(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	with := func(change func(r *ingest.Record)) error {
		t.Helper()
		r := double("1")
		change(&r)
		return second(w.write(ingest.Record{}, r))
	}
	check := func(text string, change func(r *ingest.Record)) {
		t.Helper()
		invalid(t, with(change), text)
	}
	fits := func(change func(r *ingest.Record)) {
		t.Helper()
		if err := with(change); err != nil {
			t.Error(err)
		}
	}
	long := func(n int) string { return strings.Repeat("x", n) }
	check("The dimension name '"+long(61)+"' has 61 bytes, more than the limit of 60.", func(r *ingest.Record) { r.Dimensions = dims(long(61), "a") })
	check("has 257 bytes, more than the limit of 256.", func(r *ingest.Record) { r.MeasureName = long(257) })
	fits(func(r *ingest.Record) { r.MeasureName = long(256) })
	check("dimensions have 2049 bytes, more than the limit of 2048.", func(r *ingest.Record) { r.Dimensions = dims("host", long(2045)) })
	fits(func(r *ingest.Record) { r.Dimensions = dims("host", long(2044)) })
	fits(func(r *ingest.Record) { r.Type, r.MeasureValue, r.MeasureName = ingest.Varchar, long(2048), "text" })
	check("at 'records.1.member.measureValue' failed to satisfy constraint: Member must have length less than or equal to 2048",
		func(r *ingest.Record) { r.Type, r.MeasureValue = ingest.Varchar, long(2049) })
	check("has 4096 bytes, more than the limit of 2048.",
		func(r *ingest.Record) { r.Type, r.MeasureValue = ingest.Varchar, strings.Repeat("é", 2048) })
	attributes := func(n int, typ ingest.ValueType, value string) func(r *ingest.Record) {
		return func(r *ingest.Record) {
			*r = multi()
			for i := range n {
				r.MeasureValues = append(r.MeasureValues, ingest.MeasureValue{Name: fmt.Sprint("m", i), Value: value, Type: typ})
			}
		}
	}
	fits(attributes(256, ingest.Double, "1"))
	check("A record has 257 measure values, more than the limit of 256.", attributes(257, ingest.Double, "1"))
	check("The measure values of a record have 2050 bytes, more than the limit of 2048.", attributes(2, ingest.Varchar, long(1025)))
	var pairs []string
	for i := range 129 {
		pairs = append(pairs, fmt.Sprint("d", i), "")
	}
	fits(func(r *ingest.Record) { r.Dimensions = dims(pairs[:2*127]...) })
	check("'records.1.member.dimensions' failed to satisfy constraint: Member must have length less than or equal to 128",
		func(r *ingest.Record) { r.Dimensions = dims(pairs...) })
	invalid(t, second(w.write(ingest.Record{Dimensions: dims("c", "")}, ingest.Record{
		Dimensions: dims(pairs[:2*128]...), MeasureName: "cpu", MeasureValue: "1", Time: ms(now),
	})), "A record has 129 dimensions, more than the limit of 128.")
}

func TestShapeViolationsAreWordedLikeTheFramework(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	check := func(want string, req *ingest.Request) {
		t.Helper()
		_, err := w.Write(t.Context(), req)
		if err == nil || err.Error() != want || !fault.Is(err, fault.Invalid) {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
	one := func(r ingest.Record) *ingest.Request {
		return &ingest.Request{Database: "db", Table: "t", Records: []ingest.Record{r}}
	}
	const failed = " failed to satisfy constraint: "
	check("3 validation errors detected: Value null at 'databaseName'"+failed+"Member must not be null; Value null at 'tableName'"+failed+"Member must not be null; Value null at 'records'"+failed+"Member must not be null", &ingest.Request{})
	check("1 validation error detected: Value '[]' at 'records'"+failed+"Member must have length greater than or equal to 1",
		&ingest.Request{Database: "db", Table: "t", Records: []ingest.Record{}})
	check("1 validation error detected: Value '[101 members]' at 'records'"+failed+"Member must have length less than or equal to 100",
		&ingest.Request{Database: "db", Table: "t", Records: make([]ingest.Record, 101)})
	check("1 validation error detected: Value 'X' at 'records.1.member.dimensions.1.member.dimensionValueType'"+failed+"Member must satisfy enum value set: [VARCHAR]",
		one(ingest.Record{Dimensions: []ingest.Dimension{{Name: "a", Value: "b", Type: "X"}}}))
	check("1 validation error detected: Value '' at 'records.1.member.dimensions.1.member.dimensionValueType'"+failed+"Member must satisfy enum value set: [VARCHAR]",
		one(ingest.Record{Dimensions: []ingest.Dimension{{Name: "a", Value: "b", TypeGiven: true}}}))
	check("2 validation errors detected: Value null at 'records.1.member.dimensions.1.member.name'"+failed+"Member must not be null; Value null at 'records.1.member.dimensions.1.member.value'"+failed+"Member must not be null",
		one(ingest.Record{Dimensions: []ingest.Dimension{{Absent: ingest.AbsentName | ingest.AbsentValue}}}))
	check("3 validation errors detected: Value '' at 'records.1.member.measureValues.1.member.name'"+failed+"Member must have length greater than or equal to 1; Value '' at 'records.1.member.measureValues.1.member.value'"+failed+"Member must have length greater than or equal to 1; Value 'double' at 'records.1.member.measureValues.1.member.type'"+failed+"Member must satisfy enum value set: [DOUBLE, BIGINT, VARCHAR, BOOLEAN, TIMESTAMP, MULTI]",
		one(ingest.Record{MeasureValues: []ingest.MeasureValue{{Type: "double"}}}))
	check("1 validation error detected: Value 'HOURS' at 'commonAttributes.timeUnit'"+failed+"Member must satisfy enum value set: [MILLISECONDS, SECONDS, MICROSECONDS, NANOSECONDS]",
		&ingest.Request{Database: "db", Table: "t", Common: ingest.Record{TimeUnit: "HOURS"}, Records: []ingest.Record{double("1")}})
	check("1 validation error detected: Value '0' at 'records.1.member.version'"+failed+"Member must have value greater than or equal to 1",
		one(ingest.Record{Given: ingest.GivenVersion}))
	check("1 validation error detected: Value '-3' at 'records.1.member.version'"+failed+"Member must have value greater than or equal to 1",
		one(ingest.Record{Version: -3}))
	check("5 validation errors detected: Value '' at 'records.1.member.measureName'"+failed+"Member must have length greater than or equal to 1; Value '' at 'records.1.member.measureValue'"+failed+"Member must have length greater than or equal to 1; Value '' at 'records.1.member.measureValueType'"+failed+"Member must satisfy enum value set: [DOUBLE, BIGINT, VARCHAR, BOOLEAN, TIMESTAMP, MULTI]; Value '' at 'records.1.member.time'"+failed+"Member must have length greater than or equal to 1; Value '' at 'records.1.member.timeUnit'"+failed+"Member must satisfy enum value set: [MILLISECONDS, SECONDS, MICROSECONDS, NANOSECONDS]",
		one(ingest.Record{Given: ingest.GivenMeasureName | ingest.GivenMeasureValue | ingest.GivenType | ingest.GivenTime | ingest.GivenTimeUnit}))
	check("1 validation error detected: Value '"+strings.Repeat("1", 257)+"' at 'records.1.member.time'"+failed+"Member must have length less than or equal to 256",
		one(ingest.Record{Time: strings.Repeat("1", 257)}))
}

func TestUnknownTablesAreNotFound(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	check := func(database, table, text string) {
		t.Helper()
		_, err := w.Write(t.Context(), &ingest.Request{Database: database, Table: table, Records: []ingest.Record{double("1")}})
		if !fault.Is(err, fault.NotFound) || fault.MessageOf(err) != text {
			t.Errorf("got %v, want %s", err, text)
		}
	}
	check("db", "none", "The table none does not exist.")
	check("none", "t", "The database none does not exist.")
}

func TestWindowsArePrintedAsTheServiceDoes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	at := func(ts time.Time) error {
		r := double("1")
		r.Time = ms(ts)
		return second(w.write(ingest.Record{}, r))
	}
	const memory = "The record timestamp is outside the time range [2026-03-03T16:41:07.890Z, 2026-03-04T05:21:07.890Z) of the memory store."
	from, to := now.Add(-12*time.Hour-25*time.Minute), now.Add(15*time.Minute)
	rejects(t, at(from.Add(-time.Millisecond)), memory, 0)
	rejects(t, at(to), memory, 0)
	for _, ok := range []time.Time{from, to.Add(-time.Millisecond)} {
		if err := at(ok); err != nil {
			t.Error(err)
		}
	}
	for _, digits := range []string{"-1", "9223372036854775807", "-9223372036854775808", "0"} { // as ms no int64 of ns
		r := double("1")
		r.Time = digits
		rejects(t, second(w.write(ingest.Record{}, r)), memory, 0)
	}
	if _, err := w.catalog.UpdateTable(t.Context(), "db", "t", catalog.TableChange{Magnetic: &catalog.MagneticWrites{Enabled: true}}); err != nil {
		t.Fatal(err)
	}
	rejects(t, at(now.Add(time.Hour)), "The record timestamp is outside the time range [2026-02-26T16:41:07.890Z, 2026-03-04T05:21:07.890Z) of the data ingestion window.", 0)
	r := double("1")
	r.Time = ms(now.Add(-13 * time.Hour))
	if result, err := w.write(ingest.Record{}, r); err != nil || result != (ingest.Result{Total: 1, Magnetic: 1, BytesMetered: 1024}) {
		t.Errorf("late record: %+v, %v", result, err)
	}
}

func TestVersionsDecideWhichValueStays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	put := func(value string, version int64) error {
		r := double(value)
		r.Version = version
		return second(w.write(ingest.Record{}, r))
	}
	accept := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	const exists = "A record already exists with the same time, dimensions, measure name, and record version. A higher record version must be specified in order to update the measure value. Specifying record version is supported by the latest SDKs."
	accept(put("1", 0))
	accept(put("1", 1))
	rejects(t, put("2", 0), exists, 0)
	accept(put("2", 7))
	rejects(t, put("2", 6), "The record version 6 is lower than the existing version 7. A higher version is required to update the measure value.", 7)
	accept(put("2", 9))
	rejects(t, put("3", 8), "The record version 8 is lower than the existing version 9. A higher version is required to update the measure value.", 9)
}

func TestConflictsWithTheTableAreRejections(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, err := w.write(ingest.Record{}, double("1"), multi(ingest.MeasureValue{Name: "a", Value: "1", Type: ingest.Bigint})); err != nil {
		t.Fatal(err)
	}
	r := double("true")
	r.Type, r.Time = ingest.Boolean, ms(now.Add(time.Second))
	rejects(t, second(w.write(ingest.Record{}, r)), "The measure value type BOOLEAN of 'cpu' does not match its existing type DOUBLE. The type of a measure cannot be changed.", 0)
	r = multi(ingest.MeasureValue{Name: "a", Value: "1", Type: ingest.Double})
	rejects(t, second(w.write(ingest.Record{}, r)), "The measure value type DOUBLE of 'a' does not match its existing type BIGINT. The type of a measure cannot be changed.", 0)
	r = multi(ingest.MeasureValue{Name: "b", Value: "1", Type: ingest.Double})
	r.Dimensions = dims("a", "x")
	rejects(t, second(w.write(ingest.Record{}, r)), "The name 'a' is used both as a dimension and as a measure of the table. Dimension and measure names must be unique.", 0)
	w.table(catalog.NewTable{Name: "keyed", Key: []catalog.KeyPart{{Type: "DIMENSION", Name: "tenant", Enforcement: "REQUIRED"}}})
	_, err := w.Write(t.Context(), &ingest.Request{Database: "db", Table: "keyed", Records: []ingest.Record{double("1")}})
	rejects(t, err, "The record does not have the dimension 'tenant', which the partition key of the table requires.", 0)
}

func TestGoodRecordsOfARejectedRequestAreStored(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	late := double("1")
	late.Time = "0"
	other := double("3")
	other.MeasureName = "mem"
	result, err := w.write(ingest.Record{}, late, double("2"), late, other)
	var e *ingest.RejectedError
	if !errors.As(err, &e) || len(e.Records) != 2 || e.Records[0].Index != 0 || e.Records[1].Index != 2 {
		t.Fatalf("err = %v", err)
	}
	if result != (ingest.Result{Total: 2, Memory: 2, BytesMetered: 1024}) || w.observed.Rejected != 2 || w.observed.Result != result {
		t.Errorf("result %+v, observed %+v", result, w.observed)
	}
	table, _ := w.catalog.Table("db", "t")
	if n := table.Store.Stats().Rows; n != 2 {
		t.Errorf("%d rows stored", n)
	}
}

func TestMeteringCountsCommonAttributesOnceAndWholeKiB(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	common := ingest.Record{Dimensions: dims("region", strings.Repeat("x", 994)), MeasureName: "cpu"} // 6 + 994 + 3
	record := func(value string) ingest.Record {
		return ingest.Record{Time: ms(now), MeasureValue: value, Type: ingest.Boolean, Dimensions: dims("h", value)} // 8 + 1 + 1 + len
	}
	if _, err := w.write(common, record("true")); err != nil {
		t.Fatal(err)
	}
	if w.observed.Result.BytesMetered != 1024 { // 1003 + 14
		t.Errorf("metered %d", w.observed.Result.BytesMetered)
	}
	if _, err := w.write(common, record("true"), record("false")); err != nil {
		t.Fatal(err)
	}
	if w.observed.Result.BytesMetered != 2048 { // 1003 + 14 + 15
		t.Errorf("metered %d", w.observed.Result.BytesMetered)
	}
}

func TestConcurrentRequestsDoNotMixTheirRecords(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Service = ingest.New(ingest.Options{Catalog: w.catalog})
	const writers, requests, records = 4, 20, 5
	var group sync.WaitGroup
	for n := range writers {
		group.Go(func() {
			for i := range requests {
				name := fmt.Sprintf("w%d-%d", n, i)
				req := &ingest.Request{Database: "db", Table: "t", Common: ingest.Record{Dimensions: dims("writer", name), MeasureName: name, Time: ms(now)}}
				for k := range records {
					req.Records = append(req.Records, ingest.Record{Dimensions: dims("k", fmt.Sprint(k)), Type: ingest.Varchar, MeasureValue: name})
				}
				if _, err := w.Write(context.Background(), req); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	table, _ := w.catalog.Table("db", "t")
	lines := strings.Split(strings.TrimSpace(everything(t, table.Store)), "\n")
	if len(lines) != writers*requests*records {
		t.Fatalf("%d rows, want %d", len(lines), writers*requests*records)
	}
	for _, line := range lines {
		if name, _, _ := strings.Cut(line, " "); strings.Count(line, name) != 3 {
			t.Fatalf("mixed row: %s", line)
		}
	}
}
