package objstore

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/vfs"
)

func read(t *testing.T, s Store, key string) string {
	t.Helper()
	o, err := s.Open(t.Context(), key)
	if err != nil {
		return err.Error()
	}
	defer o.Close()
	b, err := io.ReadAll(io.NewSectionReader(o, 0, o.SizeBytes()))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func put(t *testing.T, s Store, key, text string) {
	t.Helper()
	if err := s.Put(t.Context(), key, strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
}

func TestObjectsAreListedReadAndDeleted(t *testing.T) {
	s := NewMem()
	put(t, s, "a/x/1", "one")
	put(t, s, "a/x/2", "two")
	put(t, s, "a/x2", "three")
	put(t, s, "a/x/2", "TWO")
	if got := read(t, s, "a/x/2"); got != "TWO" {
		t.Fatalf("got %q", got)
	}
	keys, err := s.List(t.Context(), "a/x")
	if err != nil || !slices.Equal(keys, []string{"a/x/1", "a/x/2", "a/x2"}) {
		t.Fatalf("List = %v, %v", keys, err)
	}
	if err := errors.Join(s.Delete(t.Context(), "a/x/1"), s.Delete(t.Context(), "a/x/1")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Open(t.Context(), "a/x/1"); fault.KindOf(err) != fault.NotFound {
		t.Fatalf("Open of a deleted object = %v", err)
	}
	for _, key := range []string{"", "..", "../x", "/x", "a//b", "a/../../b", "x.part"} {
		if err := s.Put(t.Context(), key, strings.NewReader("")); fault.KindOf(err) != fault.Invalid {
			t.Errorf("Put(%q) = %v, want fault.Invalid", key, err)
		}
	}
}

func TestPutIsDurableAndWholeOrNothing(t *testing.T) {
	for seed := range uint64(5) {
		putAndCrash(t, seed)
	}
}

func putAndCrash(t *testing.T, seed uint64) {
	t.Helper()
	for n := 0; ; n++ {
		mem := vfs.NewMem()
		inject, _ := vfs.FailAfter(n, errors.New("power cut"))
		done := false
		if s, err := Local(vfs.Inject(mem, inject), "objects"); err == nil {
			done = s.Put(context.Background(), "t/day/1", strings.NewReader("content")) == nil
		}
		var random *rand.Rand // seed 0: the least that survives
		if seed > 0 {
			random = rand.New(rand.NewPCG(seed, uint64(n)))
		}
		s, err := Local(mem.Crash(random), "objects")
		if err != nil {
			t.Fatal(err)
		}
		got := read(t, s, "t/day/1")
		if done && got != "content" || !done && got != "content" && !strings.Contains(got, "does not exist") {
			t.Fatalf("crash before operation %d: acknowledged %v, content %q", n, done, got)
		}
		if done {
			return
		}
	}
}

func TestAFolderThatAKilledProcessMadeIsMadeDurable(t *testing.T) {
	mem := vfs.NewMem()
	mem.MkdirAll("objects/t") // and no sync
	s, err := Local(mem, "objects")
	if err != nil {
		t.Fatal(err)
	}
	put(t, s, "t/1", "content")
	if s, err = Local(mem.Crash(nil), "objects"); err != nil {
		t.Fatal(err)
	}
	if got := read(t, s, "t/1"); got != "content" {
		t.Fatalf("got %q", got)
	}
}

func TestConcurrentPutsOfOneKeyLeaveOneOfThemWhole(t *testing.T) {
	s := NewMem()
	texts := []string{strings.Repeat("a", 600<<10), strings.Repeat("b", 500<<10)}
	var wg sync.WaitGroup
	for _, text := range texts {
		wg.Go(func() {
			if err := s.Put(t.Context(), "k", strings.NewReader(text)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := read(t, s, "k"); !slices.Contains(texts, got) {
		t.Fatalf("%d bytes that are neither object", len(got))
	}
}

func TestAFailedPutLeavesTheOldObject(t *testing.T) {
	s := NewMem()
	put(t, s, "k", "old")
	bad := io.MultiReader(strings.NewReader("half"), iotest.ErrReader(errors.New("source broke")))
	if err := s.Put(t.Context(), "k", bad); err == nil {
		t.Fatal("Put of a broken source succeeded")
	}
	if got := read(t, s, "k"); got != "old" {
		t.Fatalf("got %q", got)
	}
	if keys, _ := s.List(t.Context(), ""); !slices.Equal(keys, []string{"k"}) {
		t.Fatalf("keys %v", keys)
	}
}
