package schedule

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/weir-db/weir/internal/ingest"
)

// maxReported bounds the records and rows that one report lists.
const maxReported = 10_000

// report collects what a run could not store.
type report struct {
	ingest.ErrorReport
	listed int
	left   int // not listed
}

func (r *report) empty() bool { return len(r.Errors) == 0 }

// full notes one more entry and reports whether it is too many.
func (r *report) full() bool {
	if r.listed == maxReported {
		r.left++
		return true
	}
	r.listed++
	return false
}

// record notes a record that was refused.
func (r *report) record(reason string, rec *ingest.Record) {
	if !r.full() {
		r.Record(reason, ingest.Reported(rec))
	}
}

// row notes a row that could not be mapped.
func (r *report) row(reason, line string) {
	if !r.full() {
		r.Row(reason, line)
	}
}

// writeReport stores the report of a run and returns its place.
func (s *Service) writeReport(ctx context.Context, q *Query, run *Run, r *report) (*Object, error) {
	if s.opts.Reports == nil {
		return nil, fmt.Errorf("there is no object store")
	}
	if r.left > 0 {
		r.General(fmt.Sprintf("%d more records or rows could not be stored.", r.left))
	}
	body, uuid := r.JSON()
	at := &Object{Bucket: q.Report.Bucket, Key: reportKey(q, run, uuid)}
	if err := s.may(q.RoleARN, "s3:PutObject", "arn:aws:s3:::"+at.Bucket+"/"+at.Key); err != nil {
		return nil, err
	}
	return at, s.opts.Reports.Put(ctx, at.Bucket, at.Key, body)
}

// reportKey is <prefix>/<name-suffix>/<invocation s>/<AUTO|MANUAL>/<trigger ms>/<uuid>.
func reportKey(q *Query, run *Run, uuid string) string {
	kind := "AUTO"
	if run.Manual {
		kind = "MANUAL"
	}
	key := fmt.Sprintf("%s/%d/%s/%d/%s", idOf(q.ARN), run.Invocation.Unix(), kind, run.Trigger.UnixMilli(), uuid)
	if prefix := strings.TrimSuffix(q.Report.Prefix, "/"); prefix != "" {
		key = prefix + "/" + key
	}
	return key
}

// idOf returns the last part of a scheduled query's ARN, name and suffix.
func idOf(arn string) string {
	_, id, _ := strings.Cut(arn, ":scheduled-query/")
	return id
}

func randomHex(bytes int) string {
	b := make([]byte, bytes)
	rand.Read(b)
	return hex.EncodeToString(b)
}
