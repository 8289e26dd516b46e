package schedule_test

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weir-db/weir/internal/catalog"
	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/ingest"
	"github.com/weir-db/weir/internal/meta"
	"github.com/weir-db/weir/internal/query"
	"github.com/weir-db/weir/internal/schedule"
	"github.com/weir-db/weir/internal/sql/fn"
	"github.com/weir-db/weir/internal/storage/embedded"
)

// TestManyHourlyRunsGiveTheSameResultEachTime simulates days of hourly runs on the real
// engine and meta file, twice. WEIR_YEAR=1 makes it a year, which takes less than 20 s.
func TestManyHourlyRunsGiveTheSameResultEachTime(t *testing.T) {
	t.Parallel()
	hours := 3 * 24
	if os.Getenv("WEIR_YEAR") != "" {
		hours = 8760
	}
	began := time.Now()
	first := simulate(t, hours)
	took := time.Since(began)
	if second := simulate(t, hours); second != first {
		t.Errorf("two simulations differ: %s and %s", first, second)
	}
	t.Logf("%d hourly runs in %v: %s", hours, took.Round(time.Millisecond), first)
}

// simulate runs an hourly query for hours on a manual clock and returns the number of
// target rows and a hash of them.
func simulate(t *testing.T, hours int) string {
	e := &env{t: t, clock: clock.Manual(start)}
	dir := t.TempDir()
	store, err := embedded.Open(t.Context(), embedded.Options{Dir: filepath.Join(dir, "store"), Clock: e.clock})
	e.must(store, err)
	defer store.Close()
	docs, err := meta.Open(filepath.Join(dir, "meta.db"))
	e.must(docs, err)
	defer docs.Close()
	e.catalog, err = catalog.Open(t.Context(), catalog.Options{Backend: store, Clock: e.clock})
	e.must(e.catalog, err)
	e.must(e.catalog.CreateDatabase(t.Context(), "d", "", nil))
	for _, name := range []string{"raw", "out"} {
		e.must(e.catalog.CreateTable(t.Context(), catalog.NewTable{Database: "d", Name: name, Retention: &catalog.Retention{MemoryHours: 8766, MagneticDays: 400}}))
	}
	e.ingest = ingest.New(ingest.Options{Catalog: e.catalog})
	e.queries = query.New(query.Options{Catalog: e.catalog, Functions: fn.New(), Clock: e.clock, Render: render})
	defer e.queries.Close()
	e.write("d0", "temperature", "0", start)
	e.Service, err = schedule.Open(schedule.Options{Catalog: e.catalog, Queries: e.queries, Ingest: e.ingest, Clock: e.clock, Documents: docs.Bucket("schedule")})
	e.must(e.Service, err)
	defer e.Close()
	q := e.create(hourly())
	for h := range hours {
		at := e.clock.Now().Add(time.Minute)
		req := &ingest.Request{Database: "d", Table: "raw", Common: ingest.Record{Time: fmt.Sprint(at.UnixNano()), TimeUnit: ingest.Nanoseconds, MeasureName: "temperature"}}
		for d := range 3 {
			req.Records = append(req.Records, ingest.Record{Dimensions: []ingest.Dimension{{Name: "device", Value: fmt.Sprintf("d%d", d)}}, MeasureValue: fmt.Sprint(h%24 + d)})
		}
		e.must(e.ingest.Write(t.Context(), req))
		e.advance(time.Hour)
	}
	q = e.describe(q.ARN)
	if want := start.Truncate(time.Hour).Add(time.Duration(hours) * time.Hour); len(q.Failures) > 0 || !q.Previous.Equal(want) {
		t.Fatalf("previous run %v, want %v; failures %+v", q.Previous, want, q.Failures)
	}
	total := e.rows("SELECT COUNT(*) FROM d.out")[0]
	hash := sha256.New()
	for day := range hours/24 + 1 {
		from := start.Truncate(time.Hour).AddDate(0, 0, day)
		rows := e.rows(fmt.Sprintf("SELECT device, time, mean, samples FROM d.out WHERE time >= from_iso8601_timestamp('%s') AND time < from_iso8601_timestamp('%s') ORDER BY time, device",
			from.Format(time.RFC3339), from.AddDate(0, 0, 1).Format(time.RFC3339)))
		fmt.Fprintln(hash, strings.Join(rows, "\n"))
	}
	if want := fmt.Sprint(3 * hours); total != want {
		t.Errorf("%s target rows, want %s", total, want)
	}
	return fmt.Sprintf("%s rows, %x", total, hash.Sum(nil)[:8])
}
