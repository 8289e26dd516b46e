package server

import (
	"context"
	"log/slog"
	"path"
	"sync"

	"github.com/weir-db/weir/internal/batchload"
	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/ingest"
	"github.com/weir-db/weir/internal/telemetry"
)

// lateReports writes reports about late records that lost against stored versions to the
// buckets that their tables name. Writing lags behind the requests; past lateQueue waiting
// reports, further ones are dropped and counted as MagneticStoreRejectedUploadSystemFailures.
type lateReports struct {
	objects batchload.Objects
	clock   *clock.Clock
	reg     *telemetry.Registry
	log     *slog.Logger

	mu     sync.Mutex // guards closed; held while sending
	closed bool
	queue  chan ingest.LateReport
	done   sync.WaitGroup
}

const lateQueue = 1000

func newLateReports(b batchload.Objects, c *clock.Clock, reg *telemetry.Registry, log *slog.Logger) *lateReports {
	l := &lateReports{objects: b, clock: c, reg: reg, log: log, queue: make(chan ingest.LateReport, lateQueue)}
	l.done.Go(l.loop)
	return l
}

// report takes a report and does not block.
func (l *lateReports) report(r ingest.LateReport) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	select {
	case l.queue <- r:
	default:
		l.count(&r, "MagneticStoreRejectedUploadSystemFailures")
	}
}

// close writes what waits and ends.
func (l *lateReports) close() {
	l.mu.Lock()
	if !l.closed {
		l.closed = true
		close(l.queue)
	}
	l.mu.Unlock()
	l.done.Wait()
}

func (l *lateReports) loop() {
	for r := range l.queue {
		if err := l.write(&r); err != nil {
			metric := "MagneticStoreRejectedUploadSystemFailures"
			if k := fault.KindOf(err); k == fault.NotFound || k == fault.Invalid {
				metric = "MagneticStoreRejectedUploadUserFailures" // no such bucket, for instance
			}
			l.count(&r, metric)
			l.log.Warn("report about late records not written", "db", r.Table.ID.Database, "table", r.Table.ID.Table, "err", err)
		}
	}
}

// write puts one report under <prefix>/<db>/<table>/<yyyy-mm-dd>/<hh>/<uuid>.json, a layout
// of ours: AWS does not publish its own.
func (l *lateReports) write(r *ingest.LateReport) error {
	at := r.Table.Magnetic.Rejected
	key := path.Join(at.Prefix, r.Table.ID.Database, r.Table.ID.Table, l.clock.Now().Format("2006-01-02/15"), r.UUID+".json")
	return l.objects.Put(context.Background(), at.Bucket, key, r.Body)
}

func (l *lateReports) count(r *ingest.LateReport, metric string) {
	l.reg.Metric("AWS/Timestream", metric, "Count", lateDims(r.Table.ID.Database, r.Table.ID.Table)...).Observe(1)
}

func lateDims(database, table string) []telemetry.Dim {
	return []telemetry.Dim{{Name: "DatabaseName", Value: database}, {Name: "TableName", Value: table}, {Name: "Operation", Value: "WriteRecords"}}
}
