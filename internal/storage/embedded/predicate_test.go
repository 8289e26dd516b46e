package embedded

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/storage/embedded/series"
	"github.com/weir-db/weir/internal/vec"
)

func TestSeriesAreSelectedAsIfEachWereTested(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	registry := series.NewRegistry()
	var keys series.Keys
	for i := range 500 {
		dims := []storage.Dim{{Name: "device", Value: fmt.Sprint("d", i)}}
		if i%3 > 0 {
			dims = append(dims, storage.Dim{Name: "site", Value: fmt.Sprint("s", i%7)})
		}
		keys.Bytes = series.AppendKey(keys.Bytes, fmt.Sprint("m", i%2), dims)
		keys.Ends = append(keys.Ends, len(keys.Bytes))
	}
	if _, err := registry.Resolve(nil, &keys); err != nil {
		t.Fatal(err)
	}
	v := registry.View()
	predicate := func() storage.Predicate {
		column, prefix, n := "device", "d", 600
		switch r.IntN(3) {
		case 0:
			column, prefix, n = "site", "s", 9
		case 1:
			column, prefix, n = storage.MeasureNameColumn, "m", 3
		}
		value := func() vec.Value { return vec.Str(fmt.Sprint(prefix, r.IntN(n))) }
		switch r.IntN(6) {
		case 0:
			return storage.Predicate{Column: column, Op: storage.IsNull}
		case 1:
			return storage.Predicate{Column: column, Op: storage.Ne, Values: []vec.Value{value()}}
		case 2:
			return storage.Predicate{Column: column, Op: storage.Match, Matches: func(s string, null bool) bool { return null || strings.HasSuffix(s, "1") }}
		case 3:
			return storage.Predicate{Column: column, Op: storage.Eq, Values: []vec.Value{value()}}
		}
		p := storage.Predicate{Column: column, Op: storage.In}
		for range 1 + r.IntN(400) {
			p.Values = append(p.Values, value())
		}
		return p
	}
	some := 0
	for range 2000 {
		var preds []storage.Predicate
		for range r.IntN(4) {
			preds = append(preds, predicate())
		}
		var want []series.ID
		for id := range series.ID(v.Len()) {
			measure, dims := v.Series(id)
			ok := true
			for i := range preds {
				value, null := measure, false
				if preds[i].Column != storage.MeasureNameColumn {
					at := slices.IndexFunc(dims, func(d storage.Dim) bool { return d.Name == preds[i].Column })
					if null, value = at < 0, ""; !null {
						value = dims[at].Value
					}
				}
				ok = ok && holdsString(&preds[i], value, null)
			}
			if ok {
				want = append(want, id)
			}
		}
		if got := selectSeries(registry, v, preds); !slices.Equal(got, want) {
			t.Fatalf("%+v: %v, want %v", preds, got, want)
		}
		if len(want) > 0 {
			some++
		}
	}
	if some < 500 {
		t.Errorf("%d of the predicates want something", some)
	}
}
