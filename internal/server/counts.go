package server

import (
	"runtime"

	"github.com/weir-db/weir/internal/ingest"
	"github.com/weir-db/weir/internal/query"
	"github.com/weir-db/weir/internal/schedule"
	"github.com/weir-db/weir/internal/storage/embedded"
	"github.com/weir-db/weir/internal/telemetry"
)

// counts feeds telemetry with what the services observe. What the AWS door counts by
// itself (calls, records, bytes per operation) is not repeated here.
type counts struct {
	reg      *telemetry.Registry
	stored   *telemetry.Counter
	magnetic *telemetry.Counter
	rejected *telemetry.Counter
	queries  *telemetry.Counter
	failed   *telemetry.Counter
	scanned  *telemetry.Counter
	seconds  *telemetry.Histogram
}

func newCounts(reg *telemetry.Registry) *counts {
	return &counts{
		reg:      reg,
		stored:   reg.Counter("weir_records_stored_total", "Records stored, whatever their way in.", "tier", "memory"),
		magnetic: reg.Counter("weir_records_stored_total", "Records stored, whatever their way in.", "tier", "magnetic"),
		rejected: reg.Counter("weir_records_rejected_total", "Records refused because of the state of their table."),
		queries:  reg.Counter("weir_queries_total", "Queries that ended."),
		failed:   reg.Counter("weir_query_errors_total", "Queries that ended with an error."),
		scanned:  reg.Counter("weir_query_scanned_bytes_total", "Bytes that queries looked at."),
		seconds:  reg.Histogram("weir_query_seconds", "Time of planning a query and making its pages.", telemetry.DurationBounds),
	}
}

// troubled shows whether somebody must act.
func (c *counts) troubled(trouble func() []string, panics func() int64) {
	c.reg.GaugeFunc("weir_store_trouble", "What works no more until somebody acts; /health says what.", func() float64 { return float64(len(trouble())) })
	c.reg.GaugeFunc("weir_store_panics", "Defects that ended work on a table, since the start.", func() float64 { return float64(panics()) })
}

// cached feeds telemetry with what the store's cache of blocks does.
func (c *counts) cached(stats func() embedded.CacheStats) {
	c.reg.GaugeFunc("weir_goroutines", "Goroutines of the server.", func() float64 { return float64(runtime.NumGoroutine()) })
	c.reg.GaugeFunc("weir_block_cache_bytes", "Bytes of segments' blocks kept in memory.", func() float64 { return float64(stats().Bytes) })
	c.reg.GaugeFunc("weir_block_cache_hits", "Reads of blocks that the cache served, since the start.", func() float64 { return float64(stats().Hits) })
	c.reg.GaugeFunc("weir_block_cache_misses", "Reads of blocks that went to a file, since the start.", func() float64 { return float64(stats().Misses) })
}

func (c *counts) ingested(o *ingest.Observation) {
	c.stored.Add(int64(o.Result.Memory))
	c.magnetic.Add(int64(o.Result.Magnetic))
	c.rejected.Add(int64(o.Rejected))
	if o.Superseded > 0 {
		c.reg.Metric("AWS/Timestream", "MagneticStoreRejectedRecordCount", "Count", lateDims(o.Table.ID.Database, o.Table.ID.Table)...).ObserveN(c.reg.Now(), 1, float64(o.Superseded))
	}
}

// magneticStore shows how a magnetic store in a bucket does.
func (c *counts) magneticStore(status func() embedded.RemoteStatus) {
	gauge := func(name, help string, of func(embedded.RemoteStatus) int64) {
		c.reg.GaugeFunc(name, help, func() float64 { return float64(of(status())) })
	}
	gauge("weir_magnetic_store_up", "Whether the bucket of the magnetic store can be reached.", func(s embedded.RemoteStatus) int64 {
		if s.Err != nil {
			return 0
		}
		return 1
	})
	gauge("weir_magnetic_store_bytes", "Bytes of segments in the bucket.", func(s embedded.RemoteStatus) int64 { return s.RemoteBytes })
	gauge("weir_magnetic_store_waiting_bytes", "Bytes of segments that are to be moved to the bucket.", func(s embedded.RemoteStatus) int64 { return s.WaitingBytes })
	gauge("weir_magnetic_cache_bytes", "Bytes of the bucket's segments kept on this disk.", func(s embedded.RemoteStatus) int64 { return s.Cache.Bytes })
	gauge("weir_magnetic_cache_hits", "Pieces of segments read from the cache, since the start.", func(s embedded.RemoteStatus) int64 { return s.Cache.Hits })
	gauge("weir_magnetic_cache_misses", "Pieces of segments fetched from the bucket, since the start.", func(s embedded.RemoteStatus) int64 { return s.Cache.Misses })
	gauge("weir_magnetic_cache_damaged", "Damaged files of the cache that were fetched again, since the start.", func(s embedded.RemoteStatus) int64 { return s.Cache.Damaged })
	gauge("weir_magnetic_fetched_bytes", "Bytes fetched from the bucket, since the start.", func(s embedded.RemoteStatus) int64 { return s.Cache.FetchedBytes })
}

// ran counts a run of a scheduled query by its outcome.
func (c *counts) ran(_ *schedule.Query, r *schedule.Run) {
	c.reg.Counter("weir_scheduled_runs_total", "Runs of scheduled queries that ended.", "status", r.Status()).Add(1)
}

func (c *counts) queried(o query.Observation) {
	c.queries.Add(1)
	c.scanned.Add(o.BytesScanned)
	c.seconds.Observe(o.Duration.Seconds())
	if o.Err != nil {
		c.failed.Add(1)
	}
}
