package spill

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/vec"
	"github.com/weir-db/weir/internal/vfs"
)

// types are those of random batches.
var types = []vec.Type{
	vec.BigintType, vec.DoubleType, vec.BooleanType, vec.VarcharType, vec.TimestampType, vec.UnknownType,
	vec.ArrayOf(vec.VarcharType), vec.TimeSeriesOf(vec.DoubleType), vec.ArrayOf(vec.ArrayOf(vec.BigintType)),
	vec.RowOf(vec.Field{Name: "a", Type: vec.DateType}, vec.Field{Name: "b", Type: vec.ArrayOf(vec.BooleanType)}),
}

func randomValue(r *rand.Rand, t vec.Type) vec.Value {
	if r.IntN(8) == 0 || t.Kind == vec.Unknown {
		return vec.Null(t)
	}
	v := vec.Value{Type: t}
	switch t.Kind {
	case vec.Double:
		v.Float = []float64{r.NormFloat64(), math.NaN(), math.Inf(-1), math.Copysign(0, -1), 1}[r.IntN(5)]
	case vec.Boolean:
		v.Bool = r.IntN(2) == 0
	case vec.Varchar:
		v.Str = strings.Repeat("ä", r.IntN(4)) + fmt.Sprint(r.IntN(9))
	case vec.Array, vec.TimeSeries:
		elem := *t.Elem
		if t.Kind == vec.TimeSeries {
			elem = vec.PointType(elem)
		}
		for range r.IntN(4) {
			e := randomValue(r, elem)
			if t.Kind == vec.TimeSeries {
				e = vec.Value{Type: elem, List: []vec.Value{vec.Int(vec.TimestampType, r.Int64()), randomValue(r, *t.Elem)}}
			}
			v.List = append(v.List, e)
		}
	case vec.Row:
		for _, f := range t.Fields {
			v.List = append(v.List, randomValue(r, f.Type))
		}
	default:
		v.Int = []int64{r.Int64N(100), math.MinInt64, math.MaxInt64, r.Int64()}[r.IntN(4)]
	}
	return v
}

// randomVector makes a vector of n rows in any form.
func randomVector(r *rand.Rand, t vec.Type, n int) *vec.Vector {
	if t.Kind == vec.Unknown {
		return vec.NullsOf(t, n)
	}
	flat := func(n int) *vec.Vector {
		b := vec.NewBuilder(t, n)
		for range n {
			b.Append(randomValue(r, t))
		}
		return b.Vector()
	}
	switch r.IntN(4) {
	case 0:
		return vec.Const(randomValue(r, t), n)
	case 1:
		index := make([]int32, n)
		dict := flat(1 + r.IntN(2*n))
		for i := range index {
			index[i] = int32(r.IntN(min(1+r.IntN(5), dict.Len())))
		}
		return vec.OfDict(index, dict)
	case 2:
		return flat(n+7).Slice(3, n+3)
	}
	return flat(n)
}

func randomBatch(r *rand.Rand, n int) *vec.Batch {
	b := &vec.Batch{Len: n}
	for _, t := range types {
		b.Columns = append(b.Columns, randomVector(r, t, n))
	}
	return b
}

// text is all values of a batch.
func text(b *vec.Batch) string {
	var s strings.Builder
	for i := range b.Len {
		for _, c := range b.Columns {
			fmt.Fprintf(&s, "%v|", c.Value(i))
		}
		s.WriteByte('\n')
	}
	return s.String()
}

func space(t *testing.T, fsys vfs.FS, o Options) *Space {
	t.Helper()
	s, err := Open(fsys, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestRunsGiveBackEveryTypeAndForm(t *testing.T) {
	t.Parallel()
	const seed = 1
	r := rand.New(rand.NewPCG(seed, 2))
	a := space(t, vfs.NewMem(), Options{}).Area()
	defer a.Close()
	for range 20 {
		w := a.Create(types)
		var want []string
		rows := int64(0)
		for range r.IntN(6) {
			b := randomBatch(r, 1+r.IntN(200))
			if err := w.Append(t.Context(), b); err != nil {
				t.Fatal(err)
			}
			want = append(want, text(b))
			rows += int64(b.Len)
		}
		run, err := w.Finish()
		if err != nil || run.Rows() != rows || run.Batches() != len(want) {
			t.Fatalf("seed %d: %d rows in %d batches, want %d in %d; %v", seed, run.Rows(), run.Batches(), rows, len(want), err)
		}
		for range 2 { // a run can be read again
			d := run.Read()
			for k := 0; ; k++ {
				b, err := d.Next(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if b == nil {
					if k != len(want) {
						t.Fatalf("%d batches, want %d", k, len(want))
					}
					break
				}
				if err := b.Check(); err != nil {
					t.Fatal(err)
				}
				if got := text(b); got != want[k] {
					t.Fatalf("seed %d: batch is\n%swant\n%s", seed, got, want[k])
				}
			}
			d.Close()
		}
		run.Remove()
	}
}

func someRun(t *testing.T, a *Area, batches int) *Run {
	t.Helper()
	r := rand.New(rand.NewPCG(3, 4))
	w := a.Create(types)
	for range batches {
		if err := w.Append(t.Context(), randomBatch(r, 500)); err != nil {
			t.Fatal(err)
		}
	}
	run, err := w.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return run
}

func TestSpaceIsFreeAgainAfterRemoveAndClose(t *testing.T) {
	t.Parallel()
	fsys := vfs.NewMem()
	s := space(t, fsys, Options{})
	a, other := s.Area(), s.Area()
	first, second := someRun(t, a, 2), someRun(t, a, 3)
	third := someRun(t, other, 1)
	if got, want := s.UsedBytes(), first.SizeBytes()+second.SizeBytes()+third.SizeBytes(); got != want || got == 0 {
		t.Fatalf("%d bytes used, want %d", got, want)
	}
	first.Remove()
	first.Remove()
	if a.UsedBytes() != second.SizeBytes() || a.WrittenBytes() != first.SizeBytes()+second.SizeBytes() {
		t.Errorf("after Remove: %d used, %d written", a.UsedBytes(), a.WrittenBytes())
	}
	a.Close()
	a.Close()
	other.Close()
	names, err := fsys.List(".")
	if err != nil || s.UsedBytes() != 0 || len(names) > 0 {
		t.Errorf("after Close: %d bytes used, folder %v, %v", s.UsedBytes(), names, err)
	}
}

func TestOpenRemovesWhatAKilledProcessLeftAndNothingElse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	fsys, err := vfs.Real(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"query-7/1.run", "query-7/2.run", "query-x/1.run", "notes"} {
		if folder, _, ok := strings.Cut(name, "/"); ok {
			if err := fsys.MkdirAll(folder); err != nil {
				t.Fatal(err)
			}
		}
		f, err := fsys.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	s := space(t, fsys, Options{})
	names, _ := fsys.List(".")
	if want := []string{"lock", "notes", "query-x"}; !slices.Equal(names, want) {
		t.Errorf("folder has %v, want %v", names, want)
	}
	if _, err := Open(fsys, Options{}); !errors.Is(err, vfs.ErrLocked) {
		t.Errorf("a second Open: %v, want ErrLocked", err)
	}
	_ = s
}

func TestLimitsNameThemselvesAndTheirSettings(t *testing.T) {
	t.Parallel()
	check := func(o Options, kind fault.Kind, want string) {
		t.Helper()
		s := space(t, vfs.NewMem(), o)
		a := s.Area()
		w := a.Create(types)
		r := rand.New(rand.NewPCG(5, 6))
		var err error
		for range 50 {
			if err = w.Append(t.Context(), randomBatch(r, 500)); err != nil {
				break
			}
		}
		if fault.KindOf(err) != kind || !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("error = %v of kind %v, want %q of kind %v", err, fault.KindOf(err), want, kind)
		}
		a.Close()
		if s.UsedBytes() != 0 {
			t.Errorf("%d bytes are used by nobody", s.UsedBytes())
		}
	}
	check(Options{QueryBytes: 64 << 10, QuerySetting: "--q"}, fault.Execution, "its limit of 64 KiB on temporary files; raise --q")
	check(Options{LimitBytes: 64 << 10, Setting: "--s"}, fault.Throttled, "their common limit of 64 KiB on temporary files; try again later or raise --s")
}

func TestFullDiskNamesLimitsAndSettings(t *testing.T) {
	t.Parallel()
	for n := range 4 { // folder aside: create, write, write
		fail, _ := vfs.FailAfter(n, vfs.DiskFull)
		s := space(t, vfs.Inject(vfs.NewMem(), fail), Options{QuerySetting: "--q", Setting: "--s"})
		a := s.Area()
		w := a.Create(types)
		r := rand.New(rand.NewPCG(7, 8))
		var err error
		for range 5 {
			if err = w.Append(t.Context(), randomBatch(r, 500)); err != nil {
				break
			}
		}
		if !errors.Is(err, syscall.ENOSPC) || fault.KindOf(err) != fault.Execution || !strings.Contains(err.Error(), "the limits --q (16 GiB) and --s (32 GiB)") {
			t.Errorf("after %d operations: %v", n, err)
		}
		w.Abort()
		a.Close()
	}
}

func TestDamagedRunIsToldWithPlace(t *testing.T) {
	t.Parallel()
	fsys := vfs.NewMem()
	a := space(t, fsys, Options{}).Area()
	defer a.Close()
	run := someRun(t, a, 3)
	f, err := fsys.OpenReadWrite(run.name)
	if err != nil {
		t.Fatal(err)
	}
	at := run.frames[1].offset + 5
	var b [1]byte
	f.ReadAt(b[:], at)
	b[0] ^= 0x40
	f.WriteAt(b[:], at)
	f.Close()
	d := run.Read()
	defer d.Close()
	if _, err := d.Next(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err = d.Next(t.Context())
	if want := fmt.Sprintf("damaged at byte %d", run.frames[1].offset); fault.KindOf(err) != fault.Corrupt || !strings.Contains(fmt.Sprint(err), want) {
		t.Errorf("error = %v, want %q", err, want)
	}
}

func TestReadErrorsAreTold(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	fsys := vfs.Inject(vfs.NewMem(), func(op vfs.Op, _ string) error {
		if op == vfs.OpRead {
			return broken
		}
		return nil
	})
	a := space(t, fsys, Options{}).Area()
	defer a.Close()
	d := someRun(t, a, 1).Read()
	defer d.Close()
	if _, err := d.Next(t.Context()); !errors.Is(err, broken) || fault.KindOf(err) != fault.Unavailable {
		t.Errorf("error = %v", err)
	}
}

func TestWriterAndReaderEndWithTheContext(t *testing.T) {
	t.Parallel()
	a := space(t, vfs.NewMem(), Options{}).Area()
	defer a.Close()
	run := someRun(t, a, 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := run.Read().Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("read: %v", err)
	}
	if err := a.Create(types).Append(ctx, randomBatch(rand.New(rand.NewPCG(1, 1)), 3)); !errors.Is(err, context.Canceled) {
		t.Errorf("write: %v", err)
	}
}

func TestFramesCutShortAreRefused(t *testing.T) {
	t.Parallel()
	var e encoder
	raw := e.appendBatch(nil, types, randomBatch(rand.New(rand.NewPCG(9, 9)), 40))
	for n := range raw {
		if _, err := decodeBatch(raw[:n:n], types); err == nil {
			t.Fatalf("%d of %d bytes are taken for a batch", n, len(raw))
		}
	}
}

func BenchmarkRun(b *testing.B) {
	fsys, err := vfs.Real(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	s, err := Open(fsys, Options{})
	if err != nil {
		b.Fatal(err)
	}
	const n = 1 << 14
	r := rand.New(rand.NewPCG(1, 1))
	ints, floats, strs := make([]int64, n), make([]float64, n), make([]string, n)
	for i := range n {
		ints[i], floats[i], strs[i] = 1e18+r.Int64N(1e12), r.Float64(), fmt.Sprintf("device-%05d", r.IntN(1e5))
	}
	batch := &vec.Batch{Len: n, Columns: []*vec.Vector{vec.OfInts(vec.TimestampType, ints, nil), vec.OfFloats(floats, nil), vec.OfStrs(strs, nil)}}
	three := []vec.Type{vec.TimestampType, vec.DoubleType, vec.VarcharType}
	b.Run("write", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			a := s.Area()
			w := a.Create(three)
			for range 16 {
				if err := w.Append(context.Background(), batch); err != nil {
					b.Fatal(err)
				}
			}
			if _, err := w.Finish(); err != nil {
				b.Fatal(err)
			}
			a.Close()
		}
		b.ReportMetric(float64(b.N)*16*n/b.Elapsed().Seconds(), "rows/s")
	})
	b.Run("read", func(b *testing.B) {
		a := s.Area()
		defer a.Close()
		w := a.Create(three)
		for range 16 {
			if err := w.Append(context.Background(), batch); err != nil {
				b.Fatal(err)
			}
		}
		run, err := w.Finish()
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			d := run.Read()
			for {
				got, err := d.Next(context.Background())
				if err != nil {
					b.Fatal(err)
				}
				if got == nil {
					break
				}
			}
			d.Close()
		}
		b.ReportMetric(float64(b.N)*16*n/b.Elapsed().Seconds(), "rows/s")
	})
}
