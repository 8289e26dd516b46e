package vfs

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func each(t *testing.T, f func(t *testing.T, fsys FS)) {
	t.Run("mem", func(t *testing.T) { f(t, NewMem()) })
	t.Run("real", func(t *testing.T) {
		fsys, err := Real(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		f(t, fsys)
	})
}

func put(t *testing.T, fsys FS, name, content string) {
	t.Helper()
	f, err := fsys.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte(content), 0); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
}

func content(t *testing.T, fsys FS, name string) string {
	t.Helper()
	f, err := fsys.Open(name)
	if err != nil {
		return ""
	}
	defer f.Close()
	size, _ := f.Size()
	b := make([]byte, size)
	f.ReadAt(b, 0)
	return string(b)
}

func TestFilesBehaveAlike(t *testing.T) {
	each(t, func(t *testing.T, fsys FS) {
		if _, err := fsys.Open("a/b"); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("Open of nothing = %v", err)
		}
		if err := fsys.MkdirAll("a/c"); err != nil {
			t.Fatal(err)
		}
		put(t, fsys, "a/b", "hello")
		put(t, fsys, "a/d", "x")
		if err := fsys.Rename("a/d", "a/b2"); err != nil {
			t.Fatal(err)
		}
		if names, err := fsys.List("a"); err != nil || !slices.Equal(names, []string{"b", "b2", "c"}) {
			t.Fatalf("List = %v, %v", names, err)
		}
		f, err := fsys.OpenReadWrite("a/b")
		if err != nil {
			t.Fatal(err)
		}
		f.WriteAt([]byte("J"), 0)
		f.Preallocate(8)
		if got := content(t, fsys, "a/b"); got != "Jello\x00\x00\x00" {
			t.Fatalf("content %q", got)
		}
		f.Truncate(2)
		if size, _ := f.Size(); size != 2 {
			t.Fatalf("size %d", size)
		}
		f.Close()
		if err := fsys.Remove("a"); err == nil {
			t.Fatal("a folder that is not empty was removed")
		}
		if err := errors.Join(fsys.Remove("a/b"), fsys.SyncDir("a")); err != nil {
			t.Fatal(err)
		}
		if info, err := fsys.Stat("a/b2"); err != nil || info.Size() != 1 {
			t.Fatalf("Stat = %v, %v", info, err)
		}
	})
}

func TestALockIsTakenOnce(t *testing.T) {
	each(t, func(t *testing.T, fsys FS) {
		lock, err := fsys.Lock("LOCK")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fsys.Lock("LOCK"); !errors.Is(err, ErrLocked) {
			t.Fatalf("second Lock = %v, want ErrLocked", err)
		}
		lock.Unlock()
		if lock, err = fsys.Lock("LOCK"); err != nil {
			t.Fatal(err)
		}
		lock.Unlock()
	})
}

func TestACrashLosesWhatWasNotSynced(t *testing.T) {
	m := NewMem()
	m.MkdirAll("d")
	put(t, m, "d/named", "synced")
	m.SyncDir(".")
	m.SyncDir("d")
	put(t, m, "d/unnamed", "synced")
	f, _ := m.OpenReadWrite("d/named")
	f.WriteAt([]byte("NEW"), 0)
	after := m.Crash(nil)
	if got := content(t, after, "d/named"); got != "synced" {
		t.Fatalf("content %q", got)
	}
	if names, _ := after.List("d"); !slices.Equal(names, []string{"named"}) {
		t.Fatalf("names %v", names)
	}
	f.Sync()
	if got := content(t, m.Crash(nil), "d/named"); got != "NEWced" {
		t.Fatalf("content %q", got)
	}
}

func TestACrashMayTearWhatWasNotSynced(t *testing.T) {
	m := NewMem()
	put(t, m, "f", "aaaaaaaa")
	m.SyncDir(".")
	f, _ := m.OpenReadWrite("f")
	f.WriteAt([]byte("bbbbbbbb"), 0)
	seen := map[string]bool{}
	for seed := range uint64(200) {
		seen[content(t, m.Crash(rand.New(rand.NewPCG(seed, 0))), "f")] = true
	}
	for _, want := range []string{"aaaaaaaa", "bbbbbbbb", "bbbbaaaa"} {
		if !seen[want] {
			t.Errorf("no crash in 200 left %q", want)
		}
	}
}

func TestACrashKeepsNoNameInAFolderThatIsGone(t *testing.T) {
	m := NewMem()
	m.MkdirAll("a/b")
	put(t, m, "a/b/f", "synced")
	m.SyncDir("a/b")
	if after := m.Crash(nil); after.names["a/b/f"] != nil || after.names["a"] != nil {
		t.Fatal("a file outlived its folder")
	}
	if err := MakeDir(m, "a/b"); err != nil {
		t.Fatal(err)
	}
	if got := content(t, m.Crash(nil), "a/b/f"); got != "synced" {
		t.Fatalf("content %q", got)
	}
}

func TestACrashMayKeepSomeOfTheNamesThatWereNotSynced(t *testing.T) {
	m := NewMem()
	put(t, m, "old", "o")
	m.SyncDir(".")
	m.Remove("old")
	put(t, m, "new", "n")
	seen := map[string]bool{}
	for seed := range uint64(100) {
		names, _ := m.Crash(rand.New(rand.NewPCG(seed, 0))).List(".")
		seen[strings.Join(names, " ")] = true
	}
	for _, want := range []string{"", "old", "new", "new old"} {
		if !seen[want] {
			t.Errorf("no crash in 100 left %q", want)
		}
	}
}

func TestInjectedFaultsReachTheCaller(t *testing.T) {
	inject, heal := FailAfter(1, DiskFull)
	fsys := Inject(NewMem(), inject)
	f, err := fsys.Create("f")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := f.WriteAt([]byte("1234"), 0); !errors.Is(err, DiskFull) || n != 2 {
		t.Fatalf("WriteAt = %d, %v, want a short write and DiskFull", n, err)
	}
	heal()
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
}
