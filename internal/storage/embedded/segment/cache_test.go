package segment

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/weir-db/weir/internal/objstore"
)

func openCached(t *testing.T, store objstore.Store, cache *Cache) *Reader {
	t.Helper()
	r, err := Open(context.Background(), store, "s", cache)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestCachedBlocksAreReadOnceAndStayWithinTheLimit(t *testing.T) {
	store := objstore.NewMem()
	write(t, store, "s", generate(rand.New(rand.NewPCG(7, 7)), 40, 700))
	want, err := readAll(open(t, store, "s"))
	if err != nil {
		t.Fatal(err)
	}
	for _, limit := range []int64{1, 60_000, 1 << 30} {
		cache := NewCache(limit)
		r := openCached(t, store, cache)
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				got, err := readAll(r)
				if err != nil {
					t.Error(err)
				}
				for s, lines := range want {
					if !slices.Equal(got[s], lines) {
						t.Errorf("limit %d: series %d differs", limit, s)
					}
				}
			})
		}
		wg.Wait()
		stats := cache.Stats()
		if stats.Bytes > limit {
			t.Errorf("%d bytes are kept, at most %d wanted", stats.Bytes, limit)
		}
		before := stats.Misses
		if _, err := readAll(r); err != nil {
			t.Fatal(err)
		}
		if after := cache.Stats(); limit == 1<<30 && (after.Misses != before || after.Hits == stats.Hits) {
			t.Errorf("all is cached, but misses go from %d to %d", before, after.Misses)
		}
		r.Close()
		if left := cache.Stats().Bytes; left != 0 {
			t.Errorf("limit %d: %d bytes are left after the only reader is closed", limit, left)
		}
	}
}

func TestDamageIsFoundThroughTheCache(t *testing.T) {
	whole := walks(t)
	whole[100] ^= 1
	store := objstore.NewMem()
	store.Put(t.Context(), "s", bytes.NewReader(whole))
	r := openCached(t, store, NewCache(1<<20))
	for range 2 {
		var c *CorruptError
		if _, err := readAll(r); !errors.As(err, &c) || c.Path != "s" || c.Offset > 100 {
			t.Fatalf("got %v", err)
		}
	}
}
