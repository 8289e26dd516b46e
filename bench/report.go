package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// result is one figure of one engine.
type result struct {
	Part    string
	Engine  string
	Measure string
	Unit    string
	Value   float64   // the median
	P95     float64   // of more than ten values
	Values  []float64 // all, in order
	Rows    int       `json:",omitempty"` // of the answer
	Goal    float64   `json:",omitempty"`
}

// report collects results and prints them as they come.
type report struct {
	out     io.Writer
	Began   time.Time
	Cores   int
	Load    string // of the machine, at the beginning and at the end: 1, 5, 15 minutes
	Results []result
}

func newReport(out io.Writer) *report {
	return &report{out: out, Began: time.Now().UTC(), Cores: runtime.NumCPU(), Load: loadAverage()}
}

func loadAverage() string {
	b, _ := os.ReadFile("/proc/loadavg")
	return strings.Join(strings.Fields(string(b))[:min(3, len(strings.Fields(string(b))))], " ")
}

func (r *report) say(format string, args ...any) { fmt.Fprintf(r.out, format+"\n", args...) }

func (r *report) add(res result, values ...float64) {
	res.Values, res.Value = values, median(values)
	p95 := ""
	if len(values) > 10 {
		res.P95 = percentile(values, 0.95)
		p95 = ", p95 " + figure(res.P95)
	}
	r.Results = append(r.Results, res)
	r.say("%s: %s: %s %s %s%s", res.Part, res.Engine, res.Measure, figure(res.Value), res.Unit, p95)
}

// ratios prints what one engine takes of another's time, and of its processors, in the questions of a part.
func (r *report) ratios(part, engine, peer string) {
	for _, res := range r.Results {
		for _, other := range r.Results {
			if res.Part == part && other.Part == part && res.Engine == engine && other.Engine == peer && res.Measure == other.Measure && res.Unit == other.Unit && strings.HasPrefix(res.Unit, "ms") {
				r.say("%s: %s: %s / %s = %.2f (%s)", part, res.Measure, engine, peer, res.Value/other.Value, res.Unit)
			}
		}
	}
}

// figure prints a number with three or four digits that count.
func figure(f float64) string {
	switch {
	case f >= 1000:
		return fmt.Sprintf("%.0f", f)
	case f >= 100:
		return fmt.Sprintf("%.1f", f)
	case f >= 10:
		return fmt.Sprintf("%.2f", f)
	}
	return fmt.Sprintf("%.3f", f)
}

// tables prints a Markdown table per part: measures down, engines across.
func (r *report) tables(out io.Writer) {
	fmt.Fprintf(out, "\n%d cores, load %s at the beginning, %s at the end.\n", r.Cores, r.Load, loadAverage())
	var done []string
	for _, res := range r.Results {
		if !slices.Contains(done, res.Part) {
			done = append(done, res.Part)
			r.table(out, res.Part)
		}
	}
}

func (r *report) table(out io.Writer, part string) {
	var engines, measures []string
	cells := map[[2]string]result{}
	for _, res := range r.Results {
		if res.Part != part {
			continue
		}
		if !slices.Contains(engines, res.Engine) {
			engines = append(engines, res.Engine)
		}
		label := res.Measure + ", " + res.Unit
		if !slices.Contains(measures, label) {
			measures = append(measures, label)
		}
		cells[[2]string{label, res.Engine}] = res
	}
	fmt.Fprintf(out, "\n### %s\n\n| | goal | %s |\n|---|---|%s\n", part, strings.Join(engines, " | "), strings.Repeat("---|", len(engines)))
	for _, m := range measures {
		goal := "–"
		var row []string
		for _, e := range engines {
			c, ok := cells[[2]string{m, e}]
			if !ok {
				row = append(row, "–")
				continue
			}
			if c.Goal > 0 {
				goal = fmt.Sprint(c.Goal)
			}
			row = append(row, figure(c.Value))
		}
		fmt.Fprintf(out, "| %s | %s | %s |\n", m, goal, strings.Join(row, " | "))
	}
}

func (r *report) writeJSON(path string) error {
	b, err := json.MarshalIndent(struct {
		Began   time.Time
		Cores   int
		Load    string
		Results []result
	}{r.Began, r.Cores, r.Load + " / " + loadAverage(), r.Results}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o644)
}
