package mqtt

import (
	"log/slog"
	"sync"
	"time"

	"github.com/weir-db/weir/internal/telemetry"
)

// meters are the broker's metrics (AWS IoT metrics, "Message broker metrics").
type meters struct {
	connectSuccess, connectAuthError, connectClientError, connectThrottle            *telemetry.Metric
	publishInSuccess, publishInAuthError, publishInClientError, publishInServerError *telemetry.Metric
	publishOutSuccess, publishOutAuthError, publishOutThrottle                       *telemetry.Metric
	subscribeSuccess, subscribeClientError, ping                                     *telemetry.Metric
}

func newMeters(reg *telemetry.Registry) meters {
	m := func(name string) *telemetry.Metric {
		return reg.Metric("AWS/IoT", name, "Count", telemetry.Dim{Name: "Protocol", Value: "MQTT"})
	}
	return meters{
		connectSuccess: m("Connect.Success"), connectAuthError: m("Connect.AuthError"),
		connectClientError: m("Connect.ClientError"), connectThrottle: m("Connect.Throttle"),
		publishInSuccess: m("PublishIn.Success"), publishInAuthError: m("PublishIn.AuthError"),
		publishInClientError: m("PublishIn.ClientError"), publishInServerError: m("PublishIn.ServerError"),
		publishOutSuccess: m("PublishOut.Success"), publishOutAuthError: m("PublishOut.AuthError"), publishOutThrottle: m("PublishOut.Throttle"),
		subscribeSuccess: m("Subscribe.Success"), subscribeClientError: m("Subscribe.ClientError"), ping: m("Ping.Success"),
	}
}

const (
	logWindow = 10 * time.Second
	logLines  = 20 // in a window
)

// rateLimited logs what clients cause, at most logLines in each logWindow, so
// that a flood of bad clients does not become a flood of lines.
type rateLimited struct {
	log *slog.Logger

	mu         sync.Mutex // guards the fields below
	from       time.Time
	lines      int
	suppressed int
}

func (l *rateLimited) warn(msg string, args ...any) {
	now := time.Now()
	l.mu.Lock()
	if now.Sub(l.from) > logWindow {
		if l.suppressed > 0 {
			args = append(args, "suppressed", l.suppressed)
		}
		l.from, l.lines, l.suppressed = now, 0, 0
	}
	l.lines++
	if l.lines > logLines {
		l.suppressed++
		l.mu.Unlock()
		return
	}
	l.mu.Unlock()
	l.log.Warn(msg, args...)
}
