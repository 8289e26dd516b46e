package segment

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/objstore"
	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/storage/embedded/codec"
	"github.com/weir-db/weir/internal/vec"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the golden dump and the corpus file")

var columns = []storage.Column{
	{Name: "t", Type: vec.DoubleType, Role: storage.Attribute},
	{Name: "n", Type: vec.BigintType, Role: storage.Attribute},
	{Name: "on", Type: vec.BooleanType, Role: storage.Attribute},
	{Name: "note", Type: vec.VarcharType, Role: storage.Attribute},
	{Name: "measure_value::double", Type: vec.DoubleType, Role: storage.MeasureValue},
}

// part is one series with its rows.
type part struct {
	series   Series
	times    []int64
	versions []int64
	data     []Data
}

func generate(r *rand.Rand, series, mostRows int) []part {
	var parts []part
	for s := range series {
		n := 1 + r.IntN(mostRows)
		p := part{series: Series{Measure: "m" + fmt.Sprint(s%3), Dims: []storage.Dim{{Name: "device", Value: fmt.Sprint("d", s)}, {Name: "site", Value: fmt.Sprint("s", s%4)}}}}
		at := int64(1_700_000_000_000_000_000)
		d := make([]Data, len(columns))
		absent := s%5 == 4 // single-measure series: only the last column
		nulls := func() []bool {
			if r.IntN(3) > 0 {
				return nil
			}
			out := make([]bool, n)
			for i := range out {
				out[i] = r.IntN(4) == 0
			}
			return out
		}
		for i := range n {
			at += 1 + r.Int64N(1e10)
			p.times = append(p.times, at)
			if s%7 == 3 {
				p.versions = append(p.versions, 1+int64(i%3))
			}
			if absent {
				d[4].Floats = append(d[4].Floats, r.NormFloat64())
				continue
			}
			d[0].Floats = append(d[0].Floats, math.Round(r.NormFloat64()*100)/100)
			d[1].Ints = append(d[1].Ints, r.Int64N(1000)-500)
			d[2].Bools = append(d[2].Bools, r.IntN(2) == 0)
			d[3].Strs = append(d[3].Strs, []string{"", "ok", "failed"}[r.IntN(3)])
		}
		if !absent {
			for c := range 4 {
				d[c].Nulls = nulls()
			}
		}
		p.data = d
		parts = append(parts, p)
	}
	return parts
}

func write(t testing.TB, store objstore.Store, key string, parts []part) {
	t.Helper()
	var b bytes.Buffer
	w := NewWriter(&b, columns)
	for _, p := range parts {
		if err := w.Add(p.series, p.times, p.versions, p.data); err != nil {
			t.Fatal(err)
		}
	}
	size, err := w.Finish()
	if err != nil || size != int64(b.Len()) {
		t.Fatalf("Finish = %d, %v; wrote %d", size, err, b.Len())
	}
	if err := store.Put(context.Background(), key, &b); err != nil {
		t.Fatal(err)
	}
}

func open(t testing.TB, store objstore.Store, key string) *Reader {
	t.Helper()
	r, err := Open(context.Background(), store, key, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// text prints the rows of a series so that they can be compared.
func text(at, version int64, d []Data, i int) string {
	var b strings.Builder
	fmt.Fprint(&b, at, "/", version)
	for c := range d {
		switch x := &d[c]; {
		case x.AllNull() || x.Nulls != nil && x.Nulls[i]:
			b.WriteString(" null")
		case x.Floats != nil:
			fmt.Fprintf(&b, " %016x", math.Float64bits(x.Floats[i]))
		case x.Ints != nil:
			fmt.Fprint(&b, " ", x.Ints[i])
		case x.Bools != nil:
			fmt.Fprint(&b, " ", x.Bools[i])
		default:
			fmt.Fprintf(&b, " %q", x.Strs[i])
		}
	}
	return b.String()
}

func linesOf(p part) []string {
	var lines []string
	for i, at := range p.times {
		v := int64(1)
		if p.versions != nil {
			v = p.versions[i]
		}
		lines = append(lines, text(at, v, p.data, i))
	}
	return lines
}

// readAll returns the rows of every series, in the order of the segment.
func readAll(r *Reader) (map[int32][]string, error) {
	got := map[int32][]string{}
	for b := range r.NumBlocks() {
		times, err := r.Times(b, nil)
		if err != nil {
			return nil, err
		}
		versions, err := r.Versions(b, nil)
		if err != nil {
			return nil, err
		}
		d := make([]Data, len(r.Columns()))
		for c := range d {
			if err := r.Column(b, c, &d[c]); err != nil {
				return nil, err
			}
		}
		i := 0
		for _, run := range r.Block(b).Runs {
			for range run.Rows {
				v := int64(1)
				if versions != nil {
					v = versions[i]
				}
				got[run.Series] = append(got[run.Series], text(times[i], v, d, i))
				i++
			}
		}
	}
	return got, nil
}

func TestRowsComeBack(t *testing.T) {
	for seed := range uint64(30) {
		random := rand.New(rand.NewPCG(seed, 9))
		parts := generate(random, 1+random.IntN(40), []int{3, 100, 700, 3000}[seed%4])
		store := objstore.NewMem()
		write(t, store, "s", parts)
		r := open(t, store, "s")
		got, err := readAll(r)
		if err != nil {
			t.Fatal(err)
		}
		rows := int64(0)
		for i, p := range parts {
			rows += int64(len(p.times))
			if !slices.Equal(got[int32(i)], linesOf(p)) {
				t.Fatalf("seed %d, series %d:\ngot  %v\nwant %v", seed, i, got[int32(i)], linesOf(p))
			}
			from, to := r.BlocksOf(int32(i))
			found := 0
			for b := from; b < to; b++ {
				for _, run := range r.Block(b).Runs {
					if run.Series == int32(i) {
						found += int(run.Rows)
					}
				}
			}
			if found != len(p.times) {
				t.Fatalf("seed %d: BlocksOf(%d) = %d, %d holds %d rows, want %d", seed, i, from, to, found, len(p.times))
			}
		}
		if r.Rows() != rows {
			t.Fatalf("Rows = %d, want %d", r.Rows(), rows)
		}
		err = r.EachSeries(func(i int, s SeriesInfo) error {
			p := parts[i]
			if s.Measure != p.series.Measure || !reflect.DeepEqual(s.Dims, p.series.Dims) || s.Rows != int64(len(p.times)) || s.MinTime != p.times[0] || s.MaxTime != p.times[len(p.times)-1] {
				t.Errorf("series %d: %+v", i, s)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestStatisticsDescribeTheirBlock(t *testing.T) {
	parts := generate(rand.New(rand.NewPCG(5, 6)), 12, 2500)
	store := objstore.NewMem()
	write(t, store, "s", parts)
	r := open(t, store, "s")
	for b := range r.NumBlocks() {
		for c, col := range r.Columns() {
			var d Data
			if err := r.Column(b, c, &d); err != nil {
				t.Fatal(err)
			}
			got, want := *r.Stats(b, c), statsOf(col.Type.Kind, &d, r.Block(b).Rows)
			// The slot of a null first or last value has no meaning.
			if got.FirstNull {
				got.First, want.First = 0, 0
			}
			if got.LastNull {
				got.Last, want.Last = 0, 0
			}
			if got.NonNull == 0 {
				got, want = Stats{}, Stats{NonNull: want.NonNull}
			}
			near := func(a, b float64) bool { return math.Abs(a-b) <= 1e-9*math.Abs(b)+1e-12 }
			if near(got.M2, want.M2) && (col.Type.Kind != vec.Double || near(math.Float64frombits(got.Sum), math.Float64frombits(want.Sum))) {
				got.M2, got.Sum = want.M2, want.Sum // rounded elsewhere
			}
			if got != want {
				t.Fatalf("block %d, column %s: got %+v, want %+v", b, col.Name, got, want)
			}
		}
	}
}

func TestLongSeriesHaveBlocksOfTheirOwn(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	parts := generate(random, 3, 1)
	long := generate(random, 1, 5000)
	for len(long[0].times) < 3000 {
		long = generate(random, 1, 5000)
	}
	long[0].series.Measure = "long"
	parts = append(parts, long[0])
	store := objstore.NewMem()
	write(t, store, "s", parts)
	r := open(t, store, "s")
	from, to := r.BlocksOf(3)
	for b := from; b < to; b++ {
		if len(r.Block(b).Runs) != 1 {
			t.Errorf("block %d of the long series has runs %v", b, r.Block(b).Runs)
		}
	}
	if len(r.Block(0).Runs) != 3 {
		t.Errorf("the short series do not share a block: %v", r.Block(0).Runs)
	}
}

func TestBlocksOfASeriesAreAlike(t *testing.T) {
	t.Parallel()
	check := func(rows int, want ...int) {
		t.Helper()
		var got []int
		for left := rows; left > 0; {
			got = append(got, blockRows(left))
			left -= blockRows(left)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%d rows: blocks of %v, want %v", rows, got, want)
		}
	}
	check(1, 1)
	check(1024, 1024)
	check(1440, 1440) // a day of minutes
	check(MaxBlockRows, MaxBlockRows)
	check(MaxBlockRows+1, 769, 768)
	check(2*1024+3, 1026, 1025)
	check(8640, 1080, 1080, 1080, 1080, 1080, 1080, 1080, 1080) // of ten seconds
	for rows := range 20_000 {
		if n := blockRows(rows + 1); n < 1 || n > MaxBlockRows || rows > MaxBlockRows && n < ownRows {
			t.Fatalf("%d rows: a block of %d", rows+1, n)
		}
	}
}

func small(t testing.TB) []byte {
	t.Helper()
	store := objstore.NewMem()
	write(t, store, "s", generate(rand.New(rand.NewPCG(7, 7)), 6, 20))
	o, err := store.Open(context.Background(), "s")
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, o.SizeBytes())
	o.ReadAt(b, 0)
	return b
}

// TestEveryFlippedBitIsFoundAndLocated changes each byte of a segment in turn.
func TestEveryFlippedBitIsFoundAndLocated(t *testing.T) {
	for _, whole := range [][]byte{small(t), walks(t)} {
		flipEach(t, whole)
	}
}

func flipEach(t *testing.T, whole []byte) {
	for i := range whole {
		b := slices.Clone(whole)
		b[i] ^= 1 << (i % 8)
		store := objstore.NewMem()
		store.Put(t.Context(), "bad", bytes.NewReader(b))
		err := func() error {
			r, err := Open(t.Context(), store, "bad", nil)
			if err != nil {
				return err
			}
			return r.Check()
		}()
		var c *CorruptError
		if !errors.As(err, &c) || c.Path != "bad" || fault.KindOf(err) != fault.Corrupt {
			t.Fatalf("byte %d of %d: %v", i, len(whole), err)
		}
	}
}

func FuzzReader(f *testing.F) {
	f.Add(small(f))
	f.Add(walks(f))
	f.Fuzz(func(t *testing.T, b []byte) {
		store := objstore.NewMem()
		store.Put(t.Context(), "x", bytes.NewReader(b))
		if r, err := Open(t.Context(), store, "x", nil); err == nil {
			r.Check()
		}
	})
}

// FuzzDecode skips the checksums, which would keep the fuzzer out.
func FuzzDecode(f *testing.F) {
	var d Data
	var decoder codec.Decoder
	f.Add([]byte{validFlags, 2, 0xaa, 1, 2, 3}, 3, 10)
	f.Fuzz(func(t *testing.T, b []byte, kind, n int) {
		if n < 1 || n > MaxBlockRows {
			return
		}
		kinds := []vec.Kind{vec.Double, vec.Bigint, vec.Boolean, vec.Varchar}
		decodeData(b, kinds[uint(kind)%4], n, &d, &decoder)
		for _, version := range []uint32{1, 2} {
			r := &Reader{version: version, columns: columns, series: n, rows: MaxBlockRows}
			r.parseIndex(b, n)
			if table, err := parseSeries(b, n, version); err == nil {
				table.Each(func(int, SeriesInfo) error { return nil })
				table.Distinct()
			}
		}
		new(Reader).parseFooter(b, 1<<20)
	})
}

// TestDumpIsStableAndOldFilesOpen: of each version of the format there is a file.
func TestDumpIsStableAndOldFilesOpen(t *testing.T) {
	if *rewrite {
		err := errors.Join(os.WriteFile("testdata/v2.segment", small(t), 0o644), os.WriteFile("testdata/v2-walks.segment", walks(t), 0o644))
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, version := range []string{"v1", "v2", "v2-walks"} {
		old, err := os.ReadFile("testdata/" + version + ".segment")
		if err != nil {
			t.Fatal(err)
		}
		store := objstore.NewMem()
		store.Put(t.Context(), version+".segment", bytes.NewReader(old))
		var b strings.Builder
		if err := open(t, store, version+".segment").Dump(&b, true); err != nil {
			t.Fatal(err)
		}
		if *rewrite {
			if err := os.WriteFile("testdata/"+version+".dump", []byte(b.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile("testdata/" + version + ".dump")
		if err != nil {
			t.Fatal(err)
		}
		if b.String() != string(want) {
			t.Errorf("the dump changed (-rewrite accepts it):\n%s", b.String())
		}
	}
}

// walks is a segment as devices fill it: regular times and walks, so blocks have prefix codes.
func walks(t testing.TB) []byte {
	t.Helper()
	r := rand.New(rand.NewPCG(8, 9))
	var parts []part
	for s := range 5 {
		p := part{series: Series{Measure: "m", Dims: []storage.Dim{{Name: "device", Value: fmt.Sprint(s)}}}, data: make([]Data, len(columns))}
		v := 500.0
		for i := range []int{700, 40, 60, 200, 1300}[s] {
			v += math.Round(r.NormFloat64() * 3)
			p.times = append(p.times, 1_700_000_000_000_000_000+int64(i)*60e9)
			p.data[0].Floats = append(p.data[0].Floats, v/10)
			p.data[1].Ints = append(p.data[1].Ints, int64(v)/50)
		}
		parts = append(parts, p)
	}
	store := objstore.NewMem()
	write(t, store, "s", parts)
	reader := open(t, store, "s")
	got, err := readAll(reader)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range parts {
		if !slices.Equal(got[int32(i)], linesOf(p)) {
			t.Fatalf("series %d does not come back", i)
		}
	}
	o, err := store.Open(context.Background(), "s")
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, o.SizeBytes())
	o.ReadAt(b, 0)
	return b
}

// TestRegularTimesTakeNoRoom: those of a series alone in a block are not stored at all.
func TestRegularTimesTakeNoRoom(t *testing.T) {
	store := objstore.NewMem()
	store.Put(t.Context(), "s", bytes.NewReader(walks(t)))
	r := open(t, store, "s")
	regular, stored := 0, 0
	for b := range r.NumBlocks() {
		step, ok := r.Regular(b)
		if ok != (len(r.Block(b).Runs) == 1) || ok && step != 60e9 {
			t.Errorf("block %d of %d runs: Regular = %d, %v", b, len(r.Block(b).Runs), step, ok)
		}
		if ok {
			regular++
		} else {
			stored++
		}
	}
	if regular < 2 || stored < 1 {
		t.Errorf("%d blocks are regular, %d are not", regular, stored)
	}
}
