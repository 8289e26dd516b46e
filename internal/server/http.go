package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"time"

	"github.com/weir-db/weir/internal/awsapi"
	"github.com/weir-db/weir/internal/console"
	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/telemetry"
)

// handler is the HTTP port: the server's own pages, and the AWS API for all else.
func (s *Server) handler(api *awsapi.Handler, reg *telemetry.Registry) http.Handler {
	own := http.NewServeMux()
	own.HandleFunc("GET /health", s.health)
	own.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		reg.WritePrometheus(w)
	})
	if s.opts.ClockControl {
		own.HandleFunc("GET /admin/clock", s.showClock)
		own.HandleFunc("PUT /admin/clock", s.setClock)
	}
	own.Handle("POST "+BackupPath, s.backups)
	if !s.opts.NoConsole {
		own.Handle(console.Path, console.New())
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Most requests are of the API, which has no path: the mux took a fiftieth of their time.
		if r.URL.Path != "/" {
			// A bucket may be called health.
			if h, pattern := own.Handler(r); pattern != "" && !awsapi.SignedFor(r, "s3") {
				h.ServeHTTP(w, r)
				return
			}
		} else if !s.opts.NoConsole && console.Wanted(r) {
			http.Redirect(w, r, console.Path, http.StatusFound)
			return
		}
		api.ServeHTTP(w, r)
	})
}

// health answers 200 once requests are answered, also while the magnetic store's bucket cannot be
// reached or a table takes no records because of a defect: most requests do not need it. The text says so.
func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	io.WriteString(w, "ok\n")
	for _, line := range s.store.Trouble() {
		fmt.Fprintln(w, line)
	}
	if m := s.store.RemoteStatus(); fault.Is(m.Err, fault.Conflict) {
		fmt.Fprintln(w, fault.MessageOf(m.Err))
	} else if m.Err != nil {
		fmt.Fprintf(w, "the magnetic store %s cannot be reached since %s\n", m.Name, m.Since.UTC().Format(time.RFC3339))
	}
}

// clockState is the clock as /admin/clock tells it.
type clockState struct {
	Now    time.Time `json:"now"`
	Frozen bool      `json:"frozen"`
}

// clockChange is the body of PUT /admin/clock; what is left out stays as it is. Set comes
// before Advance.
type clockChange struct {
	Set     *time.Time `json:"set"`
	Advance string     `json:"advance"` // a duration such as "1h30m"
	Freeze  *bool      `json:"freeze"`  // false lets a frozen clock run on
	Reset   bool       `json:"reset"`   // follow the machine's clock again
	Settle  bool       `json:"settle"`  // answer once the scheduled queries that became due have run
}

// Bounds of a request's body below /admin.
const (
	maxAdminBody     = 4 << 10
	adminBodyTimeout = 10 * time.Second
)

func (s *Server) showClock(w http.ResponseWriter, _ *http.Request) {
	now, frozen := s.opts.Clock.State()
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(clockState{now, frozen})
}

func (s *Server) setClock(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Origin") != "" {
		http.Error(w, "clock: a web page may not move it", http.StatusForbidden)
		return
	}
	// A web page can send neither PUT nor this type to another origin without being asked
	// first, and nobody here says yes.
	if t, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); t != "application/json" {
		http.Error(w, "want Content-Type: application/json", http.StatusUnsupportedMediaType)
		return
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(adminBodyTimeout))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxAdminBody))
	if err != nil {
		http.Error(w, "clock: "+err.Error(), http.StatusBadRequest)
		return
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	// Time decides what retention deletes.
	if s.root != nil {
		if err := s.root.check(r, body, "move the clock"); err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
	}
	var c clockChange
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		http.Error(w, "clock: "+err.Error(), http.StatusBadRequest)
		return
	}
	by, err := time.ParseDuration(c.Advance)
	if c.Advance != "" && err != nil {
		http.Error(w, "clock: "+err.Error(), http.StatusBadRequest)
		return
	}
	clk := s.opts.Clock
	switch {
	case c.Reset:
		clk.Reset()
	case c.Freeze != nil && *c.Freeze:
		clk.Freeze()
	case c.Freeze != nil:
		clk.Resume()
	}
	if c.Set != nil {
		clk.Set(*c.Set)
	}
	if by != 0 {
		clk.Advance(by)
	}
	if c.Settle {
		if err := s.Settle(r.Context()); err != nil {
			http.Error(w, "clock: "+err.Error(), http.StatusServiceUnavailable)
			return
		}
	}
	s.showClock(w, r)
}
