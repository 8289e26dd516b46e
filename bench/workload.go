package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// workload is generated data: series × steps rows. Seeds are fixed, so runs compare.
type workload struct {
	table      string
	dimensions []string
	measures   []string
	series     [][]string // dimension values of each
	steps      int
	step       time.Duration
	decimals   []int
	value      func(r *rand.Rand, measure int, before float64) float64
	start      func(r *rand.Rand, measure int) float64
	phase      func(r *rand.Rand) time.Duration
	end        time.Time // of the last row
	queries    []class
}

// class is one kind of query; sql draws one.
type class struct {
	name string
	sql  func(r *rand.Rand, w *workload) string
}

func (w *workload) rows() int { return len(w.series) * w.steps }

// shape is how records are put into requests.
type shape int

const (
	gateway shape = iota // a request has one record each of 100 series, dimensions in each record
	device               // a request has 100 records of one series, dimensions in CommonAttributes
)

// cpuWorkload is TSBS devops' cpu: 100 hosts × 10 s × 24 h, ten tags, ten whole-numbered
// doubles that walk randomly within 0 to 100.
func cpuWorkload(scale int) workload {
	w := workload{
		table:      "cpu",
		dimensions: []string{"hostname", "region", "datacenter", "rack", "os", "arch", "team", "service", "service_version", "service_environment"},
		measures:   []string{"usage_user", "usage_system", "usage_idle", "usage_nice", "usage_iowait", "usage_irq", "usage_softirq", "usage_steal", "usage_guest", "usage_guest_nice"},
		steps:      8640 / scale,
		step:       10 * time.Second,
		decimals:   make([]int, 10),
		start:      func(r *rand.Rand, _ int) float64 { return math.Round(r.Float64() * 100) },
		value: func(r *rand.Rand, _ int, before float64) float64 {
			return min(100, max(0, math.Round(before+r.NormFloat64())))
		},
		phase:   func(*rand.Rand) time.Duration { return 0 },
		end:     time.Now().Truncate(10 * time.Second),
		queries: cpuQueries(),
	}
	r := rand.New(rand.NewPCG(1, 2))
	for h := range 100 {
		region := r.IntN(9)
		w.series = append(w.series, []string{
			fmt.Sprintf("host_%d", h), fmt.Sprintf("region-%d", region), fmt.Sprintf("region-%d%c", region, 'a'+r.IntN(3)), strconv.Itoa(r.IntN(100)),
			[]string{"Ubuntu16.10", "Ubuntu16.04LTS", "Ubuntu15.10"}[r.IntN(3)], []string{"x64", "x86"}[r.IntN(2)],
			[]string{"SF", "NYC", "LON", "CHI"}[r.IntN(4)], strconv.Itoa(r.IntN(20)), strconv.Itoa(r.IntN(2)), []string{"production", "staging", "test"}[r.IntN(3)],
		})
	}
	return w
}

// iotWorkload is 1,000 devices × 60 s × 24 h with three measures and a phase of
// their own.
func iotWorkload(scale int) workload {
	w := workload{
		table:      "iot",
		dimensions: []string{"device_id", "location"},
		measures:   []string{"temperature", "humidity", "battery_level"},
		steps:      1440,
		step:       time.Minute,
		decimals:   []int{2, 1, 1},
		start: func(r *rand.Rand, m int) float64 {
			return []float64{20 + 5*r.Float64(), 40 + 20*r.Float64(), 30 + 70*r.Float64()}[m]
		},
		value: func(r *rand.Rand, m int, before float64) float64 {
			return []float64{before + 0.05*r.NormFloat64(), before + 0.2*r.NormFloat64(), max(0, before-0.02*r.Float64())}[m]
		},
		phase:   func(r *rand.Rand) time.Duration { return time.Duration(r.IntN(60000)) * time.Millisecond },
		end:     time.Now().Truncate(time.Second),
		queries: iotQueries(),
	}
	for d := range 1000 / scale {
		w.series = append(w.series, []string{fmt.Sprintf("device-%04d", d), fmt.Sprintf("site-%02d", d%20)})
	}
	return w
}

// render returns the WriteRecords bodies, in the order of time.
func (w *workload) render(s shape) [][]byte {
	type state struct {
		rand   *rand.Rand
		values []float64
		phase  time.Duration
	}
	states := make([]state, len(w.series))
	for i := range states {
		r := rand.New(rand.NewPCG(uint64(i), 7))
		st := state{rand: r, phase: w.phase(r)}
		for m := range w.measures {
			st.values = append(st.values, w.start(r, m))
		}
		states[i] = st
	}
	// One measure list per record, in the order (step, series).
	record := func(i, step int, dims bool) string {
		st := &states[i]
		var b strings.Builder
		b.WriteByte('{')
		if dims {
			b.WriteString(w.dims(i))
			b.WriteByte(',')
		}
		at := w.end.Add(-st.phase - time.Duration(w.steps-1-step)*w.step).UnixMilli()
		fmt.Fprintf(&b, `"MeasureName":"metrics","MeasureValueType":"MULTI","Time":"%d","TimeUnit":"MILLISECONDS","MeasureValues":[`, at)
		for m, name := range w.measures {
			if m > 0 {
				b.WriteByte(',')
			}
			st.values[m] = w.value(st.rand, m, st.values[m])
			fmt.Fprintf(&b, `{"Name":"%s","Value":"%s","Type":"DOUBLE"}`, name, strconv.FormatFloat(st.values[m], 'f', max(1, w.decimals[m]), 64))
		}
		b.WriteString("]}")
		return b.String()
	}
	var bodies [][]byte
	body := func(common string, records []string) {
		bodies = append(bodies, []byte(`{"DatabaseName":"bench","TableName":"`+w.table+`",`+common+`"Records":[`+strings.Join(records, ",")+`]}`))
	}
	if s == device {
		for step := 0; step < w.steps; step += 100 {
			for i := range w.series {
				var records []string
				for k := step; k < min(step+100, w.steps); k++ {
					records = append(records, record(i, k, false))
				}
				body(`"CommonAttributes":{`+w.dims(i)+`},`, records)
			}
		}
		return bodies
	}
	for step := range w.steps {
		for i := 0; i < len(w.series); i += 100 {
			var records []string
			for k := i; k < min(i+100, len(w.series)); k++ {
				records = append(records, record(k, step, true))
			}
			body("", records)
		}
	}
	return bodies
}

func (w *workload) dims(i int) string {
	var b strings.Builder
	b.WriteString(`"Dimensions":[`)
	for d, name := range w.dimensions {
		if d > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"Name":"%s","Value":"%s","DimensionValueType":"VARCHAR"}`, name, w.series[i][d])
	}
	b.WriteByte(']')
	return b.String()
}
