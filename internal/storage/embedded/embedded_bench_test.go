package embedded

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/storage/embedded/series"
	"github.com/weir-db/weir/internal/vec"
)

var writerSeq atomic.Int64

var (
	benchStart  = time.Date(2024, 3, 1, 12, 0, 0, 0, time.UTC)
	benchID     = storage.TableID{Database: "db", Table: "t", Incarnation: 1}
	benchPolicy = storage.Policy{MemoryRetention: 48 * time.Hour, MagneticRetention: 365 * 24 * time.Hour, MagneticWrites: true}
)

func benchStore(b testing.TB, o Options) (*Store, storage.Table) {
	if o.FS == nil {
		o.Dir = b.TempDir()
	}
	o.Clock = clock.Manual(benchStart)
	s := open(b, o)
	if err := s.CreateTable(context.Background(), benchID, benchPolicy); err != nil {
		b.Fatal(err)
	}
	table, _ := s.Table(benchID)
	return s, table
}

// sensorRows returns a request of the given devices at one time, with n doubles each.
func sensorRows(from, to int, at time.Time, n int) *storage.Rows {
	rows := &storage.Rows{}
	for k := range n {
		rows.Columns = append(rows.Columns, storage.Column{Name: fmt.Sprint("measure_", k), Type: vec.DoubleType, Role: storage.Attribute})
	}
	minute := at.Unix() / 60
	for d := from; d < to; d++ {
		row := storage.Row{Measure: "metrics", TimeNs: at.UnixNano(), Version: 1, Multi: true,
			Dimensions: []storage.Dim{{Name: "device_id", Value: fmt.Sprint("device-", d)}, {Name: "location", Value: fmt.Sprint("plant-", d%10)}}}
		for k := range n {
			v := math.Round((20+5*math.Sin(float64(minute+int64(d*k))/50))*100) / 100
			row.Values = append(row.Values, storage.Val{Column: int32(k), Bits: math.Float64bits(v)})
		}
		rows.Rows = append(rows.Rows, row)
	}
	return rows
}

// fillSensors writes devices × minutes rows of three doubles, the newest at benchStart.
func fillSensors(b testing.TB, table storage.Table, devices, minutes int) {
	for m := range minutes {
		at := benchStart.Add(-time.Duration(minutes-1-m) * time.Minute)
		for d := 0; d < devices; d += 1000 {
			r, err := table.Write(context.Background(), sensorRows(d, min(d+1000, devices), at, 3))
			if err != nil || len(r.Rejections) > 0 {
				b.Fatalf("%+v %v", r, err)
			}
		}
	}
}

func BenchmarkWrite(b *testing.B) {
	_, table := benchStore(b, Options{})
	b.SetParallelism(32)
	start := benchStart.Add(-24 * time.Hour)
	b.RunParallel(func(pb *testing.PB) {
		rows := sensorRows(0, 100, start, 10)
		mine := writerSeq.Add(1)
		n := int64(0)
		for i := range rows.Rows {
			rows.Rows[i].Dimensions[0].Value = fmt.Sprint("device-", mine, "-", i)
		}
		for pb.Next() {
			n++
			for i := range rows.Rows {
				rows.Rows[i].TimeNs = start.UnixNano() + n*1e6
			}
			if r, err := table.Write(context.Background(), rows); err != nil || r.Memory != 100 {
				b.Errorf("%+v %v", r, err)
				return
			}
		}
	})
	b.ReportMetric(100*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

func drainScan(b testing.TB, table storage.Table, spec storage.ScanSpec) (n int) {
	s, err := table.Scan(context.Background(), spec)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	for {
		batch, err := s.Next(context.Background())
		if err != nil {
			b.Fatal(err)
		}
		if batch == nil {
			return n
		}
		n += batch.Len
	}
}

func benchScans(b *testing.B, table storage.Table, minutes int) {
	hour, day := benchStart.Add(-time.Hour).UnixNano(), benchStart.Add(-24*time.Hour).UnixNano()
	to := benchStart.Add(time.Hour).UnixNano()
	keys := []storage.GroupKey{{Column: "device_id"}, {Column: "location"}}
	run := func(name string, want int, spec storage.ScanSpec) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if got := drainScan(b, table, spec); want > 0 && got != want {
					b.Fatalf("%d rows, want %d", got, want)
				}
			}
		})
	}
	last := func(c string) storage.Agg { return storage.Agg{Func: storage.Last, Column: c} }
	run("last of 3", 1000, storage.ScanSpec{From: hour, To: to, Aggregation: &storage.Aggregation{Keys: keys, Aggs: []storage.Agg{last("measure_0"), last("measure_1"), last("measure_2")}}})
	bins := append([]storage.GroupKey{{Column: "time", BinNs: int64(15 * time.Minute)}}, keys...)
	run("binned avg", 0, storage.ScanSpec{From: day, To: to, Aggregation: &storage.Aggregation{Keys: bins, Aggs: []storage.Agg{{Func: storage.Sum, Column: "measure_0"}, {Func: storage.Count, Column: "measure_0"}}}})
	run("moments", 0, storage.ScanSpec{From: day, To: to, Aggregation: &storage.Aggregation{Keys: keys[:1], Aggs: []storage.Agg{{Func: storage.Moments, Column: "measure_0"}}}})
	run("count where", 0, storage.ScanSpec{From: day, To: to, Where: []storage.Predicate{{Column: "measure_1", Op: storage.Gt, Values: []vec.Value{vec.Float(24.9)}}},
		Aggregation: &storage.Aggregation{Aggs: []storage.Agg{{Func: storage.CountRows}}}})
	run("rows", 1000*minutes, storage.ScanSpec{From: 0, To: to, Columns: []string{"device_id", "time", "measure_0"}})
	run("newest 100", 100, storage.ScanSpec{From: day, To: to, Columns: []string{"device_id", "time", "measure_0"}, Limit: 100, NewestFirst: true})
	run("one device", 60, storage.ScanSpec{From: hour + 1, To: to, Columns: []string{"time", "measure_0"}, Where: []storage.Predicate{{Column: "device_id", Op: storage.Eq, Values: []vec.Value{vec.Str("device-77")}}}})
}

// cpuTime is what the process has used so far: on a busy machine it says more than the clock.
func cpuTime(b *testing.B) time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// BenchmarkScanRows is all rows of a table in segments, series by series, in the two ways that they are read.
func BenchmarkScanRows(b *testing.B) {
	s, table := benchStore(b, Options{})
	fillSensors(b, table, 1000, 1440)
	if err := s.flushAll(context.Background()); err != nil {
		b.Fatal(err)
	}
	spec := storage.ScanSpec{From: storage.AllTime.From, To: storage.AllTime.To, Columns: []string{"device_id", "time", "measure_0", "measure_1"}}
	run := func(name string, read func() int) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			began := cpuTime(b)
			for b.Loop() {
				if n := read(); n != 1000*1440 {
					b.Fatalf("%d rows", n)
				}
			}
			b.ReportMetric(float64(cpuTime(b)-began)/float64(b.N)/1000/1440, "cpu-ns/row")
		})
	}
	run("kept", func() int { return drainScan(b, table, spec) })
	reused := spec
	reused.Reuse = true
	run("reused", func() int { return drainScan(b, table, reused) })
	run("divided", func() int {
		s, err := table.Scan(context.Background(), spec)
		if err != nil {
			b.Fatal(err)
		}
		defer s.Close()
		var rows atomic.Int64
		var wg sync.WaitGroup
		for _, r := range s.(storage.Divided).Divide(runtime.GOMAXPROCS(0)) {
			wg.Go(func() {
				for {
					batch, err := r.Next(context.Background())
					if err != nil {
						b.Error(err)
					}
					if batch == nil {
						return
					}
					rows.Add(int64(batch.Len))
				}
			})
		}
		wg.Wait()
		return int(rows.Load())
	})
}

func BenchmarkScanMemory(b *testing.B) {
	_, table := benchStore(b, Options{})
	fillSensors(b, table, 1000, 1440)
	b.ResetTimer()
	benchScans(b, table, 1440)
}

func BenchmarkScanSegments(b *testing.B) {
	s, table := benchStore(b, Options{})
	fillSensors(b, table, 1000, 1440)
	if err := s.flushAll(context.Background()); err != nil {
		b.Fatal(err)
	}
	stats := table.Stats()
	b.Logf("%d rows in %d bytes", stats.Rows, stats.MagneticBytes)
	b.ResetTimer()
	benchScans(b, table, 1440)
}

// BenchmarkScanMixed has the day in several segments and the last hours in memory.
func BenchmarkScanMixed(b *testing.B) {
	s, table := benchStore(b, Options{})
	for part := range 4 {
		for m := part * 360; m < (part+1)*360; m++ {
			at := benchStart.Add(-time.Duration(1440-1-m) * time.Minute)
			if r, err := table.Write(context.Background(), sensorRows(0, 1000, at, 3)); err != nil || len(r.Rejections) > 0 {
				b.Fatalf("%+v %v", r, err)
			}
		}
		if part < 3 {
			if err := s.flushAll(context.Background()); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ResetTimer()
	benchScans(b, table, 1440)
}

func BenchmarkOpen(b *testing.B) {
	o := Options{Dir: b.TempDir(), Clock: clock.Manual(benchStart)}
	s := open(b, o)
	s.CreateTable(context.Background(), benchID, benchPolicy)
	table, _ := s.Table(benchID)
	fillSensors(b, table, 5000, 2000)
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	for b.Loop() {
		s := open(b, o)
		table, _ := s.Table(benchID)
		if drainScan(b, table, storage.ScanSpec{From: 0, To: math.MaxInt64, Aggregation: &storage.Aggregation{Aggs: []storage.Agg{{Func: storage.CountRows}}}}) == 0 {
			b.Fatal("no rows")
		}
		s.Close()
	}
}

// BenchmarkMillionSeries writes, flushes and reads a million series of few rows.
func BenchmarkMillionSeries(b *testing.B) {
	const devices = 1_000_000
	for b.Loop() {
		o := Options{Dir: b.TempDir(), Clock: clock.Manual(benchStart), MemoryLimitBytes: 8 << 30, LogLimitBytes: 8 << 30}
		s := open(b, o)
		s.CreateTable(context.Background(), benchID, benchPolicy)
		table, _ := s.Table(benchID)
		step := func(name string, do func()) {
			begin := time.Now()
			do()
			b.ReportMetric(time.Since(begin).Seconds(), name+"-s")
		}
		step("write", func() { fillSensors(b, table, devices, 2) })
		b.ReportMetric(float64(table.Stats().MemoryBytes)/devices, "memory-B/series")
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		b.ReportMetric(float64(m.HeapAlloc)/devices, "heap-B/series")
		count := storage.ScanSpec{From: 0, To: math.MaxInt64, Aggregation: &storage.Aggregation{Keys: []storage.GroupKey{{Column: "location"}}, Aggs: []storage.Agg{{Func: storage.Sum, Column: "measure_0"}}}}
		one := storage.ScanSpec{From: 0, To: math.MaxInt64, Columns: []string{"measure_0"}, Where: []storage.Predicate{{Column: "device_id", Op: storage.Eq, Values: []vec.Value{vec.Str("device-777777")}}}}
		step("scan", func() { drainScan(b, table, count) })
		step("point", func() { drainScan(b, table, one) })
		step("flush", func() {
			if err := s.flushAll(context.Background()); err != nil {
				b.Fatal(err)
			}
		})
		b.ReportMetric(float64(table.Stats().MagneticBytes)/devices, "disk-B/series")
		step("segment-scan", func() { drainScan(b, table, count) })
		step("segment-point", func() { drainScan(b, table, one) })
		step("segment-point2", func() { drainScan(b, table, one) })
		step("write-after", func() {
			rows := sensorRows(0, 1000, benchStart.Add(time.Minute), 3)
			if _, err := table.Write(context.Background(), rows); err != nil {
				b.Fatal(err)
			}
		})
		s.Close()
		step("open", func() { s = open(b, o) })
		table, _ = s.Table(benchID)
		step("first-scan", func() { drainScan(b, table, count) })
		s.Close()
	}
}

// BenchmarkManySeries writes a few rows of each of many series, with flushes and merges as a server does them, ends in order, opens
// and counts.
func BenchmarkManySeries(b *testing.B) {
	const devices, rounds = 100_000, 24
	for range b.N {
		work := counted{}
		// In proportion to what a server of a million devices has.
		o := Options{Dir: b.TempDir(), Clock: clock.Manual(benchStart), ReplayLimitValues: 6_000_000 / 10, LogLimitBytes: 12 << 20, Log: slog.New(&work)}
		s := open(b, o)
		if err := s.CreateTable(context.Background(), benchID, benchPolicy); err != nil {
			b.Fatal(err)
		}
		table, _ := s.Table(benchID)
		var all []*storage.Rows
		for d := 0; d < devices; d += 1000 {
			all = append(all, sensorRows(d, d+1000, benchStart, 3))
		}
		used := cpuTime(b)
		for m := range rounds {
			at := benchStart.Add(-time.Duration(rounds-1-m) * time.Minute)
			for _, rows := range all {
				for i := range rows.Rows {
					rows.Rows[i].TimeNs = at.UnixNano() + int64(i)
				}
				if r, err := table.Write(context.Background(), rows); err != nil || len(r.Rejections) > 0 {
					b.Fatalf("%+v %v", r, err)
				}
			}
		}
		b.ReportMetric(float64(cpuTime(b)-used)/devices/rounds, "load-ns/row")
		used = cpuTime(b)
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(cpuTime(b)-used)/1e6, "end-ms")
		used = cpuTime(b)
		s = open(b, o)
		count := storage.ScanSpec{From: storage.AllTime.From, To: storage.AllTime.To, Aggregation: &storage.Aggregation{Aggs: []storage.Agg{{Func: storage.CountRows}}}}
		again, _ := s.Table(benchID)
		drainScan(b, again, count)
		b.ReportMetric(float64(cpuTime(b)-used)/1e6, "open-ms")
		b.ReportMetric(float64(work.flushes.Load()), "flushes")
		b.ReportMetric(float64(work.merges.Load()), "merges")
		b.ReportMetric(float64(work.bytes.Load())/devices/rounds, "written-B/row")
		s.Close()
	}
}

// BenchmarkOpenManySeries opens a store of many series, each with a few rows in each of three segments, and counts. The count
// needs the series of all segments, because these overlap in time.
func BenchmarkOpenManySeries(b *testing.B) {
	const devices = 200_000
	o := Options{Dir: b.TempDir(), Clock: clock.Manual(benchStart)}
	s := open(b, o)
	if err := s.CreateTable(context.Background(), benchID, benchPolicy); err != nil {
		b.Fatal(err)
	}
	table, _ := s.Table(benchID)
	for m := range 3 {
		for d := 0; d < devices; d += 1000 {
			for k := range 2 {
				rows := sensorRows(d, d+1000, benchStart.Add(time.Duration(10*k+m-30)*time.Minute), 3)
				if r, err := table.Write(context.Background(), rows); err != nil || len(r.Rejections) > 0 {
					b.Fatalf("%+v %v", r, err)
				}
			}
		}
		if err := s.flushAll(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	count := storage.ScanSpec{From: storage.AllTime.From, To: storage.AllTime.To, Aggregation: &storage.Aggregation{Aggs: []storage.Agg{{Func: storage.CountRows}}}}
	b.ResetTimer()
	used := cpuTime(b)
	for b.Loop() {
		s := open(b, o)
		table, _ := s.Table(benchID)
		drainScan(b, table, count)
		s.Close()
	}
	b.ReportMetric(float64(cpuTime(b)-used)/float64(3*devices*b.N), "cpu-ns/entry")
}

// counted is the log of a store, read for how often it writes segments, and how many bytes they take.
type counted struct{ flushes, merges, bytes atomic.Int64 }

func (c *counted) Enabled(context.Context, slog.Level) bool { return true }
func (c *counted) WithAttrs([]slog.Attr) slog.Handler       { return c }
func (c *counted) WithGroup(string) slog.Handler            { return c }

func (c *counted) Handle(_ context.Context, r slog.Record) error {
	switch r.Message {
	case "flushed":
		c.flushes.Add(1)
	case "merged":
		c.merges.Add(1)
	default:
		return nil
	}
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "bytes" {
			c.bytes.Add(a.Value.Int64())
		}
		return true
	})
	return nil
}

// BenchmarkPredicatesOfMany selects of a million series those that predicates on dimensions want.
func BenchmarkPredicatesOfMany(b *testing.B) {
	const devices = 1_000_000
	registry := series.NewRegistry()
	var keys series.Keys
	for i := range devices {
		dims := []storage.Dim{{Name: "device_id", Value: fmt.Sprintf("device-%07d", i)}, {Name: "location", Value: fmt.Sprint("plant-", i%20)}}
		keys.Bytes = series.AppendKey(keys.Bytes, "metrics", dims)
		keys.Ends = append(keys.Ends, len(keys.Bytes))
	}
	if _, err := registry.Resolve(nil, &keys); err != nil {
		b.Fatal(err)
	}
	v := registry.View()
	list := func(n int) (values []vec.Value) {
		for i := range n {
			values = append(values, vec.Str(fmt.Sprintf("device-%07d", i*7)))
		}
		return values
	}
	one := []vec.Value{vec.Str("plant-7")}
	some := func(value string, null bool) bool { return !null && strings.HasPrefix(value, "device-00") }
	for _, c := range []struct {
		name  string
		want  int
		preds []storage.Predicate
	}{
		{"device =", 1, []storage.Predicate{{Column: "device_id", Op: storage.Eq, Values: list(1)}}},
		{"location = and device =", 1, []storage.Predicate{{Column: "location", Op: storage.Eq, Values: []vec.Value{vec.Str("plant-0")}}, {Column: "device_id", Op: storage.Eq, Values: list(1)}}},
		{"location =", devices / 20, []storage.Predicate{{Column: "location", Op: storage.Eq, Values: one}}},
		{"location <>", devices / 20 * 19, []storage.Predicate{{Column: "location", Op: storage.Ne, Values: one}}},
		{"device LIKE", 10_000 * devices / 1_000_000 * 10, []storage.Predicate{{Column: "device_id", Op: storage.Match, Matches: some}}},
		{"device IN 10,000", 10_000, []storage.Predicate{{Column: "device_id", Op: storage.In, Values: list(10_000)}}},
		{"device IN 100,000 and location =", 5_000, []storage.Predicate{{Column: "device_id", Op: storage.In, Values: list(100_000)}, {Column: "location", Op: storage.Eq, Values: one}}},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				if n := len(selectSeries(registry, v, c.preds)); n != c.want {
					b.Fatalf("%d series, want %d", n, c.want)
				}
			}
		})
	}
}

// BenchmarkFewOfMany asks for the last values and the sums of many series that have a few rows in each of some segments. Those of 360 rows
// share blocks, which are decoded; those of 600 have blocks of their own, which statistics answer for.
func BenchmarkFewOfMany(b *testing.B) {
	for _, shape := range []struct{ devices, segments, rows int }{{100_000, 5, 4}, {2000, 1, 360}, {2000, 1, 600}} {
		s, t := benchStore(b, Options{})
		var all []*storage.Rows
		for d := 0; d < shape.devices; d += 1000 {
			all = append(all, sensorRows(d, d+1000, benchStart, 3))
		}
		for m := range shape.segments {
			for k := range shape.rows {
				at := benchStart.Add(time.Duration(shape.rows*(m-shape.segments)+k) * time.Minute)
				for _, rows := range all {
					for i := range rows.Rows {
						rows.Rows[i].TimeNs = at.UnixNano() + int64(i)
						rows.Rows[i].Values[0].Bits = math.Float64bits(float64((k*7+i)%1000) / 10)
					}
					if r, err := t.Write(context.Background(), rows); err != nil || len(r.Rejections) > 0 {
						b.Fatalf("%+v %v", r, err)
					}
				}
			}
			if err := s.flush(context.Background(), t.(*table)); err != nil {
				b.Fatal(err)
			}
		}
		for _, c := range []struct {
			name string
			aggs []storage.Agg
		}{
			{"last", []storage.Agg{{Func: storage.Last, Column: "measure_0"}, {Func: storage.Max, Column: storage.TimeColumnName}}},
			{"sum", []storage.Agg{{Func: storage.Sum, Column: "measure_0"}, {Func: storage.Count, Column: "measure_0"}}},
		} {
			spec := storage.ScanSpec{From: storage.AllTime.From, To: storage.AllTime.To, Aggregation: &storage.Aggregation{Keys: []storage.GroupKey{{Column: "device_id"}}, Aggs: c.aggs}}
			drainScan(b, t, spec)
			b.Run(fmt.Sprintf("%s/series=%d/segments=%d/rows=%d", c.name, shape.devices, shape.segments, shape.rows), func(b *testing.B) {
				used := cpuTime(b)
				for b.Loop() {
					if n := drainScan(b, t, spec); n != shape.devices {
						b.Fatalf("%d groups", n)
					}
				}
				b.ReportMetric(float64(cpuTime(b)-used)/float64(shape.devices*b.N), "cpu-ns/series")
				b.ReportMetric(float64(t.Stats().MagneticBytes)/float64(3*shape.devices*shape.segments*shape.rows), "B/value")
			})
		}
	}
}
