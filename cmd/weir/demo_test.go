package main

import (
	"bytes"
	"context"
	"errors"
	"math"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

func TestDemoAnswersAreThoseOfItsReadings(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	d := &demo{listen: "127.0.0.1:0", mqttListen: "127.0.0.1:0", exit: true, out: &out}
	if err := d.run(t.Context()); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	checkLatest(t, d)
	checkQuarters(t, d)
	checkAnomalies(t, d)
	checkBatteries(t, d)
	checkHot(t, d)
	for _, want := range []string{"17,220 records of 3 measures in 173 requests", "12 over MQTT 5", "the first 6 of", "173 requests succeeded"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the output lacks %q:\n%s", want, &out)
		}
	}
	if _, err := os.Stat(d.folder); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the temporary folder is left: %v", err)
	}
}

// written returns what device i has sent, oldest first.
func written(d *demo, i int) []demoReading {
	var all []demoReading
	for t := d.end.Add(-demoHistory); t.Before(d.end); t = t.Add(demoStep) {
		all = append(all, demoDevices[i].at(t, d.end))
	}
	return append(all, demoDevices[i].at(d.live, d.end))
}

// expect compares an answer, cell by cell: texts must be equal, numbers may differ by
// what rounding to two digits does.
func expect(t *testing.T, question string, got *table, want [][]any) {
	t.Helper()
	if len(got.rows) != len(want) {
		t.Fatalf("%s: %d rows, want %d", question, len(got.rows), len(want))
	}
	for r, row := range want {
		for c, w := range row {
			text := aws.ToString(got.rows[r][c].ScalarValue)
			same := text == w
			if number, ok := w.(float64); ok {
				x, err := strconv.ParseFloat(text, 64)
				same = err == nil && math.Abs(x-number) <= 0.0051
			}
			if !same {
				t.Errorf("%s: row %d, column %d: got %s, want %v", question, r, c, text, w)
			}
		}
	}
}

func checkLatest(t *testing.T, d *demo) {
	t.Helper()
	var want [][]any
	for i := range demoDevices {
		r := demoDevices[i].at(d.live, d.end)
		want = append(want, []any{demoDevices[i].name, r.Room, r.Temperature, r.Humidity, r.Battery})
	}
	expect(t, "latest", d.answers[0], want)
}

func checkQuarters(t *testing.T, d *demo) {
	t.Helper()
	const quarter = 15 * 60 * 1000 // ms
	var want [][]any
	for i := range demoDevices {
		all := written(d, i)
		for end := len(all); end > 0; {
			start, bin := end-1, all[end-1].TimeMs/quarter
			for start > 0 && all[start-1].TimeMs/quarter == bin {
				start--
			}
			sum, low, high := 0.0, math.Inf(1), math.Inf(-1)
			for _, r := range all[start:end] {
				sum, low, high = sum+r.Temperature, min(low, r.Temperature), max(high, r.Temperature)
			}
			at := time.UnixMilli(bin * quarter).UTC().Format("2006-01-02 15:04:05.000000000")
			want = append(want, []any{demoDevices[i].name, at, strconv.Itoa(end - start), sum / float64(end-start), low, high})
			end = start
		}
	}
	expect(t, "quarters", d.answers[1], want)
}

// meanAndDeviation are those of a sample.
func meanAndDeviation(all []demoReading) (mean, deviation float64) {
	for _, r := range all {
		mean += r.Temperature / float64(len(all))
	}
	for _, r := range all {
		deviation += (r.Temperature - mean) * (r.Temperature - mean) / float64(len(all)-1)
	}
	return mean, math.Sqrt(deviation)
}

func checkAnomalies(t *testing.T, d *demo) {
	t.Helper()
	var want [][]any
	for i := range demoDevices {
		all := written(d, i)
		mean, deviation := meanAndDeviation(all)
		for k := len(all) - 1; k >= 0 && all[k].TimeMs > d.live.Add(-time.Hour).UnixMilli(); k-- {
			z := math.Abs(all[k].Temperature-mean) / deviation
			if z > 3 {
				at := time.UnixMilli(all[k].TimeMs).UTC().Format("2006-01-02 15:04:05.000000000")
				want = append(want, []any{demoDevices[i].name, at, all[k].Temperature, mean, math.Round(z*10) / 10})
			}
		}
	}
	if len(want) != 3 || want[0][0] != "th-07" {
		t.Fatalf("the readings should hold three anomalies of th-07, not %v", want)
	}
	expect(t, "anomalies", d.answers[2], want)
}

func checkBatteries(t *testing.T, d *demo) {
	t.Helper()
	row := func(i int) []any {
		all := written(d, i)
		last := all[len(all)-1]
		return []any{demoDevices[i].name, last.Room, last.Battery, all[0].Battery - last.Battery}
	}
	expect(t, "batteries", d.answers[3], [][]any{row(3), row(8)})
}

func checkHot(t *testing.T, d *demo) {
	t.Helper()
	row := func(i int) []any {
		warmest := math.Inf(-1)
		for _, r := range written(d, i) {
			if r.TimeMs > d.live.Add(-time.Hour).UnixMilli() {
				warmest = max(warmest, r.Temperature)
			}
		}
		return []any{"boiler-room", demoDevices[i].name, warmest}
	}
	expect(t, "hot", d.answers[4], [][]any{row(10), row(9)})
}

// until is a writer that calls f once what was written holds text.
type until struct {
	bytes.Buffer
	text string
	f    func()
}

func (u *until) Write(p []byte) (int, error) {
	n, err := u.Buffer.Write(p)
	if u.f != nil && strings.Contains(u.String(), u.text) {
		u.f()
		u.f = nil
	}
	return n, err
}

func TestDemoStaysUpUntilItIsEnded(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := &until{text: "Ctrl-C ends the demo"}
	d := &demo{listen: "127.0.0.1:0", mqttListen: "127.0.0.1:0", data: t.TempDir(), tick: time.Millisecond, out: out}
	out.f = func() { go d.fleet.waitFor(ctx, 10*len(demoDevices), cancel) }
	if err := d.run(ctx); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if n := d.fleet.published.Load(); n < int64(10*len(demoDevices)) {
		t.Errorf("%d messages were published", n)
	}
	// The folder that was given is kept, and serves another demo.
	again := &demo{listen: "127.0.0.1:0", mqttListen: "127.0.0.1:0", data: d.data, exit: true, out: new(bytes.Buffer)}
	if err := again.run(t.Context()); err != nil {
		t.Errorf("second run on the same folder: %v", err)
	}
}

// waitFor calls then once n messages are acknowledged.
func (f *demoFleet) waitFor(ctx context.Context, n int, then func()) {
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for f.published.Load() < int64(n) {
		select {
		case <-ctx.Done():
			return
		case <-poll.C:
		}
	}
	then()
}

func TestDemoTakesAFreePortOnlyInPlaceOfTheUsualOne(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	busy := ln.Addr().String()
	if got, err := loopback("--listen", busy, busy); got != "127.0.0.1:0" || err != nil {
		t.Errorf("usual and busy: %s, %v", got, err)
	}
	if got, err := loopback("--listen", busy, usualListen); got != busy || err != nil {
		t.Errorf("chosen and busy: %s, %v; the server says that it is in use", got, err)
	}
	for _, open := range []string{"0.0.0.0:8470", ":8470", "192.0.2.1:1", "nonsense"} {
		var usage *usageError
		if _, err := loopback("--listen", open, usualListen); !errors.As(err, &usage) {
			t.Errorf("%s: %v, want a usage error", open, err)
		}
	}
}
