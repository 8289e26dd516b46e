package series

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/weir-db/weir/internal/storage"
)

func keysOf(keys ...[]byte) *Keys {
	var k Keys
	for _, key := range keys {
		k.Bytes = append(k.Bytes, key...)
		k.Ends = append(k.Ends, len(k.Bytes))
	}
	return &k
}

func TestOrderOfDimensionsMakesNoNewSeries(t *testing.T) {
	a := AppendKey(nil, "m", []storage.Dim{{Name: "a", Value: "1"}, {Name: "b", Value: "2"}})
	dims := []storage.Dim{{Name: "b", Value: "2"}, {Name: "a", Value: "1"}}
	b := AppendKey(nil, "m", dims)
	if string(a) != string(b) {
		t.Errorf("%q and %q", a, b)
	}
	if dims[0].Name != "b" {
		t.Error("the caller's dimensions were reordered")
	}
}

func TestResolveIsStable(t *testing.T) {
	r := NewRegistry()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 1000 {
				key := AppendKey(nil, "m", []storage.Dim{{Name: "d", Value: fmt.Sprint(i)}})
				if _, err := r.Resolve(nil, keysOf(key, key)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	v := r.View()
	if v.Len() != 1000 {
		t.Fatalf("%d series, want 1000", v.Len())
	}
	d := v.Dimension("d")
	for id := range ID(v.Len()) {
		code, ok := d.Code(id)
		if !ok {
			t.Fatalf("series %d lacks its dimension", id)
		}
		key := AppendKey(nil, v.Measure(id), []storage.Dim{{Name: "d", Value: d.Values[code]}})
		if got, ok := r.Find(key); !ok || got != id {
			t.Fatalf("series %d is found as %d, %v", id, got, ok)
		}
	}
}

func TestParseKeyRefusesGarbage(t *testing.T) {
	good := AppendKey(nil, "m", []storage.Dim{{Name: "a", Value: "1"}, {Name: "b", Value: ""}})
	if m, dims, err := ParseKey(good); err != nil || m != "m" || len(dims) != 2 {
		t.Errorf("%q %v %v", m, dims, err)
	}
	for _, bad := range [][]byte{good[:len(good)-1], {5, 'a'}, {0xff}, append([]byte{1, 'm'}, 1, 'b', 0, 1, 'a', 0)} {
		if _, _, err := ParseKey(bad); err == nil {
			t.Errorf("%q parses", bad)
		}
	}
}

func BenchmarkResolve(b *testing.B) {
	r := NewRegistry()
	var keys Keys
	for i := range 100 {
		keys.Bytes = AppendKey(keys.Bytes, "metrics", []storage.Dim{{Name: "device_id", Value: fmt.Sprint("device-", i)}, {Name: "location", Value: "plant-7"}})
		keys.Ends = append(keys.Ends, len(keys.Bytes))
	}
	var ids []ID
	for b.Loop() {
		ids, _ = r.Resolve(ids[:0], &keys)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100, "ns/series")
}

// BenchmarkResolveMany registers a million series, as opening a first segment does, and then looks them all up, in that order and in another,
// as opening others does.
func BenchmarkResolveMany(b *testing.B) {
	const many, batch = 1_000_000, 1024
	batches := func(order []int) (all []Keys) {
		for from := 0; from < many; from += batch {
			var keys Keys
			for _, i := range order[from:min(from+batch, many)] {
				keys.Bytes = AppendKey(keys.Bytes, "metrics", []storage.Dim{{Name: "device_id", Value: fmt.Sprintf("device-%07d", i)}, {Name: "location", Value: fmt.Sprint("plant-", i%20)}})
				keys.Ends = append(keys.Ends, len(keys.Bytes))
			}
			all = append(all, keys)
		}
		return all
	}
	random := rand.New(rand.NewPCG(1, 1)).Perm(many)
	order := slices.Sorted(slices.Values(random))
	known := NewRegistry()
	run := func(name string, all []Keys, r func() *Registry) {
		b.Run(name, func(b *testing.B) {
			var ids []ID
			for b.Loop() {
				ids = ids[:0]
				registry := r()
				for i := range all {
					ids, _ = registry.Resolve(ids, &all[i])
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/many, "ns/series")
		})
	}
	run("new", batches(order), NewRegistry)
	for _, keys := range batches(order) {
		known.Resolve(nil, &keys)
	}
	run("known, in order", batches(order), func() *Registry { return known })
	run("known, in another", batches(random), func() *Registry { return known })
}

func TestKeysHaveOneIdInWhateverOrderTheyAreAsked(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(7, 7))
	r, want := NewRegistry(), map[string]ID{}
	for range 200 {
		var keys Keys
		from := random.IntN(500)
		for i := range 1 + random.IntN(60) {
			n := from + i // in order, with steps out of it and keys asked twice
			if random.IntN(10) == 0 {
				n = random.IntN(500)
			}
			keys.Bytes = AppendKey(keys.Bytes, fmt.Sprint("m", n%2), []storage.Dim{{Name: "d", Value: fmt.Sprint(n / 2)}})
			keys.Ends = append(keys.Ends, len(keys.Bytes))
		}
		before := []ID{ID(random.IntN(600))} // of whoever asked before: it may say anything
		ids, err := r.Resolve(before, &keys)
		if err != nil || len(ids) != 1+len(keys.Ends) || ids[0] != before[0] {
			t.Fatalf("%d ids of %d keys, %v", len(ids), len(keys.Ends), err)
		}
		for i, id := range ids[1:] {
			key := string(keys.Key(i))
			if known, ok := want[key]; ok && known != id {
				t.Fatalf("key %q: id %d, and %d before", key, id, known)
			}
			want[key] = id
		}
	}
	if len(want) != r.Len() {
		t.Errorf("%d series of %d keys", r.Len(), len(want))
	}
}

func TestWithFindsTheSeriesOfAValue(t *testing.T) {
	r := NewRegistry()
	for i := range 10 {
		key := AppendKey(nil, "m", []storage.Dim{{Name: "d", Value: fmt.Sprint(i)}, {Name: "odd", Value: fmt.Sprint(i % 2)}})
		r.Resolve(nil, keysOf(key))
	}
	v := r.View()
	r.Resolve(nil, keysOf(AppendKey(nil, "later", []storage.Dim{{Name: "odd", Value: "1"}})))
	check := func(name string, values []string, want string) {
		t.Helper()
		if got := fmt.Sprint(r.With(v, name, values)); got != want {
			t.Errorf("%s of %v: %s, want %s", name, values, got, want)
		}
	}
	check("odd", []string{"1"}, "[1 3 5 7 9]")
	check("d", []string{"7", "2", "7", "none"}, "[2 7]")
	check("none", []string{"1"}, "[]")
}

func TestSeriesComeBackAndCompareAsTheirKeys(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	r := NewRegistry()
	var keys Keys
	text := func() string {
		return strings.Repeat(string(rune('a'+rng.IntN(3))), []int{0, 1, 2, 127, 128, 300}[rng.IntN(6)])
	}
	for range 300 {
		var dims []storage.Dim
		for _, k := range rng.Perm(rng.IntN(4)) {
			dims = append(dims, storage.Dim{Name: fmt.Sprint(strings.Repeat("n", 1+127*rng.IntN(2)), k), Value: text()})
		}
		keys.Bytes = AppendKey(keys.Bytes, text(), dims)
		keys.Ends = append(keys.Ends, len(keys.Bytes))
	}
	ids, err := r.Resolve(nil, &keys)
	if err != nil {
		t.Fatal(err)
	}
	again, _ := r.Resolve(nil, &keys)
	v := r.View()
	for i, id := range ids {
		key := keys.Key(i)
		measure, dims := v.Series(id)
		if got := AppendKey(nil, measure, dims); !bytes.Equal(got, key) || again[i] != id {
			t.Fatalf("series %d of key %q came back as %q, %d", id, key, got, again[i])
		}
		if got := r.AppendKeyOf(nil, id); !bytes.Equal(got, appendString(nil, string(key))) {
			t.Fatalf("AppendKeyOf(%d) = %q", id, got)
		}
		for j, other := range ids {
			if got, want := v.Compare(id, other), bytes.Compare(key, keys.Key(j)); got != want {
				t.Fatalf("Compare of %q and %q = %d, want %d", key, keys.Key(j), got, want)
			}
		}
	}
}
