package server

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/weir-db/weir/internal/ingest"
	"github.com/weir-db/weir/internal/query"
)

// Limits are the quotas of the service, each of which is a setting. Zero fields mean the service's.
type Limits struct {
	Ingest ingest.Limits
	Query  query.Limits

	Databases, Tables, ScheduledQueries int // of the account
	LoadFiles                           int // of a batch load task
	LoadFileBytes                       int64
	LoadTasks, LoadTasksPerTable        int // active
}

// roomy are limits for those whom the service's quotas are too small for. What the API
// model itself bounds (a value of 2048 characters) stays.
var roomy = Limits{
	Ingest: ingest.Limits{Records: 10_000, Measures: 1024, DimensionNameBytes: 256, MeasureNameBytes: 1024, DimensionBytes: 16 << 10, MultiBytes: 256 << 10},
	Query:  query.Limits{ResultBytes: 1 << 50, MetadataBytes: 8 << 20, UnloadPartitions: 100_000},

	Databases: 100_000, Tables: 1_000_000, ScheduledQueries: 100_000, LoadFiles: 100_000, LoadFileBytes: 1 << 50,
}

// limitNames are the limits by their names in a setting, with the most that each may be: of records, beyond
// which one would not fit the engine's blocks.
var limitNames = []struct {
	name string
	most int64
	set  func(*Limits, int64)
}{
	{"records", 100_000, func(l *Limits, n int64) { l.Ingest.Records = int(n) }},
	{"dimensions", 128, func(l *Limits, n int64) { l.Ingest.Dimensions = int(n) }},
	{"measures", 1024, func(l *Limits, n int64) { l.Ingest.Measures = int(n) }},
	{"dimension-name-bytes", 4 << 10, func(l *Limits, n int64) { l.Ingest.DimensionNameBytes = int(n) }},
	{"measure-name-bytes", 4 << 10, func(l *Limits, n int64) { l.Ingest.MeasureNameBytes = int(n) }},
	{"dimension-bytes", 64 << 10, func(l *Limits, n int64) { l.Ingest.DimensionBytes = int(n) }},
	{"value-bytes", 2048, func(l *Limits, n int64) { l.Ingest.ValueBytes = int(n) }},
	{"multi-bytes", 1 << 20, func(l *Limits, n int64) { l.Ingest.MultiBytes = int(n) }},
	{"result-bytes", 1 << 50, func(l *Limits, n int64) { l.Query.ResultBytes = n }},
	{"metadata-bytes", 64 << 20, func(l *Limits, n int64) { l.Query.MetadataBytes = n }},
	{"unload-partitions", 1_000_000, func(l *Limits, n int64) { l.Query.UnloadPartitions = int(n) }},
	{"unloads-per-second", 1_000_000, func(l *Limits, n int64) { l.Query.UnloadsPerSecond = int(n) }},
	{"databases", 1_000_000, func(l *Limits, n int64) { l.Databases = int(n) }},
	{"tables", 10_000_000, func(l *Limits, n int64) { l.Tables = int(n) }},
	{"scheduled-queries", 1_000_000, func(l *Limits, n int64) { l.ScheduledQueries = int(n) }},
	{"load-files", 1_000_000, func(l *Limits, n int64) { l.LoadFiles = int(n) }},
	{"load-file-bytes", 1 << 50, func(l *Limits, n int64) { l.LoadFileBytes = n }},
	{"load-tasks", 1000, func(l *Limits, n int64) { l.LoadTasks = int(n) }},
	{"load-tasks-per-table", 1000, func(l *Limits, n int64) { l.LoadTasksPerTable = int(n) }},
}

// ParseLimits reads a setting: "aws" or "roomy", then changes to single limits, all
// separated by commas: "aws,records=1000". Empty is "aws".
func ParseLimits(setting string) (Limits, error) {
	var l Limits
	for i, part := range strings.Split(setting, ",") {
		name, value, change := strings.Cut(strings.TrimSpace(part), "=")
		switch {
		case i == 0 && !change && (name == "aws" || name == ""):
			continue
		case i == 0 && name == "roomy" && !change:
			l = roomy
			continue
		}
		if err := l.change(name, value, part); err != nil {
			return l, err
		}
	}
	return l, nil
}

func (l *Limits) change(name, value, part string) error {
	var known []string
	for _, limit := range limitNames {
		known = append(known, limit.name)
		if limit.name != name {
			continue
		}
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil || n < 1 || n > limit.most {
			return fmt.Errorf("%s: want a number from 1 to %d, got %q", name, limit.most, value)
		}
		limit.set(l, n)
		return nil
	}
	return fmt.Errorf("want aws or roomy first, then changes such as records=1000 of %s; got %q", strings.Join(known, ", "), part)
}
