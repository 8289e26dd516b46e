package schedule_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-db/weir/internal/catalog"
	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/schedule"
)

func lateTag(value string) []catalog.Tag {
	return []catalog.Tag{{Key: schedule.LateDataTag, Value: value}}
}

// runs counts the runs that ended, from the notifications.
func (e *env) runs() int {
	n := 0
	for _, kind := range e.notes.types() {
		if strings.Contains(kind, "_TRIGGER_") {
			n++
		}
	}
	return n
}

func TestLateDataRunsTheWindowsThatItTouchedAgain(t *testing.T) {
	t.Parallel()
	e := newEnv(t, clock.Manual(start))
	e.write("a", "temperature", "1", start)
	q, err := e.Create(t.Context(), hourly(), lateTag("4h"), "")
	if err != nil {
		t.Fatal(err)
	}
	hour := start.Truncate(time.Hour)
	for range 6 {
		e.advance(time.Hour)
		e.write("a", "temperature", "1", e.clock.Now())
	}
	samples := func() []string {
		return e.rows("SELECT date_format(time, '%H'), samples FROM d.out ORDER BY time")
	}
	want := []string{"00 1", "01 1", "02 1", "03 1", "04 1", "05 1"}
	check(t, "on time", samples(), want)
	ran := e.runs()

	// 02:… and 04:… are within the 4 hours before 06:00:30, 01:… is not; 06:… is the window to come.
	for _, at := range []time.Duration{time.Hour, 2 * time.Hour, 4 * time.Hour, 4*time.Hour + 1, 6 * time.Hour} {
		e.write("late", "temperature", "2", hour.Add(at+time.Second))
	}
	e.settle()
	check(t, "nothing runs before the next scheduled run", e.runs(), ran)
	e.advance(time.Hour)
	want = []string{"00 1", "01 1", "02 1", "02 1", "03 1", "04 2", "04 1", "05 1", "06 1", "06 1"}
	got := e.rows("SELECT date_format(time, '%H'), samples FROM d.out ORDER BY time, device DESC")
	check(t, "late rows are in", got, want)
	check(t, "runs", e.runs(), ran+3)
	check(t, "all of them succeeded", len(e.describe(q.ARN).Failures), 0)
	check(t, "the schedule has not moved", e.describe(q.ARN).Previous, hour.Add(7*time.Hour))
	e.advance(time.Hour)
	check(t, "and that was all", e.runs(), ran+4)
}

func TestLateDataSurvivesACrashOnceItsWriteReturned(t *testing.T) {
	t.Parallel()
	e := newEnv(t, clock.Manual(start))
	e.write("a", "temperature", "1", start)
	if _, err := e.Create(t.Context(), hourly(), lateTag("7d"), ""); err != nil {
		t.Fatal(err)
	}
	e.advance(3 * time.Hour)
	e.write("late", "temperature", "2", start.Add(time.Minute))
	disk := e.docs.copy()
	e.Close()
	e.docs.byKey = disk
	e.open()
	// Windows are learnt again from the schedule.
	e.write("later", "temperature", "2", start.Add(2*time.Minute))
	e.write("later", "temperature", "2", start.Add(time.Hour))
	e.advance(time.Hour)
	check(t, "rows", e.rows("SELECT device, samples FROM d.out ORDER BY device, time"), []string{"a 1", "late 1", "later 1", "later 1"})
}

func TestLateDataOfARunTouchesTheQueriesThatReadIt(t *testing.T) {
	t.Parallel()
	e := newEnv(t, clock.Manual(start))
	e.must(e.catalog.CreateTable(t.Context(), catalog.NewTable{Database: "d", Name: "daily", Retention: &catalog.Retention{MemoryHours: 8766, MagneticDays: 7}}))
	e.write("a", "temperature", "1", start)
	e.must(e.Create(t.Context(), hourly(), lateTag("2d"), ""))
	e.advance(time.Hour)
	second := hourly()
	second.Name, second.Target.Table, second.Expression = "daily", "daily", "cron(30 * * * ? *)"
	second.SQL = `SELECT device, BIN(time, 1d) AS hour, AVG(mean) AS mean, SUM(samples) AS n FROM d.out
WHERE time >= date_trunc('day', @scheduled_runtime) AND time < date_trunc('day', @scheduled_runtime) + 1d GROUP BY device, BIN(time, 1d)`
	e.must(e.Create(t.Context(), second, lateTag("2d"), ""))
	for range 3 {
		e.advance(time.Hour)
	}
	check(t, "before", e.rows("SELECT samples FROM d.daily"), []string{"1"})
	e.write("a", "temperature", "3", start.Add(time.Second))
	e.advance(time.Hour)
	e.advance(time.Hour)
	check(t, "after", e.rows("SELECT mean, samples FROM d.daily"), []string{"2.0 2"})
}

func TestTheTagForLateDataNeedsAWindow(t *testing.T) {
	t.Parallel()
	e := newEnv(t, clock.Manual(start))
	e.write("a", "temperature", "1", start)
	refused := func(what string, tags []catalog.Tag, change func(*schedule.Definition)) {
		t.Helper()
		d := hourly()
		change(&d)
		if _, err := e.Create(t.Context(), d, tags, ""); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), schedule.LateDataTag) {
			t.Errorf("%s: %v", what, err)
		}
	}
	replace := func(from, to string) func(*schedule.Definition) {
		return func(d *schedule.Definition) {
			if !strings.Contains(d.SQL, from) {
				t.Fatalf("%s is not in the query", from)
			}
			d.SQL = strings.ReplaceAll(d.SQL, from, to)
		}
	}
	for _, value := range []string{"", "7", "d", "-1d", "367d", "1w", "0h"} {
		refused("value "+value, lateTag(value), func(*schedule.Definition) {})
	}
	refused("no end", lateTag("7d"), replace("AND time < @scheduled_runtime", ""))
	refused("no parameter", lateTag("7d"), replace("@scheduled_runtime", "now()"))
	refused("its own target", lateTag("7d"), func(d *schedule.Definition) { d.Target.Table = "raw" })
	q := e.create(hourly())
	if err := e.Tag(q.ARN, lateTag("x")); !fault.Is(err, fault.Invalid) {
		t.Errorf("Tag: %v", err)
	}
	if err := e.Tag(q.ARN, lateTag("7d")); err != nil {
		t.Error(err)
	}
	e.advance(time.Hour)
	e.write("late", "temperature", "1", start)
	if err := e.Untag(q.ARN, []string{schedule.LateDataTag}); err != nil {
		t.Error(err)
	}
	e.write("late", "temperature", "1", start.Add(time.Second))
	e.advance(time.Hour)
	check(t, "what was marked before the tag went runs", slices.Contains(e.rows("SELECT device FROM d.out"), "late"), true)
}
