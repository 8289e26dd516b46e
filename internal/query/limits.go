package query

import (
	"sync"
	"time"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/sql/plan"
	"github.com/weir-db/weir/internal/vec"
)

// Limits are bounds of results and of UNLOAD. A zero field means the service's quota (Timestream quotas), except
// where said.
type Limits struct {
	ResultBytes      int64 // of all pages of a result, as JSON; 5 GB
	MetadataBytes    int64 // of a result's columns, as JSON; 100 KB
	UnloadPartitions int   // of one UNLOAD; 100
	UnloadsPerSecond int   // further ones are throttled; 0: any number, AWS has 1
}

func (l Limits) withDefaults() Limits {
	def(&l.ResultBytes, 5_000_000_000)
	def(&l.MetadataBytes, 100<<10)
	def(&l.UnloadPartitions, awsPartitions)
	return l
}

// awsPartitions is how many partitions an UNLOAD may have on AWS: so few that each can have an open file.
const awsPartitions = 100

// rate refuses what comes more often than allowed.
type rate struct {
	mu     sync.Mutex // guards recent
	recent []time.Time
}

// take reports whether one more may begin now, of at most perSecond.
func (r *rate) take(now time.Time, perSecond int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.recent) > 0 && now.Sub(r.recent[0]) >= time.Second {
		r.recent = r.recent[1:]
	}
	if len(r.recent) >= perSecond {
		return false
	}
	r.recent = append(r.recent, now)
	return true
}

// checkColumns refuses a result whose metadata is too large.
func (s *Service) checkColumns(columns []plan.OutputColumn) error {
	size := int64(0)
	for _, c := range columns {
		size += int64(len(`{"Name":"",},`)+len(c.Name)) + typeBytes(c.Type)
	}
	if size > s.opts.Limits.MetadataBytes {
		return fault.New(fault.Invalid, "The metadata of the query's result has %d bytes, more than the limit of %d.", size, s.opts.Limits.MetadataBytes)
	}
	return nil
}

// typeBytes is how long a type is in ColumnInfo.
func typeBytes(t vec.Type) int64 {
	switch t.Kind {
	case vec.Array:
		return int64(len(`"Type":{"ArrayColumnInfo":{}}`)) + typeBytes(*t.Elem)
	case vec.TimeSeries:
		return int64(len(`"Type":{"TimeSeriesMeasureValueColumnInfo":{}}`)) + typeBytes(*t.Elem)
	case vec.Row:
		n := int64(len(`"Type":{"RowColumnInfo":[]}`))
		for _, f := range t.Fields {
			n += int64(len(`{"Name":"",},`)+len(f.Name)) + typeBytes(f.Type)
		}
		return n
	}
	return int64(len(`"Type":{"ScalarType":""}`) + len(t.String()))
}

// tooLarge is the end of a result that grows beyond the limit.
func (s *Service) tooLarge() error {
	return fault.New(fault.Execution, "The result of the query is larger than the limit of %d bytes.", s.opts.Limits.ResultBytes)
}
