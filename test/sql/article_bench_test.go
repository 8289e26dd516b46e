package sql_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/storage/embedded"
	"github.com/weir-db/weir/internal/storage/storagetest"
	"github.com/weir-db/weir/internal/vfs"
	"github.com/weir-db/weir/test/sql/sqltest"
)

// cpuTime is what the process has used of its processors: the wall clock says little on a busy machine.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkArticle runs the article's queries over 1,000 devices × 24 h × one reading a
// minute in the embedded engine, from text to the last row.
func BenchmarkArticle(b *testing.B) {
	l := sqltest.Local{Clock: clock.Manual(sqltest.Start)}
	store, err := embedded.Open(context.Background(), embedded.Options{FS: vfs.NewMem(), Clock: l.Clock})
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	l.Backend = store
	if err := l.CreateTable(context.Background(), "iot_sensor_data", "sensor_readings"); err != nil {
		b.Fatal(err)
	}
	for minute := range 24 * 60 {
		at := sqltest.Start.Add(time.Duration(minute-24*60+1) * time.Minute).UnixNano()
		var batch storagetest.Batch
		batch.Rows.Rows = make([]storage.Row, 0, 1000)
		for d := range 1000 {
			x := float64((d*31+minute*7)%1000) / 20
			batch.Add(storagetest.Point{
				Measure: "sensor_metrics", TimeNs: at, Dims: []string{"device_id", fmt.Sprintf("device-%04d", d), "location", fmt.Sprintf("room-%02d", d%50)},
				Values: []storagetest.NamedValue{storagetest.F("temperature", 10+x), storagetest.F("humidity", 30+x/2), storagetest.F("battery_level", 100-float64(minute)/20)},
			})
		}
		if err := l.Write(context.Background(), "iot_sensor_data", "sensor_readings", &batch.Rows); err != nil {
			b.Fatal(err)
		}
	}
	text, err := os.ReadFile("article.test")
	if err != nil {
		b.Fatal(err)
	}
	run := func(name, sql string) {
		b.Run(name, func(b *testing.B) {
			before := cpuTime()
			for b.Loop() {
				if _, err := l.Query(context.Background(), sql); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(cpuTime()-before)/float64(b.N), "cpu-ns/op")
		})
	}
	n := 0
	for _, block := range strings.Split(string(text), "\n\n") {
		_, sql, ok := strings.Cut(block, "query\n")
		if !ok {
			continue
		}
		sql, _, _ = strings.Cut(sql, "\n----")
		n++
		run(fmt.Sprintf("query=%d", n), sql)
	}
	run("one row", "SELECT temperature FROM iot_sensor_data.sensor_readings WHERE device_id = 'device-0500' AND time > ago(10m) ORDER BY time DESC LIMIT 1")
	// The newest five minutes of all devices, as TSBS's groupby-orderby-limit asks.
	run("newest bins", "SELECT bin(time, 1m) AS minute, max(temperature) FROM iot_sensor_data.sensor_readings WHERE time < ago(1h) GROUP BY 1 ORDER BY 1 DESC LIMIT 5")
}
