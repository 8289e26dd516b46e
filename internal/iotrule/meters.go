package iotrule

import (
	"log/slog"
	"sync"
	"time"

	"github.com/weir-db/weir/internal/telemetry"
)

// namespace of the metrics (AWS IoT metrics, "Rule metrics").
const namespace = "AWS/IoT"

// meters hands out the handles of the engine's metrics.
type meters struct {
	reg      *telemetry.Registry
	executed *telemetry.Metric
}

type ruleMeters struct {
	match, executed, parseError *telemetry.Metric
}

type actionMeters struct{ success, failure *telemetry.Metric }

func newMeters(reg *telemetry.Registry) meters {
	return meters{reg: reg, executed: reg.Metric(namespace, "RulesExecuted", "Count")}
}

func (m *meters) byRule(name, rule string) *telemetry.Metric {
	return m.reg.Metric(namespace, name, "Count", telemetry.Dim{Name: "RuleName", Value: rule})
}

func (m *meters) rule(rule string) ruleMeters {
	return ruleMeters{match: m.byRule("TopicMatch", rule), executed: m.byRule("RulesExecuted", rule), parseError: m.byRule("ParseError", rule)}
}

func (m *meters) byAction(name, rule, kind string) *telemetry.Metric {
	return m.reg.Metric(namespace, name, "Count",
		telemetry.Dim{Name: "RuleName", Value: rule}, telemetry.Dim{Name: "ActionType", Value: actionTypes[kind]})
}

// actionTypes are the values of the dimension ActionType.
var actionTypes = map[string]string{kindTimestream: "Timestream", kindRepublish: "Republish"}

func (m *meters) action(rule, kind string) (success, failure *telemetry.Metric) {
	return m.byAction("Success", rule, kind), m.byAction("Failure", rule, kind)
}

func (m *meters) errorAction(rule, kind string) (success, failure *telemetry.Metric) {
	return m.byAction("ErrorActionSuccess", rule, kind), m.byAction("ErrorActionFailure", rule, kind)
}

// logEvery is how often a failure that stays the same is logged.
const logEvery = time.Minute

// failureLog keeps one action's failures from flooding the log.
type failureLog struct {
	mu         sync.Mutex // guards the fields below
	last       string
	at         time.Time
	suppressed int
}

// warn logs a failure unless the same text was logged less than a minute ago.
func (l *failureLog) warn(log *slog.Logger, what string, err error, args ...any) {
	text := err.Error()
	now := time.Now()
	l.mu.Lock()
	if text == l.last && now.Sub(l.at) < logEvery {
		l.suppressed++
		l.mu.Unlock()
		return
	}
	suppressed := l.suppressed
	l.last, l.at, l.suppressed = text, now, 0
	l.mu.Unlock()
	if suppressed > 0 {
		args = append(args, "repeated", suppressed)
	}
	log.Warn(what, append(args, "err", err)...)
}
