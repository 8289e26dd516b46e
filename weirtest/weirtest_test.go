package weirtest_test

import (
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/weir-db/weir/weirtest"
)

var noon = time.Date(2031, 2, 3, 12, 0, 0, 0, time.UTC)

const (
	hour = time.Hour
	day  = 24 * hour
)

// TestWarmAlarm is a test as a user of weir would write it.
func TestWarmAlarm(t *testing.T) {
	t.Parallel()
	s := weirtest.Start(t, weirtest.At(noon))
	s.CreateTable("home", "rooms", 24*hour, 365*day)
	for minute, degrees := range []float64{19.5, 21, 24.5} {
		err := s.WriteRecords("home", "rooms", weirtest.Record{
			Time:       noon.Add(time.Duration(minute-2) * time.Minute),
			Dimensions: map[string]string{"room": "attic"},
			Values:     map[string]any{"temperature": degrees, "open": degrees > 20},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	got := s.Query(`SELECT room, max(temperature), max_by(open, time) FROM home.rooms WHERE time > ago(1h) GROUP BY room`)
	if want := [][]string{{"attic", "24.5", "true"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// Example shows the calls; in a test, t is the test's own.
func Example() {
	t := &exampleTB{}
	defer t.end()

	s := weirtest.Start(t, weirtest.At(noon))
	s.CreateTable("home", "rooms", 24*hour, 365*day)
	err := s.WriteRecords("home", "rooms", weirtest.Record{
		Dimensions: map[string]string{"room": "attic"},
		Values:     map[string]any{"temperature": 24.5},
	})
	fmt.Println("written:", err)
	s.Advance(10 * time.Minute)
	fmt.Println(s.Query("SELECT room, temperature, date_diff('minute', time, now()) FROM home.rooms"))
	// Output:
	// written: <nil>
	// [[attic 24.5 10]]
}

func TestAdvancingTheClockMovesRowsThroughTheTiersAndAway(t *testing.T) {
	t.Parallel()
	s := weirtest.Start(t, weirtest.At(noon))
	s.CreateTable("d", "t", 2*hour, 3*day)
	write := func(at time.Time) error {
		return s.WriteRecords("d", "t", weirtest.Record{Time: at, Dimensions: map[string]string{"k": "a"}, Values: map[string]any{"x": 1}})
	}
	count := func() string { return s.Query("SELECT count(*) FROM d.t")[0][0] }
	segments := func() int {
		files, err := filepath.Glob(filepath.Join(s.Dir, "store", "segments", "*", "*.seg"))
		if err != nil {
			t.Fatal(err)
		}
		return len(files)
	}
	if err := write(noon); err != nil {
		t.Fatal(err)
	}
	if n := segments(); count() != "1" || n != 0 {
		t.Errorf("%s rows and %d segments after the write, want 1 in memory and none", count(), n)
	}

	s.Advance(3 * hour) // past the memory store's retention
	eventually(t, "the row is in the magnetic store", func() bool { return segments() == 1 })
	if count() != "1" {
		t.Errorf("%s rows in the magnetic store, want 1", count())
	}

	s.Restart()
	if count() != "1" || !s.Now().Equal(noon.Add(3*hour)) {
		t.Errorf("%s rows at %v after a restart, want 1 and the same clock", count(), s.Now())
	}

	s.Advance(3 * day) // past the magnetic store's
	if count() != "0" {
		t.Errorf("%s rows after their retention, want none", count())
	}
	eventually(t, "the segment is deleted", func() bool { return segments() == 0 })
}

func TestTheWindowOfAcceptanceFollowsTheClock(t *testing.T) {
	t.Parallel()
	s := weirtest.Start(t, weirtest.At(noon))
	s.CreateTable("d", "t", 2*hour, 3*day)
	write := func(at time.Time) error {
		return s.WriteRecords("d", "t", weirtest.Record{Time: at, Dimensions: map[string]string{"k": "a"}, Values: map[string]any{"x": 1}})
	}
	check := func(at time.Time, want bool) {
		t.Helper()
		err := write(at)
		var e *weirtest.APIError
		refused := errors.As(err, &e) && e.Type == "RejectedRecordsException" && strings.Contains(string(e.Body), "outside the time range")
		if want && err != nil || !want && !refused {
			t.Errorf("write of %v at %v: %v", at, s.Now(), err)
		}
	}
	check(noon.Add(14*time.Minute), true)
	check(noon.Add(16*time.Minute), false)
	check(noon.Add(-3*day), true)
	check(noon.Add(-4*day), false)
	s.Advance(2 * day)
	check(noon.Add(16*time.Minute), true)
	check(noon.Add(2*day), true)
	check(noon.Add(-3*day), false)
	s.Set(noon)
	check(noon.Add(2*day), false)
}

func TestNowIsTheServersClock(t *testing.T) {
	t.Parallel()
	s := weirtest.Start(t, weirtest.At(noon))
	now := func() string { return s.Query("SELECT now()")[0][0] }
	for range 2 {
		if got := now(); got != "2031-02-03 12:00:00.000000000" {
			t.Errorf("now() = %s while frozen at noon", got)
		}
	}
	s.Advance(90 * time.Second)
	if got := now(); got != "2031-02-03 12:01:30.000000000" {
		t.Errorf("now() = %s, a minute and a half later", got)
	}
	s.Resume()
	first := now()
	eventually(t, "a running clock moves", func() bool { return now() > first })
	s.Freeze()
	if a, b := now(), now(); a != b {
		t.Errorf("now() = %s, then %s while frozen", a, b)
	}
	s.Set(noon.Add(-day))
	if got := s.Query("SELECT ago(1d)")[0][0]; got != "2031-02-01 12:00:00.000000000" {
		t.Errorf("ago(1d) = %s on the 2nd", got)
	}
}

func TestCallsGiveTheAPIsExceptions(t *testing.T) {
	t.Parallel()
	s := weirtest.Start(t)
	check := func(err error, status int, typ, text string) {
		t.Helper()
		var e *weirtest.APIError
		if !errors.As(err, &e) || e.Status != status || e.Type != typ || !strings.Contains(e.Message, text) {
			t.Errorf("error = %#v, want %d %s: %s", err, status, typ, text)
		}
	}
	_, err := s.TryQuery("SELECT x")
	check(err, http.StatusBadRequest, "ValidationException", "line 1:8: Column 'x' does not exist")
	check(s.WriteRecords("d", "t", weirtest.Record{Dimensions: map[string]string{"k": "a"}, Values: map[string]any{"x": 1}}),
		http.StatusNotFound, "ResourceNotFoundException", "does not exist")
	check(s.Call("Nothing", struct{}{}, nil), http.StatusNotFound, "UnknownOperationException", "")
	if err := s.WriteRecords("d", "t", weirtest.Record{Values: map[string]any{"x": []int{1}}}); err == nil {
		t.Error("a value without a type was written")
	}
}

func TestResultsOfAllTypesAreText(t *testing.T) {
	t.Parallel()
	s := weirtest.Start(t, weirtest.At(noon))
	s.CreateTable("d", "t", 2*hour, 3*day)
	err := s.WriteRecords("d", "t", weirtest.Record{
		Measure: "m", Dimensions: map[string]string{"k": "a"},
		Values: map[string]any{"f": 1.5, "i": int64(1) << 62, "b": true, "s": `"x"`, "t": noon},
	})
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.TryQuery("SELECT f, i, b, s, t, NULL AS n, ARRAY[1, 2] AS a, create_time_series(time, f) AS ts FROM d.t GROUP BY 1, 2, 3, 4, 5")
	if err != nil {
		t.Fatal(err)
	}
	want := &weirtest.Result{
		Columns: []string{"f double", "i bigint", "b boolean", "s varchar", "t timestamp", "n unknown", "a array(integer)", "ts timeseries(double)"},
		Rows: [][]string{{"1.5", "4611686018427387904", "true", `"x"`, "2031-02-03 12:00:00.000000000", "NULL", "[1, 2]",
			"[(2031-02-03 12:00:00.000000000, 1.5)]"}},
	}
	if !reflect.DeepEqual(r, want) {
		t.Errorf("got  %q\nwant %q", r, want)
	}
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}
