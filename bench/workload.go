package main

import (
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"strconv"
	"time"
)

// workload is generated data: series × steps rows. Seeds are fixed, so that all
// engines get the same rows and runs compare.
type workload struct {
	table      string
	dimensions []string
	measures   []string
	series     [][]string // dimension values of each
	steps      int
	step       time.Duration
	decimals   []int // of each measure; -1 for a BIGINT
	value      func(r *rand.Rand, measure int, before float64) float64
	start      func(r *rand.Rand, measure int) float64
	phase      func(r *rand.Rand) time.Duration
	end        time.Time // of the last row
	classes    []class
}

// row is one row of a workload. Its values are valid until the next one.
type row struct {
	series int
	ms     int64 // time since 1970 UTC
	values []float64
}

// shape is how records are put into requests of WriteRecords.
type shape string

const (
	gateway shape = "gateway" // a request has one record each of 100 series, dimensions in each record
	device  shape = "device"  // a request has 100 records of one series, dimensions in CommonAttributes
	single  shape = "single"  // a request has one row, as one single-measure record per measure
)

func (w *workload) rows() int   { return len(w.series) * w.steps }
func (w *workload) values() int { return w.rows() * len(w.measures) }
func (w *workload) begin() time.Time {
	return w.end.Add(-time.Duration(w.steps) * w.step)
}

// each yields all rows: per series in the order of time, block steps of one series
// before the next.
func (w *workload) each(block int) iter.Seq[row] {
	type state struct {
		rand   *rand.Rand
		values []float64
		phase  time.Duration
	}
	return func(yield func(row) bool) {
		states := make([]state, len(w.series))
		for i := range states {
			r := rand.New(rand.NewPCG(uint64(i), 7))
			st := state{rand: r, phase: w.phase(r)}
			for m := range w.measures {
				st.values = append(st.values, w.start(r, m))
			}
			states[i] = st
		}
		for step := 0; step < w.steps; step += block {
			for i := range states {
				st := &states[i]
				for k := step; k < min(step+block, w.steps); k++ {
					for m := range w.measures {
						st.values[m] = w.value(st.rand, m, st.values[m])
					}
					at := w.end.Add(-st.phase - time.Duration(w.steps-1-k)*w.step)
					if !yield(row{i, at.UnixMilli(), st.values}) {
						return
					}
				}
			}
		}
	}
}

// appendValue appends a measure's value as a client would print it.
func (w *workload) appendValue(dst []byte, r row, measure int) []byte {
	if w.decimals[measure] < 0 {
		return strconv.AppendInt(dst, int64(r.values[measure]), 10)
	}
	return strconv.AppendFloat(dst, r.values[measure], 'f', max(1, w.decimals[measure]), 64)
}

// kind is the type of a measure.
func (w *workload) kind(measure int) string {
	if w.decimals[measure] < 0 {
		return "BIGINT"
	}
	return "DOUBLE"
}

// cpuWorkload is TSBS devops' cpu: hosts × 10 s, ten tags, ten whole-numbered doubles
// that walk randomly within 0 to 100.
func cpuWorkload(hosts, steps int) *workload {
	w := &workload{
		table:      "cpu",
		dimensions: []string{"hostname", "region", "datacenter", "rack", "os", "arch", "team", "service", "service_version", "service_environment"},
		measures:   []string{"usage_user", "usage_system", "usage_idle", "usage_nice", "usage_iowait", "usage_irq", "usage_softirq", "usage_steal", "usage_guest", "usage_guest_nice"},
		steps:      steps,
		step:       10 * time.Second,
		decimals:   make([]int, 10),
		start:      func(r *rand.Rand, _ int) float64 { return math.Round(r.Float64() * 100) },
		value: func(r *rand.Rand, _ int, before float64) float64 {
			return min(100, max(0, math.Round(before+r.NormFloat64())))
		},
		phase:   func(*rand.Rand) time.Duration { return 0 },
		end:     time.Now().Truncate(10 * time.Second),
		classes: cpuClasses(),
	}
	r := rand.New(rand.NewPCG(1, 2))
	for h := range hosts {
		region := r.IntN(9)
		w.series = append(w.series, []string{
			fmt.Sprintf("host_%d", h), fmt.Sprintf("region-%d", region), fmt.Sprintf("region-%d%c", region, 'a'+r.IntN(3)), strconv.Itoa(r.IntN(100)),
			[]string{"Ubuntu16.10", "Ubuntu16.04LTS", "Ubuntu15.10"}[r.IntN(3)], []string{"x64", "x86"}[r.IntN(2)],
			[]string{"SF", "NYC", "LON", "CHI"}[r.IntN(4)], strconv.Itoa(r.IntN(20)), strconv.Itoa(r.IntN(2)), []string{"production", "staging", "test"}[r.IntN(3)],
		})
	}
	return w
}

// iotWorkload is devices × 60 s with three measures and a phase of their own.
func iotWorkload(table string, devices, steps int) *workload {
	w := &workload{
		table:      table,
		dimensions: []string{"device_id", "location"},
		measures:   []string{"temperature", "humidity", "battery_level"},
		steps:      steps,
		step:       time.Minute,
		decimals:   []int{2, 1, 1},
		start: func(r *rand.Rand, m int) float64 {
			return []float64{20 + 5*r.Float64(), 40 + 20*r.Float64(), 30 + 70*r.Float64()}[m]
		},
		value: func(r *rand.Rand, m int, before float64) float64 {
			switch m {
			case 0:
				return before + 0.05*r.NormFloat64()
			case 1:
				return before + 0.2*r.NormFloat64()
			}
			return max(0, before-0.02*r.Float64())
		},
		phase:   func(r *rand.Rand) time.Duration { return time.Duration(r.IntN(60000)) * time.Millisecond },
		end:     time.Now().Truncate(time.Second),
		classes: iotClasses(),
	}
	for d := range devices {
		w.series = append(w.series, []string{fmt.Sprintf("device-%07d", d), fmt.Sprintf("site-%02d", d%20)})
	}
	return w
}
