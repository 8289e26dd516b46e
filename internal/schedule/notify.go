package schedule

import (
	"context"
	"encoding/json"
	"time"

	"github.com/weir-db/weir/internal/arn"
	"github.com/weir-db/weir/internal/query"
	"github.com/weir-db/weir/internal/sql/plan"
)

// The types of notifications about a query itself (reference/api.md, section 15.6).
const (
	noteCreating = "SCHEDULED_QUERY_CREATING"
	noteCreated  = "SCHEDULED_QUERY_CREATED"
	noteUpdated  = "SCHEDULED_QUERY_UPDATED"
	noteDeleted  = "SCHEDULED_QUERY_DELETED"
)

// note is the body of a notification.
type note struct {
	Type    string   `json:"type"`
	ARN     string   `json:"arn"`
	State   string   `json:"state,omitempty"`
	Next    int64    `json:"nextInvocationEpochSecond,omitempty"`
	Summary *summary `json:"scheduledQueryRunSummary,omitempty"`
}

type summary struct {
	Invocation int64        `json:"invocationEpochSecond"`
	Trigger    int64        `json:"triggerTimeMillis"`
	Status     string       `json:"runStatus"`
	Stats      summaryStats `json:"executionStats"`
	Insights   *insights    `json:"queryInsightsResponse,omitempty"`
	Report     *reportAt    `json:"errorReportLocation,omitempty"`
	Reason     string       `json:"failureReason,omitempty"`
}

type summaryStats struct {
	Millis       int64 `json:"executionTimeInMillis"`
	DataWrites   int64 `json:"dataWrites"`
	BytesMetered int64 `json:"bytesMetered"`
	BytesScanned int64 `json:"cumulativeBytesScanned"`
	Ingested     int64 `json:"recordsIngested"`
	ResultRows   int64 `json:"queryResultRows"`
}

type reportAt struct {
	S3 struct {
		Bucket string `json:"bucketName"`
		Key    string `json:"objectKey"`
	} `json:"s3ReportLocation"`
}

type insights struct {
	Spatial     *spatial  `json:"querySpatialCoverage,omitempty"`
	Temporal    *temporal `json:"queryTemporalRange,omitempty"`
	Tables      int64     `json:"queryTableCount"`
	OutputRows  int64     `json:"outputRows"`
	OutputBytes int64     `json:"outputBytes"`
}

type spatial struct {
	Max struct {
		Value        float64  `json:"value"`
		TableARN     string   `json:"tableArn"`
		PartitionKey []string `json:"partitionKey"`
	} `json:"max"`
}

type temporal struct {
	Max struct {
		Value    int64  `json:"value"`
		TableARN string `json:"tableArn"`
	} `json:"max"`
}

// stateOf is the API's word for a query's state.
func stateOf(q *Query) string {
	if q.Enabled {
		return "ENABLED"
	}
	return "DISABLED"
}

// State is ENABLED or DISABLED.
func (q *Query) State() string { return stateOf(q) }

// notify tells the topic of q. A notification that cannot be sent is logged: the work it
// tells of is done.
func (s *Service) notify(ctx context.Context, q *Query, n note) {
	if s.opts.Notify == nil {
		return
	}
	n.ARN = q.ARN
	body, err := json.Marshal(n)
	if err == nil {
		err = s.may(q.RoleARN, "sns:Publish", q.TopicARN)
	}
	if err == nil {
		err = s.opts.Notify.Publish(ctx, q.TopicARN, body, map[string]string{"queryArn": q.ARN, "notificationType": n.Type})
	}
	if err != nil {
		s.opts.Log.Warn("scheduled query: notification not sent", "query", q.Name, "type", n.Type, "topic", q.TopicARN, "err", err)
	}
}

// notifyRun tells of a run that ended; q is the query after it.
func (s *Service) notifyRun(ctx context.Context, q *Query, r *Run) {
	n := note{Type: r.Status(), Summary: s.summaryOf(r)}
	if !r.Manual && !q.Next.IsZero() && !r.Failed {
		n.Next = q.Next.Unix()
	}
	s.notify(ctx, q, n)
	if r.disable && !q.Enabled {
		s.notify(ctx, q, note{Type: noteUpdated, State: stateOf(q)})
	}
}

func (s *Service) summaryOf(r *Run) *summary {
	out := &summary{
		Invocation: r.Invocation.Unix(), Trigger: r.Trigger.UnixMilli(), Status: r.Status(), Reason: r.Reason,
		Stats: summaryStats(r.Stats), Insights: s.insightsOf(r.Insights),
	}
	if r.Report != nil {
		out.Report = &reportAt{}
		out.Report.S3.Bucket, out.Report.S3.Key = r.Report.Bucket, r.Report.Key
	}
	return out
}

func (s *Service) insightsOf(in *query.Insights) *insights {
	if in == nil {
		return nil
	}
	out := &insights{Tables: in.Tables, OutputRows: in.OutputRows, OutputBytes: in.OutputBytes}
	if in.Tables > 0 {
		out.Spatial, out.Temporal = &spatial{}, &temporal{}
		out.Spatial.Max.Value, out.Spatial.Max.TableARN, out.Spatial.Max.PartitionKey = in.SpatialCoverage, s.tableARN(in.SpatialTable), in.PartitionKey
		out.Temporal.Max.Value, out.Temporal.Max.TableARN = in.TemporalRangeNs, s.tableARN(in.TemporalTable)
	}
	return out
}

func (s *Service) tableARN(t plan.TableRef) string {
	return arn.Table(s.opts.Region, s.opts.AccountID, t.Database, t.Table)
}

// seconds cuts a time to whole seconds, as invocations and creations are told.
func seconds(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }
