package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"time"
)

// bench is one run: its settings, the peers that are here, and what was measured.
type bench struct {
	*settings
	peers  []string
	report *report

	settled bool // questions are asked after a restart only
	warm    int  // draws that do not count
}

func mib(b int64) float64 { return float64(b) / (1 << 20) }

// scaled divides by the scale, but leaves enough to draw from.
func (b *bench) scaled(n int) int { return max(n/b.scale, 100) }

func benchStart(ctx context.Context, b *bench) error {
	var took, resident []float64
	for range 9 {
		err := inFolder(func(dir string) error {
			began := time.Now()
			w := newWeir(b.settings, gateway)
			if err := w.start(ctx, dir); err != nil {
				return err
			}
			defer w.stop()
			if _, err := w.query(ctx, "SELECT 1"); err != nil {
				return err
			}
			took = append(took, ms(time.Since(began)))
			resident = append(resident, mib(w.proc.memory("VmHWM")))
			return nil
		})
		if err != nil {
			return err
		}
	}
	b.report.add(result{Part: "start", Engine: "weir", Measure: "first SELECT 1", Unit: "ms", Goal: 150}, took...)
	b.report.add(result{Part: "start", Engine: "weir", Measure: "resident peak", Unit: "MiB", Goal: 40}, resident...)
	return nil
}

// inFolder runs f with a temporary folder.
func inFolder(f func(dir string) error) error {
	dir, err := os.MkdirTemp("", "weir-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	return f(dir)
}

func benchCPU(ctx context.Context, b *bench) error {
	w := cpuWorkload(100, b.scaled(8640))
	return b.compare(ctx, "cpu", w, []shape{device, gateway})
}

func benchHosts(ctx context.Context, b *bench) error {
	w := cpuWorkload(b.scaled(4000), 360)
	w.classes = nil
	return b.compare(ctx, "hosts", w, []shape{gateway})
}

func benchIoT(ctx context.Context, b *bench) error {
	return b.compare(ctx, "iot", iotWorkload("iot", b.scaled(1000), 1440), []shape{device, gateway})
}

func benchSingle(ctx context.Context, b *bench) error {
	w := cpuWorkload(100, b.scaled(8640)/10)
	w.classes = nil
	return b.repeat(ctx, "single", w, map[string]engine{"weir single": newWeir(b.settings, single)}, []string{"weir single"}, nil)
}

// compare loads w into weir, in each shape, and into all peers, then compares sizes and
// asks the classes of w of all of them, in turns. Of weir, the last shape is asked.
func (b *bench) compare(ctx context.Context, part string, w *workload, shapes []shape) error {
	engines := map[string]engine{}
	var order []string
	for _, s := range shapes {
		name := "weir " + string(s)
		engines[name] = newWeir(b.settings, s)
		order = append(order, name)
	}
	for _, name := range b.peers {
		e, err := peers[name](b.settings)
		if err != nil {
			return err
		}
		engines[name] = e
		order = append(order, name)
	}
	return b.repeat(ctx, part, w, engines, order, func(e engine) bool {
		own, ok := e.(*weir)
		return !ok || own.shape == shapes[len(shapes)-1]
	})
}

// repeat loads every engine repeats times. After the last time it settles and sizes
// each, and asks those that keep says.
func (b *bench) repeat(ctx context.Context, part string, w *workload, engines map[string]engine, order []string, keep func(engine) bool) error {
	type loadFigures struct{ rows, cpu, peak []float64 }
	figures := map[string]*loadFigures{}
	dirs := map[string]string{}
	defer func() {
		for name, dir := range dirs {
			engines[name].stop()
			os.RemoveAll(dir)
		}
	}()
	for k := range b.repeats {
		for _, name := range order {
			e := engines[name]
			dir, err := os.MkdirTemp("", "weir-bench-")
			if err != nil {
				return err
			}
			dirs[name] = dir
			if err := e.start(ctx, dir); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			before := e.child().cpu()
			b.profileSignal(e)
			took, err := e.load(ctx, w)
			if err != nil {
				return fmt.Errorf("%s: load: %w", name, err)
			}
			b.profileSignal(e)
			cpu := e.child().cpu() - before
			f := figures[name]
			if f == nil {
				f = new(loadFigures)
				figures[name] = f
			}
			f.rows = append(f.rows, float64(w.rows())/took.Seconds())
			f.cpu = append(f.cpu, float64(w.values())/cpu.Seconds()/1e6)
			f.peak = append(f.peak, mib(e.child().memory("VmHWM")))
			b.report.say("%s: %s: %.0f rows/s, %.2f M values per CPU second, peak %.0f MiB", part, name, f.rows[k], f.cpu[k], f.peak[k])
			if k < b.repeats-1 {
				if err := e.stop(); err != nil {
					return fmt.Errorf("%s: stop: %w", name, err)
				}
				os.RemoveAll(dir)
				delete(dirs, name)
			}
		}
	}
	for _, name := range order {
		f := figures[name]
		b.report.add(result{Part: part, Engine: name, Measure: "ingest", Unit: "rows/s"}, f.rows...)
		b.report.add(result{Part: part, Engine: name, Measure: "ingest per CPU second", Unit: "M values"}, f.cpu...)
		b.report.add(result{Part: part, Engine: name, Measure: "peak memory", Unit: "MiB"}, f.peak...)
	}
	var asked []string
	for _, name := range order {
		e := engines[name]
		if own, ok := e.(*weir); ok && keep != nil && keep(e) && !b.settled {
			if err := b.ask(ctx, part, w, engines, []string{name}, " before a restart"); err != nil {
				return err
			}
			if err := own.verify(ctx, w); err != nil {
				return err
			}
		}
		if err := e.settle(ctx, w); err != nil {
			return fmt.Errorf("%s: settle: %w", name, err)
		}
		if err := e.stop(); err != nil {
			return fmt.Errorf("%s: stop: %w", name, err)
		}
		goal := map[string]float64{"cpu": 0.33, "iot": 0.38, "hosts": 0.5}[part]
		b.report.add(result{Part: part, Engine: name, Measure: "bytes per value", Unit: "B", Goal: goal}, float64(diskUsage(dirs[name]))/float64(w.values()))
		if keep != nil && keep(e) && len(w.classes) > 0 {
			if err := e.start(ctx, dirs[name]); err != nil {
				return fmt.Errorf("%s: start again: %w", name, err)
			}
			if err := e.child().waitIdle(ctx); err != nil {
				return err
			}
			asked = append(asked, name)
		}
	}
	return b.ask(ctx, part, w, engines, asked, "")
}

// verify counts the rows.
func (s *weir) verify(ctx context.Context, w *workload) error {
	a, err := s.query(ctx, "SELECT count(*) FROM bench."+w.table)
	if err == nil && a.first() != fmt.Sprint(w.rows()) {
		err = fmt.Errorf("weir counts %s rows, %d were written", a.first(), w.rows())
	}
	return err
}

// patience is how long a class may take an engine, all draws together. An engine that is
// slower answers fewer draws.
const patience = 15 * time.Second

// wants reports whether a class is to be asked.
func (b *bench) wants(c *class) bool {
	return len(b.classes) == 0 || slices.ContainsFunc(b.classes, func(text string) bool { return strings.Contains(c.name, text) })
}

// ask draws each class warm + rounds times; each draw goes to every engine before the next.
func (b *bench) ask(ctx context.Context, part string, w *workload, engines map[string]engine, names []string, when string) error {
	if len(names) == 0 {
		return nil
	}
	for i := range w.classes {
		c := &w.classes[i]
		if !b.wants(c) {
			continue
		}
		r := rand.New(rand.NewPCG(11, 13))
		took, cpu := map[string][]float64{}, map[string][]float64{}
		rows := map[string]int{}
		spent := map[string]time.Duration{}
		for _, name := range names {
			b.profileSignal(engines[name])
		}
		for k := range b.rounds + b.warm {
			d := c.draw(r, w)
			for _, name := range names {
				if spent[name] > patience && len(took[name]) > 2 {
					continue
				}
				before := engines[name].child().threads()
				n, t, err := engines[name].ask(ctx, c, &d)
				used := engines[name].child().threads() - before
				if errors.Is(err, errNotAsked) {
					continue
				}
				if err != nil {
					return fmt.Errorf("%s: %s: %w", name, c.name, err)
				}
				spent[name] += t
				if rows[name] = n; k >= b.warm || spent[name] > patience {
					took[name], cpu[name] = append(took[name], ms(t)), append(cpu[name], ms(used))
				}
			}
		}
		for _, name := range names {
			b.profileSignal(engines[name])
			if len(took[name]) > 0 {
				b.report.add(result{Part: part, Engine: name + when, Measure: c.name, Unit: "ms", Goal: c.goal, Rows: rows[name]}, took[name]...)
				b.report.add(result{Part: part, Engine: name + when, Measure: c.name, Unit: "ms of its processors"}, cpu[name]...)
			}
		}
	}
	return nil
}

// benchWide has two rows a device, enough for "and then one more round"; the whole workload has 24.
func benchWide(ctx context.Context, b *bench) error { return b.wide(ctx, "wide", 1_000_000, 2) }

func benchWide24(ctx context.Context, b *bench) error { return b.wide(ctx, "wide24", 1_000_000, 24) }

func benchWide10M(ctx context.Context, b *bench) error { return b.wide(ctx, "wide10m", 10_000_000, 1) }

func (b *bench) wide(ctx context.Context, part string, devices, steps int) error {
	w := iotWorkload("wide", b.scaled(devices), steps)
	e := newWeir(b.settings, gateway)
	return inFolder(func(dir string) error {
		if err := e.start(ctx, dir); err != nil {
			return err
		}
		defer func() { e.stop() }() // whichever runs at the end
		b.profileSignal(e)
		took, err := e.load(ctx, w)
		if err != nil {
			return err
		}
		b.profileSignal(e)
		add := func(measure, unit string, goal float64, values ...float64) {
			b.report.add(result{Part: part, Engine: "weir gateway", Measure: measure, Unit: unit, Goal: goal}, values...)
		}
		add("ingest", "rows/s", 0, float64(w.rows())/took.Seconds())
		add("ingest per CPU second", "M values", 0, float64(w.values())/e.proc.cpu().Seconds()/1e6)
		add("peak memory", "MiB", 0, mib(e.proc.memory("VmHWM")))
		if err := e.verify(ctx, w); err != nil {
			return err
		}
		began := time.Now()
		if err := e.stop(); err != nil {
			return err
		}
		add("orderly end", "ms", 10_000, ms(time.Since(began)))
		began = time.Now()
		if err := e.start(ctx, dir); err != nil {
			return err
		}
		if err := e.verify(ctx, w); err != nil {
			return err
		}
		add("open and count", "ms", 0, ms(time.Since(began)))
		add("resident per series after opening", "B", 300, float64(e.proc.memory("VmRSS"))/float64(len(w.series)))
		add("bytes per value", "B", 0, float64(diskUsage(dir))/float64(w.values()))
		r := rand.New(rand.NewPCG(11, 13))
		timed := func(measure string, goal float64, n int, sql func() string) error {
			var list, cpu []float64
			b.profileSignal(e)
			for range n {
				began, before := time.Now(), e.proc.cpu()
				if _, err := e.query(ctx, sql()); err != nil {
					return err
				}
				list, cpu = append(list, ms(time.Since(began))), append(cpu, ms(e.proc.cpu()-before))
			}
			b.profileSignal(e)
			add(measure, "ms", goal, list...)
			add(measure, "ms of its processors", 0, cpu...)
			return nil
		}
		return errors.Join(
			timed("last value of all, on the wire", 1000, 3, func() string {
				return "SELECT device_id, max_by(temperature, time) FROM bench.wide GROUP BY device_id"
			}),
			timed("last value of all, counted in the server", 0, 3, func() string {
				return "SELECT count(*), sum(t) FROM (SELECT device_id, max_by(temperature, time) AS t FROM bench.wide GROUP BY device_id)"
			}),
			timed("last value of one", 1, max(b.rounds, 5), func() string {
				return "SELECT max_by(temperature, time) FROM bench.wide WHERE device_id = '" + w.series[r.IntN(len(w.series))][0] + "'"
			}),
			timed("SHOW MEASURES", 0, 5, func() string { return "SHOW MEASURES FROM bench.wide" }),
			timed("DESCRIBE", 0, 5, func() string { return "DESCRIBE bench.wide" }),
			timed("locations", 0, 5, func() string { return "SELECT DISTINCT location FROM bench.wide" }),
			timed("devices, counted", 0, 5, func() string { return "SELECT count(DISTINCT device_id) FROM bench.wide" }),
			timed("rows of devices LIKE", 0, 5, func() string { return "SELECT count(*) FROM bench.wide WHERE device_id LIKE '%77'" }),
			timed("rows of another location", 0, 5, func() string { return "SELECT count(*) FROM bench.wide WHERE location <> '" + w.series[0][1] + "'" }),
			timed("rows of one location OR one device", 0, 5, func() string {
				return "SELECT count(*) FROM bench.wide WHERE location = '" + w.series[0][1] + "' OR device_id = '" + w.series[1][0] + "'"
			}),
		)
	})
}

func benchOpen(ctx context.Context, b *bench) error { return b.open(ctx, "open", 7000) }

func benchOpen100(ctx context.Context, b *bench) error { return b.open(ctx, "open100", 70_000) }

// open opens a store of a day of devices to the first answer that needs all rows.
func (b *bench) open(ctx context.Context, part string, devices int) error {
	w := iotWorkload("open", b.scaled(devices), 1440)
	e := newWeir(b.settings, device)
	return inFolder(func(dir string) error {
		if err := e.start(ctx, dir); err != nil {
			return err
		}
		defer func() { e.stop() }() // whichever runs at the end
		if _, err := e.load(ctx, w); err != nil {
			return err
		}
		open := func(measure string, end func() error) error {
			var list, resident, cpu []float64
			for range 5 {
				if err := end(); err != nil {
					return err
				}
				began := time.Now()
				if err := e.start(ctx, dir); err != nil {
					return err
				}
				if err := e.verify(ctx, w); err != nil {
					return err
				}
				list = append(list, ms(time.Since(began)))
				resident = append(resident, mib(e.proc.memory("VmRSS")))
				cpu = append(cpu, ms(e.proc.cpu()))
			}
			b.report.add(result{Part: part, Engine: "weir device", Measure: measure, Unit: "ms", Goal: 2000, Rows: w.rows()}, list...)
			b.report.add(result{Part: part, Engine: "weir device", Measure: measure, Unit: "ms of its processors"}, cpu...)
			b.report.add(result{Part: part, Engine: "weir device", Measure: measure + ": resident", Unit: "MiB"}, resident...)
			return nil
		}
		if err := open("opened after kill -9", func() error { e.kill(); return nil }); err != nil {
			return err
		}
		return open("opened after an orderly end", e.stop)
	})
}

func median(list []float64) float64 { return percentile(list, 0.5) }

func percentile(list []float64, p float64) float64 {
	list = slices.Sorted(slices.Values(list))
	return list[min(len(list)-1, int(p*float64(len(list))))]
}
