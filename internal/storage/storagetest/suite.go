package storagetest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/vec"
)

// Suite runs the conformance tests against a backend.
type Suite struct {
	// Open returns an empty backend; the suite closes it. It may use t.Cleanup.
	Open func(t *testing.T, clk *clock.Clock) storage.Backend
	// Reopen, if not nil, closes b and opens its data anew; tests call it in the
	// middle of their work. It may also be a crash: all acknowledged rows are expected.
	Reopen func(t *testing.T, clk *clock.Clock, b storage.Backend) storage.Backend
	// Disturb, if not nil, is called in the middle of tests, for a flush or a merge.
	Disturb func(t *testing.T, b storage.Backend)
	// Rounds of the random test; 0 means 150 operations.
	Rounds int
}

// Run runs the suite against backends that open makes.
func Run(t *testing.T, open func(t *testing.T, clk *clock.Clock) storage.Backend) {
	Suite{Open: open}.Run(t)
}

// Run runs all tests as parallel subtests of t.
func (s Suite) Run(t *testing.T) {
	for _, test := range []struct {
		name string
		run  func(e *env)
	}{
		{"create is idempotent and lists tables", testCreate},
		{"a dropped table does not come back", testDrop},
		{"written rows are read", testRoundTrip},
		{"versions in the memory store", testVersions},
		{"versions of late rows", testLateVersions},
		{"same key twice in one request", testRepeatInRequest},
		{"window of acceptance", testWindow},
		{"required dimension", testRequiredDimension},
		{"schema grows in order", testSchema},
		{"rejected rows leave the schema alone", testSchemaRejected},
		{"type and name conflicts", testConflicts},
		{"limits of dimensions and attributes", testLimits},
		{"limit of measure names", testMeasureLimit},
		{"dimension order makes no new series", testDimensionOrder},
		{"strings are copied", testStringsCopied},
		{"unknown columns are invalid", testUnknownColumn},
		{"predicates", testPredicates},
		{"bounds leave out what is not wanted", testBounds},
		{"aggregations", testAggregations},
		{"limit and newest first", testLimit},
		{"retention deletes by the clock", testRetention},
		{"rows move to the magnetic store unseen", testTierMove},
		{"policy changes", testPolicy},
		{"deleted rows are gone", testDelete},
		{"deleted rows are in no statistics", testDeleteStatistics},
		{"rows written after a deletion stay", testWriteAfterDelete},
		{"deletions that cannot be", testDeleteRefused},
		{"out of order and duplicates across flushes", testOutOfOrder},
		{"concurrent writers and readers", testConcurrent},
		{"a cancelled scan ends", testCancel},
		{"random operations agree with the model", testRandom},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s.run(t, test.run)
		})
	}
}

// RunRandom runs the random operations only.
func (s Suite) RunRandom(t *testing.T) { s.run(t, testRandom) }

func (s Suite) run(t *testing.T, test func(e *env)) {
	e := &env{T: t, suite: s, clock: clock.Manual(start)}
	e.b = s.Open(t, e.clock)
	defer func() {
		if err := e.b.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}()
	test(e)
}

// start is when the tests' clocks stand.
var start = time.Date(2024, 3, 1, 12, 0, 0, 0, time.UTC)

var (
	testID     = storage.TableID{Database: "db", Table: "t", Incarnation: 1}
	basePolicy = storage.Policy{MemoryRetention: 12 * time.Hour, MagneticRetention: 30 * 24 * time.Hour, MagneticWrites: true}
)

// env is a running test.
type env struct {
	*testing.T
	suite Suite
	clock *clock.Clock
	b     storage.Backend
}

func (e *env) create(p storage.Policy) storage.Table {
	e.Helper()
	if err := e.b.CreateTable(context.Background(), testID, p); err != nil {
		e.Fatalf("create table: %v", err)
	}
	return e.table()
}

func (e *env) table() storage.Table {
	e.Helper()
	table, err := e.b.Table(testID)
	if err != nil {
		e.Fatalf("table: %v", err)
	}
	return table
}

// disturb flushes and reopens where the backend can, and returns the table.
func (e *env) disturb() storage.Table {
	e.Helper()
	if e.suite.Disturb != nil {
		e.suite.Disturb(e.T, e.b)
	}
	if e.suite.Reopen != nil {
		e.b = e.suite.Reopen(e.T, e.clock, e.b)
	}
	return e.table()
}

func (e *env) write(table storage.Table, points ...Point) storage.Receipt {
	e.Helper()
	var b Batch
	for _, p := range points {
		b.Add(p)
	}
	receipt, err := table.Write(context.Background(), &b.Rows)
	if err != nil {
		e.Fatalf("write: %v", err)
	}
	return receipt
}

// accept writes points that must all be accepted.
func (e *env) accept(table storage.Table, points ...Point) {
	e.Helper()
	if r := e.write(table, points...); len(r.Rejections) > 0 {
		e.Fatalf("rejected: %+v", r.Rejections)
	}
}

// reject writes one point that must be refused with want (Row and Version aside).
func (e *env) reject(table storage.Table, p Point, want storage.Rejection) {
	e.Helper()
	r := e.write(table, p)
	want.Version = max(p.Version, 1)
	if len(r.Rejections) != 1 || r.Memory+r.Magnetic != 0 || !sameRejection(r.Rejections[0], want) {
		e.Errorf("%+v\n got %+v\nwant rejection %+v", p, r, want)
	}
}

func sameRejection(a, b storage.Rejection) bool {
	return a.Row == b.Row && a.Cause == b.Cause && a.Existing == b.Existing && a.Version == b.Version &&
		a.WindowFrom == b.WindowFrom && a.WindowTo == b.WindowTo && a.Column == b.Column && a.Have.Equal(b.Have) && a.Want.Equal(b.Want)
}

// rows expects the answer of a scan in the form of Text.
func (e *env) rows(table storage.Table, spec storage.ScanSpec, want string) {
	e.Helper()
	if spec.To == 0 {
		spec.From, spec.To = storage.AllTime.From, storage.AllTime.To
	}
	if got := Text(Answer(e.T, table, spec)); got != want {
		e.Errorf("scan of %v\n got %q\nwant %q", spec.Columns, got, want)
	}
}

// at is a time before (or, negative, after) start, in ns.
func at(ago time.Duration) int64 { return start.Add(-ago).UnixNano() }

func point(ago time.Duration, version int64, values ...NamedValue) Point {
	return Point{Measure: "m", Dims: []string{"d", "a"}, TimeNs: at(ago), Version: version, Values: values}
}

func testCreate(e *env) {
	ctx := context.Background()
	e.create(basePolicy)
	table := e.create(basePolicy)
	if got := e.b.Tables(); !slices.Equal(got, []storage.TableID{testID}) {
		e.Errorf("tables: %v", got)
	}
	if s := table.Schema(); len(s.Columns) != 2 || s.Columns[0].Name != "measure_name" || s.Columns[1].Name != "time" {
		e.Errorf("schema of an empty table: %v", s.Columns)
	}
	e.rows(table, storage.ScanSpec{Columns: []string{"time"}}, "")
	if err := e.b.SetPolicy(ctx, storage.TableID{Table: "none"}, basePolicy); !fault.Is(err, fault.NotFound) {
		e.Errorf("set policy of no table: %v", err)
	}
	if _, err := e.b.Table(storage.TableID{Table: "none"}); !fault.Is(err, fault.NotFound) {
		e.Errorf("no table: %v", err)
	}
	e.disturb()
	if got := e.b.Tables(); !slices.Equal(got, []storage.TableID{testID}) {
		e.Errorf("tables: %v", got)
	}
}

func testDrop(e *env) {
	ctx := context.Background()
	table := e.create(basePolicy)
	e.accept(table, point(0, 1, F("x", 1)))
	table = e.disturb()
	e.accept(table, point(time.Second, 1, F("x", 1)))
	for range 2 {
		if err := e.b.DropTable(ctx, testID); err != nil {
			e.Fatalf("drop: %v", err)
		}
	}
	var b Batch
	if _, err := table.Write(ctx, &b.Add(point(0, 1, F("x", 1))).Rows); !fault.Is(err, fault.NotFound) {
		e.Errorf("write to a dropped table: %v", err)
	}
	if _, err := table.Scan(ctx, storage.ScanSpec{Columns: []string{"time"}}); !fault.Is(err, fault.NotFound) {
		e.Errorf("scan of a dropped table: %v", err)
	}
	again := testID
	again.Incarnation++
	if err := e.b.CreateTable(ctx, again, basePolicy); err != nil {
		e.Fatal(err)
	}
	if e.suite.Reopen != nil {
		e.b = e.suite.Reopen(e.T, e.clock, e.b)
	}
	if got := e.b.Tables(); !slices.Equal(got, []storage.TableID{again}) {
		e.Errorf("tables after drop: %v", got)
	}
	table, err := e.b.Table(again)
	if err != nil {
		e.Fatal(err)
	}
	e.rows(table, storage.ScanSpec{Columns: []string{"time"}}, "")
}

func testRoundTrip(e *env) {
	table := e.create(basePolicy)
	e.accept(table,
		Point{Measure: "m", Dims: []string{"d", "a", "e", ""}, TimeNs: at(3), Values: []NamedValue{
			F("f", -1.25e300), I("i", -1<<63), S("s", "ß\x00"), B("b", true), T("t", 1)}},
		Point{Measure: "m", Dims: []string{"d", "a", "e", ""}, TimeNs: at(2), Values: []NamedValue{S("s", ""), B("b", false)}},
		Point{Measure: "one", Dims: []string{"d", "b"}, TimeNs: at(1), Single: true, Values: []NamedValue{F("", 2)}},
	)
	spec := storage.ScanSpec{Columns: []string{"d", "e", "measure_name", "time", "measure_value::double", "f", "i", "s", "b", "t"}}
	want := fmt.Sprintf(`"a" "" "m" %d null -1.25e+300 -9223372036854775808 "ß\x00" true 1
"a" "" "m" %d null null null "" false null
"b" null "one" %d 2 null null null null null
`, at(3), at(2), at(1))
	e.rows(table, spec, want)
	table = e.disturb()
	e.rows(table, spec, want)
	e.rows(table, storage.ScanSpec{From: at(3), To: at(2), Columns: []string{"time", "time"}}, fmt.Sprintf("%d %d\n", at(3), at(3)))
	e.rows(table, storage.ScanSpec{From: at(2), To: at(2), Columns: []string{"time"}}, "")
	if s := table.Stats(); s.Rows != 3 {
		e.Errorf("stats: %+v, want 3 rows", s)
	}
}

// testVersions is the table of identity, versions and duplicates, api.md §6.3.
func testVersions(e *env) {
	table := e.create(basePolicy)
	steps := func(ago time.Duration, disturb bool) {
		next := func() {
			if disturb {
				table = e.disturb()
			}
		}
		expect := func(x int) {
			e.Helper()
			e.rows(table, storage.ScanSpec{From: at(ago), To: at(ago) + 1, Columns: []string{"x"}}, fmt.Sprintln(x))
		}
		e.accept(table, point(ago, 2, F("x", 1)))
		expect(1)
		next()
		e.accept(table, point(ago, 2, F("x", 1))) // a repeat
		e.reject(table, point(ago, 2, F("x", 2)), storage.Rejection{Cause: storage.SameVersion, Existing: 2})
		e.reject(table, point(ago, 1, F("x", 2)), storage.Rejection{Cause: storage.LowerVersion, Existing: 2})
		e.reject(table, point(ago, 1, F("x", 1)), storage.Rejection{Cause: storage.LowerVersion, Existing: 2})
		expect(1)
		next()
		e.accept(table, point(ago, 3, F("x", 4)))
		expect(4)
		next()
		e.accept(table, point(ago, 5, F("x", 4))) // the version rises
		e.reject(table, point(ago, 4, F("x", 6)), storage.Rejection{Cause: storage.LowerVersion, Existing: 5})
		next()
		e.reject(table, point(ago, 5, F("x", 4), F("y", 1)), storage.Rejection{Cause: storage.SameVersion, Existing: 5})
		expect(4)
		// The row is replaced as a whole.
		e.accept(table, point(ago, 6, F("y", 7)))
		next()
		e.rows(table, storage.ScanSpec{From: at(ago), To: at(ago) + 1, Columns: []string{"x", "y"}}, "null 7\n")
	}
	steps(time.Hour, false)
	steps(2*time.Hour, true)
	steps(0, true)
}

func testLateVersions(e *env) {
	table := e.create(basePolicy)
	ago := 48 * time.Hour
	late := func(version int64, x float64, superseded bool) {
		e.Helper()
		r := e.write(table, point(ago, version, F("x", x)))
		if len(r.Rejections) != 0 || r.Magnetic != 1 || r.Memory != 0 || len(r.Superseded) > b2i(superseded) {
			e.Errorf("late row version %d: %+v", version, r)
		}
	}
	expect := func(x int) {
		e.Helper()
		e.rows(table, storage.ScanSpec{Columns: []string{"x"}}, fmt.Sprintln(x))
	}
	late(2, 1, false)
	late(2, 1, false)
	late(2, 2, true)
	expect(1)
	late(1, 3, true)
	expect(1)
	table = e.disturb()
	late(2, 2, true)
	late(1, 3, true)
	expect(1)
	late(3, 5, false)
	expect(5)
	table = e.disturb()
	expect(5)
	late(2, 6, true)
	table = e.disturb()
	expect(5)
}

func testRepeatInRequest(e *env) {
	table := e.create(basePolicy)
	r := e.write(table, point(0, 1, F("x", 1)), point(0, 1, F("x", 2)), point(0, 2, F("x", 3)), point(0, 1, F("x", 1)), point(0, 2, F("x", 3)))
	if r.Memory != 3 || len(r.Rejections) != 2 ||
		r.Rejections[0].Row != 1 || r.Rejections[0].Cause != storage.SameVersion ||
		r.Rejections[1].Row != 3 || r.Rejections[1].Cause != storage.LowerVersion || r.Rejections[1].Existing != 2 {
		e.Errorf("%+v", r)
	}
	e.rows(e.disturb(), storage.ScanSpec{Columns: []string{"x"}}, "3\n")
}

func testWindow(e *env) {
	p := storage.Policy{MemoryRetention: 2 * time.Hour, MagneticRetention: 24 * time.Hour}
	table := e.create(p)
	check := func(ago time.Duration, memory, magnetic int) {
		e.Helper()
		r := e.write(table, point(ago, 1, F("x", 1)))
		if r.Memory != memory || r.Magnetic != magnetic {
			e.Errorf("%v ago: %+v, want %d and %d", ago, r, memory, magnetic)
		}
		if memory+magnetic > 0 {
			return
		}
		from, to, _ := p.Window(e.clock.Now())
		want := storage.Rejection{Cause: storage.OutsideWindow, Version: 1, WindowFrom: from, WindowTo: to}
		if len(r.Rejections) != 1 || !sameRejection(r.Rejections[0], want) {
			e.Errorf("%v ago: %+v, want %+v", ago, r.Rejections, want)
		}
	}
	edge := 2*time.Hour + storage.LateSlack
	check(edge, 1, 0)
	check(edge+1, 0, 0)
	check(-storage.EarlySlack+1, 1, 0)
	check(-storage.EarlySlack, 0, 0)
	p.MagneticWrites = true
	if err := e.b.SetPolicy(context.Background(), testID, p); err != nil {
		e.Fatal(err)
	}
	table = e.disturb()
	check(edge+1, 0, 1)
	check(edge+24*time.Hour, 0, 1)
	check(edge+24*time.Hour+1, 0, 0)
	e.rows(table, storage.ScanSpec{Columns: []string{"x"}}, "1\n1\n1\n1\n")
}

func testRequiredDimension(e *env) {
	p := basePolicy
	p.RequiredDimension = "site"
	table := e.create(p)
	e.reject(table, point(0, 1, F("x", 1)), storage.Rejection{Cause: storage.MissingDimension, Column: "site"})
	e.accept(table, Point{Measure: "m", Dims: []string{"d", "a", "site", "s"}, TimeNs: at(0), Values: []NamedValue{F("x", 1)}})
}

func columnNames(s *storage.Schema) []string {
	var names []string
	for _, c := range s.Columns {
		names = append(names, c.Name)
	}
	return names
}

func testSchema(e *env) {
	table := e.create(basePolicy)
	e.accept(table, Point{Measure: "m", Dims: []string{"z", "1", "a", "1"}, TimeNs: at(0), Values: []NamedValue{F("x", 1), S("c", "")}})
	first := table.Schema()
	table = e.disturb()
	e.accept(table,
		Point{Measure: "v", Dims: []string{"a", "1"}, TimeNs: at(0), Single: true, Values: []NamedValue{I("", 1)}},
		Point{Measure: "w", Dims: []string{"b", "1"}, TimeNs: at(0), Single: true, Values: []NamedValue{F("", 1)}},
		Point{Measure: "m", Dims: []string{"b", "1", "a", "2"}, TimeNs: at(0), Values: []NamedValue{B("a2", true), T("x2", 1)}},
	)
	check := func(s *storage.Schema, want ...string) {
		e.Helper()
		if got := columnNames(s); !slices.Equal(got, want) {
			e.Errorf("columns\n got %v\nwant %v", got, want)
		}
	}
	check(first, "z", "a", "measure_name", "time", "x", "c")
	for range 2 {
		s := table.Schema()
		check(s, "z", "a", "b", "measure_name", "time", "measure_value::bigint", "measure_value::double", "x", "c", "a2", "x2")
		want := []storage.Measure{
			{Name: "m", Multi: true, Dimensions: []string{"z", "a", "b"}},
			{Name: "v", Type: vec.BigintType, Dimensions: []string{"a"}},
			{Name: "w", Type: vec.DoubleType, Dimensions: []string{"b"}},
		}
		if fmt.Sprint(s.Measures) != fmt.Sprint(want) {
			e.Errorf("measures\n got %v\nwant %v", s.Measures, want)
		}
		table = e.disturb()
	}
}

func testSchemaRejected(e *env) {
	table := e.create(basePolicy)
	e.accept(table, point(0, 2, F("x", 1)))
	e.write(table,
		Point{Measure: "late", Dims: []string{"new", "1"}, TimeNs: at(365 * 24 * time.Hour), Values: []NamedValue{F("x3", 1)}},
		point(0, 1, F("x", 1), F("x2", 1)),
		point(0, 1, B("x", true), F("x4", 1)))
	if got := columnNames(table.Schema()); !slices.Equal(got, []string{"d", "measure_name", "time", "x"}) {
		e.Errorf("columns: %v", got)
	}
	if got := table.Schema().Measures; len(got) != 1 {
		e.Errorf("measures: %v", got)
	}
}

func testConflicts(e *env) {
	table := e.create(basePolicy)
	e.accept(table, point(0, 1, F("x", 1)))
	e.accept(table, Point{Measure: "v", Dims: []string{"d", "a"}, TimeNs: at(0), Single: true, Values: []NamedValue{F("", 1)}})
	for range 2 {
		e.reject(table, point(1, 1, I("x", 1)), storage.Rejection{Cause: storage.TypeConflict, Column: "x", Have: vec.DoubleType, Want: vec.BigintType})
		e.reject(table, point(1, 1, F("d", 1)), storage.Rejection{Cause: storage.NameConflict, Column: "d"})
		e.reject(table, Point{Measure: "m", Dims: []string{"x", "a"}, TimeNs: at(0), Values: []NamedValue{F("y", 1)}},
			storage.Rejection{Cause: storage.NameConflict, Column: "x"})
		e.reject(table, Point{Measure: "m", Dims: []string{"time", "a"}, TimeNs: at(0), Values: []NamedValue{F("y", 1)}},
			storage.Rejection{Cause: storage.NameConflict, Column: "time"})
		e.reject(table, Point{Measure: "v", Dims: []string{"d", "a"}, TimeNs: at(1), Single: true, Values: []NamedValue{I("", 1)}},
			storage.Rejection{Cause: storage.TypeConflict, Column: "v", Have: vec.DoubleType, Want: vec.BigintType})
		table = e.disturb()
	}
	// Within one request the first row sets the type.
	r := e.write(table, point(2, 1, F("n", 1)), point(3, 1, S("n", "")), point(4, 1, F("n", 2)))
	if len(r.Rejections) != 1 || r.Rejections[0].Row != 1 || r.Rejections[0].Cause != storage.TypeConflict || r.Memory != 2 {
		e.Errorf("%+v", r)
	}
	// A single-measure and a multi-measure record may share a measure name.
	e.accept(table, Point{Measure: "m", Dims: []string{"d", "a"}, TimeNs: at(9), Single: true, Values: []NamedValue{B("", true)}})
}

func testLimits(e *env) {
	table := e.create(basePolicy)
	var p Point
	for i := range storage.MaxDimensionsPerTable {
		p.Dims = append(p.Dims, fmt.Sprint("d", i), "v")
	}
	p.Measure, p.TimeNs, p.Values = "m", at(0), []NamedValue{F("x", 1)}
	e.accept(table, p)
	e.reject(table, Point{Measure: "m", Dims: []string{"more", "v"}, TimeNs: at(0), Values: p.Values}, storage.Rejection{Cause: storage.TooManyDimensions})
	for from := 1; from < storage.MaxAttributesPerTable; from += 256 {
		p := point(0, int64(from))
		for i := from; i < min(from+256, storage.MaxAttributesPerTable); i++ {
			p.Dims = []string{"d0", "v"}
			p.Values = append(p.Values, F(fmt.Sprint("x", i), 1))
		}
		e.accept(table, p)
	}
	table = e.disturb()
	e.reject(table, Point{Measure: "m", Dims: []string{"d0", "v"}, TimeNs: at(1), Values: []NamedValue{F("more", 1)}},
		storage.Rejection{Cause: storage.TooManyAttributes})
}

func testMeasureLimit(e *env) {
	table := e.create(basePolicy)
	one := func(name string, ago time.Duration) Point {
		return Point{Measure: name, Dims: []string{"d", "v"}, TimeNs: at(ago), Single: true, Values: []NamedValue{F("", 1)}}
	}
	var points []Point
	for i := range storage.MaxMeasureNamesPerTable {
		points = append(points, one(fmt.Sprint("m", i), 0))
	}
	e.accept(table, points...)
	table = e.disturb()
	e.reject(table, one("more", 0), storage.Rejection{Cause: storage.TooManyMeasures})
	e.accept(table, one("m5", 5))
}

func testDimensionOrder(e *env) {
	table := e.create(basePolicy)
	e.accept(table, Point{Measure: "m", Dims: []string{"a", "1", "b", "2"}, TimeNs: at(0), Values: []NamedValue{F("x", 1)}})
	e.reject(table, Point{Measure: "m", Dims: []string{"b", "2", "a", "1"}, TimeNs: at(0), Values: []NamedValue{F("x", 2)}},
		storage.Rejection{Cause: storage.SameVersion, Existing: 1})
	e.accept(table, Point{Measure: "m", Dims: []string{"b", "1", "a", "2"}, TimeNs: at(0), Values: []NamedValue{F("x", 2)}})
	e.rows(table, storage.ScanSpec{Columns: []string{"a", "b", "x"}}, "\"1\" \"2\" 1\n\"2\" \"1\" 2\n")
}

func testStringsCopied(e *env) {
	table := e.create(basePolicy)
	var b Batch
	b.Add(Point{Measure: "m", Dims: []string{"d", "a"}, TimeNs: at(0), Values: []NamedValue{S("s", "v")}})
	buf := []byte("name-dim-val-str")
	poke := func() (string, string, string, string) {
		return unsafeString(buf[0:4]), unsafeString(buf[5:8]), unsafeString(buf[9:12]), unsafeString(buf[13:16])
	}
	row := &b.Rows.Rows[0]
	row.Measure, row.Dimensions[0].Name, row.Dimensions[0].Value, row.Values[0].Str = poke()
	if _, err := table.Write(context.Background(), &b.Rows); err != nil {
		e.Fatal(err)
	}
	copy(buf, "XXXXXXXXXXXXXXXX")
	spec := storage.ScanSpec{Columns: []string{"measure_name", "dim", "s"}}
	e.rows(table, spec, "\"name\" \"val\" \"str\"\n")
	e.rows(e.disturb(), spec, "\"name\" \"val\" \"str\"\n")
}

func testUnknownColumn(e *env) {
	table := e.create(basePolicy)
	e.accept(table, point(0, 1, F("x", 1)))
	for _, spec := range []storage.ScanSpec{
		{Columns: []string{"nope"}},
		{Columns: []string{"time"}, Where: []storage.Predicate{{Column: "nope", Op: storage.IsNull}}},
		{Aggregation: &storage.Aggregation{Aggs: []storage.Agg{{Func: storage.Min, Column: "nope"}}}},
		{Aggregation: &storage.Aggregation{Keys: []storage.GroupKey{{Column: "nope"}}}},
	} {
		if _, err := table.Scan(context.Background(), spec); !fault.Is(err, fault.Invalid) {
			e.Errorf("%+v: %v, want an error of kind invalid", spec, err)
		}
	}
}

func testRetention(e *env) {
	table := e.create(storage.Policy{MemoryRetention: time.Hour, MagneticRetention: 24 * time.Hour, MagneticWrites: true})
	for h := range 20 {
		e.accept(table, point(time.Duration(h)*time.Hour, 1, I("h", int64(h))))
	}
	table = e.disturb()
	expect := func(rows int) {
		e.Helper()
		got := Answer(e.T, table, storage.ScanSpec{From: storage.AllTime.From, To: storage.AllTime.To, Columns: []string{"h"}})
		if len(got) != rows {
			e.Errorf("at %v: %d rows, want %d", e.clock.Now(), len(got), rows)
		}
	}
	expect(20)
	e.clock.Advance(10 * time.Hour)
	expect(16) // h <= 15 is younger than 25h25m
	table = e.disturb()
	expect(16)
	e.clock.Advance(15 * time.Hour)
	expect(1)
	e.clock.Advance(26 * time.Minute)
	expect(0)
	table = e.disturb()
	expect(0)
	e.accept(table, Point{Measure: "m", Dims: []string{"d", "a"}, TimeNs: e.clock.Now().UnixNano(), Values: []NamedValue{I("h", 0)}})
	expect(1)
}

func testTierMove(e *env) {
	table := e.create(storage.Policy{MemoryRetention: time.Hour, MagneticRetention: 24 * time.Hour, MagneticWrites: true})
	e.accept(table, point(0, 5, F("x", 1)))
	e.clock.Advance(3 * time.Hour)
	for range 2 {
		e.rows(table, storage.ScanSpec{Columns: []string{"x"}}, "1\n")
		// The row is the magnetic store's now, and so is the rule for versions.
		if r := e.write(table, point(0, 4, F("x", 2))); r.Magnetic != 1 || len(r.Rejections) != 0 {
			e.Errorf("%+v", r)
		}
		table = e.disturb()
	}
	e.accept(table, point(0, 6, F("x", 3)))
	e.rows(table, storage.ScanSpec{Columns: []string{"x"}}, "3\n")
}

func testPolicy(e *env) {
	ctx := context.Background()
	p := basePolicy
	table := e.create(p)
	for _, days := range []int{0, 5, 10, 20} {
		e.accept(table, point(time.Duration(days)*24*time.Hour, 1, I("days", int64(days))))
	}
	set := func(days int) {
		e.Helper()
		p.MagneticRetention = time.Duration(days) * 24 * time.Hour
		if err := e.b.SetPolicy(ctx, testID, p); err != nil {
			e.Fatal(err)
		}
	}
	spec := storage.ScanSpec{Columns: []string{"days"}}
	e.rows(table, spec, "0\n5\n10\n20\n")
	set(7)
	e.rows(table, spec, "0\n5\n")
	table = e.disturb()
	e.rows(table, spec, "0\n5\n")
	set(60)
	e.rows(table, spec, "0\n5\n")
	table = e.disturb()
	e.rows(table, spec, "0\n5\n")
	_, to, _ := p.Window(e.clock.Now())
	low := p
	low.MagneticRetention = 7 * 24 * time.Hour
	e.reject(table, point(20*24*time.Hour, 1, I("days", 20)),
		storage.Rejection{Cause: storage.OutsideWindow, WindowFrom: low.Expiry(e.clock.Now()), WindowTo: to})
	e.clock.Advance(3 * 24 * time.Hour)
	table = e.disturb()
	e.rows(table, spec, "0\n5\n")
}

func testOutOfOrder(e *env) {
	table := e.create(basePolicy)
	const n = 300
	for round := range 4 {
		var b Batch
		for i := range n {
			k := (i*7919 + round*31) % n
			b.Add(Point{Measure: "m", Dims: []string{"d", fmt.Sprint(k % 3)}, TimeNs: at(time.Duration(k) * time.Minute), Version: int64(round + 1),
				Values: []NamedValue{I("k", int64(k)), I("round", int64(round))}})
		}
		if r, err := table.Write(context.Background(), &b.Rows); err != nil || len(r.Rejections) > 0 {
			e.Fatalf("%+v %v", r, err)
		}
		table = e.disturb()
	}
	got := Answer(e.T, table, storage.ScanSpec{From: storage.AllTime.From, To: storage.AllTime.To, Columns: []string{"k", "round"}})
	if len(got) != n {
		e.Fatalf("%d rows, want %d", len(got), n)
	}
	for i, l := range got {
		if l[0].Int != int64(i) || l[1].Int != 3 {
			e.Fatalf("row %d: %v", i, l)
		}
	}
}

func testConcurrent(e *env) {
	table := e.create(basePolicy)
	const writers, requests, perRequest = 4, 25, 10
	var wg sync.WaitGroup
	done := make(chan struct{})
	for w := range writers {
		wg.Go(func() {
			for r := range requests {
				var b Batch
				for i := range perRequest {
					b.Add(Point{Measure: "m", Dims: []string{"w", fmt.Sprint(w)}, TimeNs: at(time.Duration(r*perRequest+i) * time.Second),
						Values: []NamedValue{I("n", int64(i)), F(fmt.Sprint("x", r%3), 1)}})
				}
				if receipt, err := table.Write(context.Background(), &b.Rows); err != nil || receipt.Memory != perRequest {
					e.Errorf("%+v %v", receipt, err)
				}
				// Read your writes.
				lines, err := answer(context.Background(), table, storage.ScanSpec{From: storage.AllTime.From, To: storage.AllTime.To, Columns: []string{"n"},
					Where: []storage.Predicate{{Column: "w", Op: storage.Eq, Values: []vec.Value{vec.Str(fmt.Sprint(w))}}}})
				if err != nil || len(lines) != (r+1)*perRequest {
					e.Errorf("writer %d reads %d rows after %d requests: %v", w, len(lines), r+1, err)
				}
			}
		})
	}
	var readers sync.WaitGroup
	readers.Go(func() {
		last := int64(0)
		for {
			select {
			case <-done:
				return
			default:
			}
			lines, err := answer(context.Background(), table, storage.ScanSpec{From: storage.AllTime.From, To: storage.AllTime.To,
				Aggregation: &storage.Aggregation{Aggs: []storage.Agg{{Func: storage.CountRows}}}})
			if err != nil {
				e.Errorf("scan: %v", err)
				return
			}
			if len(lines) == 1 {
				if lines[0][0].Int < last {
					e.Errorf("%d rows after %d", lines[0][0].Int, last)
				}
				last = lines[0][0].Int
			}
			if e.suite.Disturb != nil {
				e.suite.Disturb(e.T, e.b)
			}
		}
	})
	wg.Wait()
	close(done)
	readers.Wait()
	got := Answer(e.T, e.disturb(), storage.ScanSpec{From: storage.AllTime.From, To: storage.AllTime.To, Columns: []string{"n"}})
	if len(got) != writers*requests*perRequest {
		e.Errorf("%d rows in the end, want %d", len(got), writers*requests*perRequest)
	}
}

func testCancel(e *env) {
	table := e.create(basePolicy)
	e.accept(table, point(0, 1, F("x", 1)))
	s, err := table.Scan(context.Background(), storage.ScanSpec{From: storage.AllTime.From, To: storage.AllTime.To, Columns: []string{"x"}})
	if err != nil {
		e.Fatal(err)
	}
	defer s.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.Next(ctx); err == nil {
		e.Error("Next of a cancelled context: no error")
	}
}
