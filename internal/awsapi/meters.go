package awsapi

import (
	"strconv"
	"sync"
	"time"

	"github.com/weir-db/weir/internal/awsapi/wire"
	"github.com/weir-db/weir/internal/telemetry"
)

// meters counts calls. AWS publishes each metric under exact sets of dimensions
// (reference/api.md, section 16.1); articles ask for sets that it does not have, so
// the sets {}, {DatabaseName}, {DatabaseName, TableName} and {Operation} are
// published beside {Operation, DatabaseName, TableName}, as is the metric
// SuccessfulRequestCount: additions of ours.
type meters struct {
	reg *telemetry.Registry

	success sync.Map // successKey to *successMeter
	service sync.Map // serviceKey to *serviceMeter
}

type successKey struct{ namespace, operation, database, table string }

// successMeter holds the handles of one kind of successful call.
type successMeter struct {
	latency, requests, records, bytes []*telemetry.Metric
	recordsTotal, bytesTotal          *telemetry.Counter
	requestsTotal                     *telemetry.Counter
}

type serviceKey struct {
	service, operation string
	status             int
}

type serviceMeter struct {
	requests *telemetry.Counter
	seconds  *telemetry.Histogram
	errors   []*telemetry.Metric
}

// count records a finished call.
func (m *meters) count(c *wire.Call, status int, took time.Duration) {
	if c.Service == nil || c.Operation == "" {
		m.reg.Counter("weir_unrouted_requests_total", "Requests that named no operation.", "status", strconv.Itoa(status)).Add(1)
		return
	}
	s := m.serviceMeter(c, status)
	s.requests.Add(1)
	s.seconds.Observe(took.Seconds())
	telemetry.ObserveAll(s.errors, 1)
	if c.Service.MetricNamespace == "" || status >= 400 && c.Records == 0 && c.BytesMetered == 0 {
		return
	}
	ok := m.successMeter(successKey{c.Service.MetricNamespace, c.Operation, c.Database, c.Table})
	if status < 400 {
		telemetry.ObserveAll(ok.latency, float64(took)/float64(time.Millisecond))
		telemetry.ObserveAll(ok.requests, 1)
		ok.requestsTotal.Add(1)
	}
	if c.Records > 0 { // some are stored even when others were rejected
		telemetry.ObserveAll(ok.records, float64(c.Records))
		ok.recordsTotal.Add(c.Records)
	}
	if c.BytesMetered > 0 {
		telemetry.ObserveAll(ok.bytes, float64(c.BytesMetered))
		ok.bytesTotal.Add(c.BytesMetered)
	}
}

func (m *meters) serviceMeter(c *wire.Call, status int) *serviceMeter {
	key := serviceKey{c.Service.Name, c.Operation, status}
	if s, ok := m.service.Load(key); ok {
		return s.(*serviceMeter)
	}
	s := &serviceMeter{
		requests: m.reg.Counter("weir_requests_total", "Requests by service, operation and HTTP status.",
			"service", key.service, "operation", key.operation, "status", strconv.Itoa(status)),
		seconds: m.reg.Histogram("weir_request_seconds", "Time from a request's header to its answer being ready.",
			telemetry.DurationBounds, "service", key.service, "operation", key.operation),
	}
	if ns := c.Service.MetricNamespace; ns != "" && status >= 400 {
		name := "UserErrors"
		if status >= 500 {
			name = "SystemErrors"
		}
		s.errors = []*telemetry.Metric{
			m.reg.Metric(ns, name, "Count", telemetry.Dim{Name: "Operation", Value: c.Operation}),
			m.reg.Metric(ns, name, "Count"),
		}
	}
	kept, _ := m.service.LoadOrStore(key, s)
	return kept.(*serviceMeter)
}

func (m *meters) successMeter(key successKey) *successMeter {
	if s, ok := m.success.Load(key); ok {
		return s.(*successMeter)
	}
	metric := func(name, unit string) []*telemetry.Metric {
		var all []*telemetry.Metric
		for _, dims := range dimensionSets(key) {
			all = append(all, m.reg.Metric(key.namespace, name, unit, dims...))
		}
		return all
	}
	labels := []string{"operation", key.operation, "database", key.database, "table", key.table}
	s := &successMeter{
		latency:       metric("SuccessfulRequestLatency", "Milliseconds"),
		requests:      metric("SuccessfulRequestCount", "Count"),
		records:       metric("NumberOfRecords", "Count"),
		bytes:         metric("CumulativeBytesMetered", "Bytes"),
		requestsTotal: m.reg.Counter("weir_successful_requests_total", "Successful requests by operation, database and table.", labels...),
		recordsTotal:  m.reg.Counter("weir_records_total", "Records stored.", labels...),
		bytesTotal:    m.reg.Counter("weir_metered_bytes_total", "Bytes taken in or scanned, as metered.", labels...),
	}
	kept, _ := m.success.LoadOrStore(key, s)
	return kept.(*successMeter)
}

func dimensionSets(key successKey) [][]telemetry.Dim {
	operation := telemetry.Dim{Name: "Operation", Value: key.operation}
	sets := [][]telemetry.Dim{nil, {operation}}
	if key.database == "" {
		return sets
	}
	database := telemetry.Dim{Name: "DatabaseName", Value: key.database}
	sets = append(sets, []telemetry.Dim{database})
	if key.table == "" {
		return append(sets, []telemetry.Dim{database, operation})
	}
	table := telemetry.Dim{Name: "TableName", Value: key.table}
	return append(sets, []telemetry.Dim{database, table}, []telemetry.Dim{database, table, operation})
}
