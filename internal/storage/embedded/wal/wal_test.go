package wal

import (
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/vfs"
)

type rec struct {
	p    Position
	kind byte
	text string
}

func open(t testing.TB, fsys vfs.FS, fileBytes int64) (*Log, []rec) {
	t.Helper()
	l, recs, err := tryOpen(fsys, fileBytes)
	if err != nil {
		t.Fatal(err)
	}
	return l, recs
}

func tryOpen(fsys vfs.FS, fileBytes int64) (*Log, []rec, error) {
	var recs []rec
	l, err := Open(Options{FS: fsys, Dir: "log", FileBytes: fileBytes}, func(p Position, kind byte, payload []byte) error {
		recs = append(recs, rec{p, kind, string(payload)})
		return nil
	})
	return l, recs, err
}

func add(t testing.TB, l *Log, text string) rec {
	t.Helper()
	p, err := l.Append(7, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return rec{p, 7, text}
}

func TestReopeningReplaysEveryRecordInOrder(t *testing.T) {
	fsys := vfs.NewMem()
	var want []rec
	for round := range 4 {
		l, got := open(t, fsys, 256)
		if !slices.Equal(got, want) {
			t.Fatalf("round %d: got %v, want %v", round, got, want)
		}
		for i := range 10 {
			want = append(want, add(t, l, strings.Repeat("x", i*9)+fmt.Sprint(round)))
		}
		if round%2 == 0 {
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		} // else: as after a kill, the file keeps its preallocated rest
	}
}

func TestConcurrentAppendsAreDurableInTheOrderOfTheirPositions(t *testing.T) {
	fsys := vfs.NewMem()
	l, _ := open(t, fsys, 4096)
	var mu sync.Mutex
	acked := map[Position]string{}
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			for i := range 50 {
				r := add(t, l, fmt.Sprintf("%d/%d", w, i))
				mu.Lock()
				acked[r.p] = r.text
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	_, got := open(t, fsys.Crash(nil), 4096)
	if len(got) != len(acked) {
		t.Fatalf("%d records, want %d", len(got), len(acked))
	}
	for i, r := range got {
		if acked[r.p] != r.text || i > 0 && got[i-1].p >= r.p {
			t.Fatalf("record %d: %v after %v, acknowledged was %q", i, r, got[max(0, i-1)], acked[r.p])
		}
	}
}

// TestCrashAnywhereKeepsWhatWasAcknowledged crashes before every single operation in
// turn, with random tearing of what was not synced.
func TestCrashAnywhereKeepsWhatWasAcknowledged(t *testing.T) {
	for seed := range uint64(8) {
		for n := 0; ; n++ {
			mem := vfs.NewMem()
			inject, _ := vfs.FailAfter(n, errors.New("power cut"))
			acked, finished := workload(vfs.Inject(mem, inject))
			l, got, err := tryOpen(mem.Crash(rand.New(rand.NewPCG(seed, uint64(n)))), 300)
			if err != nil {
				t.Fatalf("seed %d, crash before operation %d: %v", seed, n, err)
			}
			if len(got) < len(acked) || !slices.Equal(got[:len(acked)], acked) {
				t.Fatalf("seed %d, crash before operation %d: got %v, acknowledged %v", seed, n, got, acked)
			}
			add(t, l, "goes on")
			if finished {
				break
			}
		}
	}
}

func workload(fsys vfs.FS) (acked []rec, finished bool) {
	l, _, err := tryOpen(fsys, 300)
	if err != nil {
		return nil, false
	}
	for i := range 12 {
		text := strings.Repeat("r", i*17)
		p, err := l.Append(7, []byte(text))
		if err != nil {
			return acked, false
		}
		acked = append(acked, rec{p, 7, text})
	}
	return acked, true
}

// TestCrashAnywhereOfALifeKeepsPositionsAndRecords crashes before every operation of
// a life of appending, truncating, closing and opening again. Positions are never handed out
// twice: whoever keeps one, as a manifest does, must be able to rely on its order.
func TestCrashAnywhereOfALifeKeepsPositionsAndRecords(t *testing.T) {
	for seed := range uint64(4) {
		for n := 0; ; n++ {
			mem := vfs.NewMem()
			inject, _ := vfs.FailAfter(n, errors.New("power cut"))
			acked, needed, finished := life(vfs.Inject(mem, inject))
			l, got, err := tryOpen(mem.Crash(rand.New(rand.NewPCG(seed, uint64(n)))), 300)
			if err != nil {
				t.Fatalf("seed %d, crash before operation %d: %v", seed, n, err)
			}
			for _, want := range acked {
				if want.p >= needed && !slices.Contains(got, want) {
					t.Fatalf("seed %d, crash before operation %d: %v is missing from %v", seed, n, want, got)
				}
			}
			if more := add(t, l, "goes on"); len(acked) > 0 && more.p <= acked[len(acked)-1].p {
				t.Fatalf("seed %d, crash before operation %d: position %d was handed out again, after %v", seed, n, more.p, acked)
			}
			if finished {
				break
			}
		}
	}
}

// life returns the records acknowledged and the position from which on they are needed.
func life(fsys vfs.FS) (acked []rec, needed Position, finished bool) {
	for round := range 4 {
		l, _, err := tryOpen(fsys, 300)
		if err != nil {
			return acked, needed, false
		}
		for i := range 4 {
			text := strings.Repeat("r", i*40) + fmt.Sprint(round)
			p, err := l.Append(7, []byte(text))
			if err != nil {
				return acked, needed, false
			}
			acked = append(acked, rec{p, 7, text})
		}
		if round%2 == 0 {
			needed = l.Mark()
		} else {
			needed = acked[len(acked)-2].p
		}
		if l.TruncateBefore(needed) != nil || l.Close() != nil {
			return acked, needed, false
		}
	}
	return acked, needed, true
}

func TestALastFileWithoutHeaderStillCarriesThePosition(t *testing.T) {
	fsys := vfs.NewMem()
	l, _ := open(t, fsys, 1<<12)
	last := add(t, l, "flushed")
	if err := errors.Join(l.TruncateBefore(l.Mark()), l.Close()); err != nil {
		t.Fatal(err)
	}
	names, _ := fsys.List("log")
	f, err := fsys.Create(path.Join("log", names[len(names)-1])) // as a crash while it is made anew
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	l, _ = open(t, fsys, 1<<12)
	if next := add(t, l, "next"); next.p <= last.p {
		t.Fatalf("position %d follows %d", next.p, last.p)
	}
}

// TestAnEmptyFileBeforeOneWithoutHeaderIsNoHole: the first write to the one failed, and a crash came while the other was made.
func TestAnEmptyFileBeforeOneWithoutHeaderIsNoHole(t *testing.T) {
	mem := vfs.NewMem()
	open(t, mem, 4096)
	f, err := mem.Create("log/" + fileName(4096))
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	l, _ := open(t, mem, 4096)
	want := []rec{add(t, l, "a")}
	for range 3 {
		l, got := open(t, mem, 4096)
		if !slices.Equal(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
		want = append(want, add(t, l, "b"))
	}
}

func TestBytesInARecordThatLookLikeAFrameAreNotOne(t *testing.T) {
	fsys := vfs.NewMem()
	l, _ := open(t, fsys, 1<<16)
	kept := add(t, l, "kept")
	// What a client could make up: everything but the salt of the file.
	var forged []byte
	for range 8 {
		body := []byte("\x07\x02hi    ")
		forged = binary.LittleEndian.AppendUint32(forged, frameMagic)
		forged = binary.LittleEndian.AppendUint32(forged, uint32(len(body)))
		forged = binary.LittleEndian.AppendUint64(forged, 3)
		forged = binary.LittleEndian.AppendUint32(forged, frameCRC(0, 3, body))
		forged = append(forged, body...)
		forged = append(forged, 0) // another alignment each
	}
	torn := add(t, l, string(forged))
	flip(t, fsys, int64(torn.p)+headerBytes+2)
	if _, got := open(t, fsys, 1<<16); !slices.Equal(got, []rec{kept}) {
		t.Fatalf("got %v", got)
	}
}

func TestDamageBeforeTheEndIsLocated(t *testing.T) {
	fsys := vfs.NewMem()
	l, _ := open(t, fsys, 1<<16)
	for i := range 5 {
		add(t, l, fmt.Sprintf("record %d", i))
	}
	flip(t, fsys, headerBytes+48+frameHeader+5)
	_, _, err := tryOpen(fsys, 1<<16)
	for _, err := range []error{err, Dump(io.Discard, fsys, "log/0000000000000000.wal")} {
		var corrupt *CorruptError
		if !errors.As(err, &corrupt) || corrupt.Offset != headerBytes+64 || fault.KindOf(err) != fault.Corrupt {
			t.Fatalf("got %v, want a CorruptError with its place", err)
		}
	}
}

func TestTornTailIsDropped(t *testing.T) {
	fsys := vfs.NewMem()
	l, _ := open(t, fsys, 1<<16)
	kept := add(t, l, "kept")
	torn := add(t, l, "torn")
	tear(t, fsys, int64(torn.p)+headerBytes+2)
	l, got := open(t, fsys, 1<<16)
	if !slices.Equal(got, []rec{kept}) {
		t.Fatalf("got %v", got)
	}
	later := add(t, l, "later")
	if _, got = open(t, fsys, 1<<16); !slices.Equal(got, []rec{kept, later}) {
		t.Fatalf("after going on: got %v", got)
	}
}

// tear makes the newest file zeros from off on.
func tear(t *testing.T, fsys vfs.FS, off int64) {
	t.Helper()
	f := newest(t, fsys)
	size, err := f.Size()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(make([]byte, size-off), off); err != nil {
		t.Fatal(err)
	}
}

func newest(t *testing.T, fsys vfs.FS) vfs.File {
	t.Helper()
	names, err := fsys.List("log")
	if err != nil {
		t.Fatal(err)
	}
	f, err := fsys.OpenReadWrite(path.Join("log", names[len(names)-1]))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// flip changes one byte of the newest file that has one there.
func flip(t *testing.T, fsys vfs.FS, off int64) {
	t.Helper()
	f := newest(t, fsys)
	b := make([]byte, 1)
	f.ReadAt(b, off)
	b[0] ^= 0x20
	f.WriteAt(b, off)
}

func TestTruncateBeforeDropsWholeFilesOnly(t *testing.T) {
	fsys := vfs.NewMem()
	l, _ := open(t, fsys, 256)
	var all []rec
	for i := range 20 {
		all = append(all, add(t, l, fmt.Sprintf("%020d", i)))
	}
	before := l.SizeBytes()
	if err := l.TruncateBefore(all[10].p); err != nil {
		t.Fatal(err)
	}
	if after := l.SizeBytes(); after >= before {
		t.Fatalf("size %d, was %d", after, before)
	}
	_, got := open(t, fsys, 256)
	if len(got) >= 20 || !slices.Equal(got, all[20-len(got):]) || len(got) < 10 {
		t.Fatalf("got %v", got)
	}
	if err := l.TruncateBefore(l.Mark()); err != nil {
		t.Fatal(err)
	}
	add(t, l, "the last file stays")
}

func TestCloseLeavesAnEmptyFileWhenNothingIsNeeded(t *testing.T) {
	fsys := vfs.NewMem()
	l, _ := open(t, fsys, 1<<12)
	add(t, l, "one")
	last := add(t, l, "two")
	if err := errors.Join(l.TruncateBefore(l.Mark()), l.Close()); err != nil {
		t.Fatal(err)
	}
	names, _ := fsys.List("log")
	if info, err := fsys.Stat("log/" + names[0]); len(names) != 1 || err != nil || info.Size() != headerBytes {
		t.Fatalf("files %v, %v", names, err)
	}
	l, got := open(t, fsys, 1<<12)
	if len(got) != 0 {
		t.Fatalf("got %v", got)
	}
	if r := add(t, l, "three"); r.p <= last.p {
		t.Fatalf("position %d follows %d", r.p, last.p)
	}
}

func TestAFullDiskCanBeReadAndIsWrittenAgainWhenThereIsSpace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		l, _ := open(t, mem, 1<<12)
		want := []rec{add(t, l, "before")}
		l.Close()
		full := true
		fsys := vfs.Inject(mem, func(op vfs.Op, _ string) error {
			if full && (op == vfs.OpWrite || op == vfs.OpPreallocate) {
				return vfs.DiskFull
			}
			return nil
		})
		l, got := open(t, fsys, 1<<12)
		if !slices.Equal(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
		if _, err := l.Append(7, []byte("refused")); !errors.Is(err, vfs.DiskFull) {
			t.Fatalf("Append on a full disk = %v", err)
		}
		full = false
		time.Sleep(2 * time.Second) // synthetic
		want = append(want, add(t, l, "after"))
		l.Close()
		again, got := open(t, mem.Crash(nil), 1<<12)
		if !slices.Equal(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
		again.Close()
	})
}

func TestAFullDiskDoesNotForgetThePositionOfAnEmptyLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		l, _ := open(t, mem, 1<<12)
		add(t, l, "flushed")
		end := l.Mark()
		if err := l.TruncateBefore(end); err != nil {
			t.Fatal(err)
		}
		l.Close()
		full := true
		fsys := vfs.Inject(mem, func(op vfs.Op, _ string) error {
			if full && (op == vfs.OpWrite || op == vfs.OpPreallocate) {
				return vfs.DiskFull
			}
			return nil
		})
		l, _ = open(t, fsys, 1<<12)
		for range 2 {
			time.Sleep(2 * time.Second) // synthetic
			if _, err := l.Append(7, []byte("refused")); !errors.Is(err, vfs.DiskFull) {
				t.Fatalf("Append on a full disk = %v", err)
			}
		}
		l.Close()
		l, _ = open(t, fsys, 1<<12)
		if p := l.Mark(); p < end {
			t.Fatalf("after a start on a full disk the log goes on at %d, before %d", p, end)
		}
		_, _ = l.Append(7, []byte("refused"))
		full = false
		time.Sleep(2 * time.Second) // synthetic
		want := []rec{add(t, l, "after")}
		l.Close()
		again, got := open(t, mem.Crash(nil), 1<<12)
		if !slices.Equal(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
		again.Close()
	})
}

func TestAFullDiskRefusesWritesAndRecovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		full := false
		fsys := vfs.Inject(mem, func(op vfs.Op, _ string) error {
			if full && (op == vfs.OpWrite || op == vfs.OpPreallocate) {
				return vfs.DiskFull
			}
			return nil
		})
		l, _ := open(t, fsys, 1<<12)
		want := []rec{add(t, l, "before")}
		full = true
		for range 3 {
			if _, err := l.Append(7, []byte("refused")); fault.KindOf(err) != fault.Unavailable || !errors.Is(err, vfs.DiskFull) {
				t.Fatalf("Append = %v, want fault.Unavailable for want of space", err)
			}
			time.Sleep(2 * time.Second) // synthetic
		}
		full = false
		mark := l.Mark()
		r := add(t, l, "after")
		if r.p < mark {
			t.Fatalf("position %d was handed out before %d", r.p, mark)
		}
		want = append(want, r)
		l.Close()
		again, got := open(t, mem.Crash(nil), 1<<12)
		if !slices.Equal(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
		again.Close()
	})
}

// TestARecordIsLostWithThoseItBuildsUpon enqueues behind a write that fails: though the disk is well
// again by then, the record must not become durable.
func TestARecordIsLostWithThoseItBuildsUpon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		var ill bool
		writing, goOn := make(chan bool), make(chan bool)
		fsys := vfs.Inject(mem, func(op vfs.Op, _ string) error {
			if !ill || op != vfs.OpWrite {
				return nil
			}
			ill = false
			writing <- true
			<-goOn
			return errors.New("a bad moment")
		})
		l, _ := open(t, fsys, 1<<12)
		kept := add(t, l, "kept")
		ill = true
		era := l.Era()
		first, err := l.EnqueueIn(era, 7, []byte("fir"), []byte("st"))
		if err != nil {
			t.Fatal(err)
		}
		go first.Wait()
		<-writing
		second, err := l.EnqueueIn(era, 7, []byte("second"), nil)
		if err != nil {
			t.Fatal(err)
		}
		goOn <- true
		if err := errors.Join(first.Wait(), second.Wait()); first.Wait() == nil || second.Wait() == nil {
			t.Fatalf("one of both became durable: %v", err)
		}
		if _, err := l.EnqueueIn(era, 7, []byte("third"), nil); err != ErrLost {
			t.Fatalf("in the era before: %v", err)
		}
		last := add(t, l, "last")
		l.Close()
		again, got := open(t, mem.Crash(nil), 1<<12)
		if !slices.Equal(got, []rec{kept, last}) {
			t.Fatalf("got %v", got)
		}
		again.Close()
	})
}

var rewrite = flag.Bool("rewrite", false, "rewrite the golden dump and the corpus file")

func TestDumpIsStableAndOldFilesOpen(t *testing.T) {
	const name = "0000000000000000.wal"
	if *rewrite {
		fsys := vfs.NewMem()
		l, _ := open(t, fsys, 1<<10)
		for _, text := range []string{"first", "", strings.Repeat("long ", 50)} {
			add(t, l, text)
		}
		l.Close()
		writeFile(t, "testdata/v1.wal", readAll(t, fsys, "log/"+name))
	}
	old, err := os.ReadFile("testdata/v1.wal")
	if err != nil {
		t.Fatal(err)
	}
	fsys := vfs.NewMem()
	fsys.MkdirAll("log")
	f, _ := fsys.Create("log/" + name)
	f.WriteAt(old, 0)
	var dump strings.Builder
	if err := Dump(&dump, fsys, "log/"+name); err != nil {
		t.Fatal(err)
	}
	if *rewrite {
		writeFile(t, "testdata/v1.dump", []byte(dump.String()))
	}
	golden, err := os.ReadFile("testdata/v1.dump")
	if err != nil {
		t.Fatal(err)
	}
	if dump.String() != string(golden) {
		t.Errorf("the dump changed (-rewrite accepts it):\n%s", dump.String())
	}
	want := []rec{{20, 7, "first"}, {52, 7, ""}, {76, 7, strings.Repeat("long ", 50)}}
	if _, got := open(t, fsys, 1<<10); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func readAll(t *testing.T, fsys vfs.FS, name string) []byte {
	t.Helper()
	f, err := fsys.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	size, _ := f.Size()
	b := make([]byte, size)
	f.ReadAt(b, 0)
	return b
}

func writeFile(t *testing.T, name string, b []byte) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, b, 0o644)); err != nil {
		t.Fatal(err)
	}
}

func FuzzReplay(f *testing.F) {
	fsys := vfs.NewMem()
	l, _ := open(f, fsys, 256)
	add(f, l, "seed")
	in, _ := fsys.Open("log/0000000000000000.wal")
	b := make([]byte, 256)
	in.ReadAt(b, 0)
	f.Add(b)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, content []byte) {
		fsys := vfs.NewMem()
		fsys.MkdirAll("log")
		out, _ := fsys.Create("log/0000000000000000.wal")
		out.WriteAt(content, 0)
		l, got, err := tryOpen(fsys, 256)
		if err != nil {
			return // refused, which is right for garbage
		}
		p, err := l.Append(1, []byte("more"))
		if err != nil {
			t.Fatal(err)
		}
		if _, again, err := tryOpen(fsys, 256); err != nil || !slices.Equal(again, append(got, rec{p, 1, "more"})) {
			t.Fatalf("after %v and one more: %v, %v", got, again, err)
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	for _, writers := range []int{1, 64} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			fsys, err := vfs.Real(b.TempDir())
			if err != nil {
				b.Fatal(err)
			}
			l, _ := open(b, fsys, 64<<20)
			defer l.Close()
			payload := make([]byte, 4096)
			b.SetParallelism(max(1, writers/2))
			b.SetBytes(4096)
			if writers == 1 {
				for b.Loop() {
					l.Append(1, payload)
				}
				return
			}
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := l.Append(1, payload); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}

func TestDamageToASealedLastFrameIsFound(t *testing.T) {
	for name, seal := range map[string]func(l *Log){"sealed": (*Log).Seal, "closed": func(l *Log) { l.Close() }} {
		fsys := vfs.NewMem()
		l, _ := open(t, fsys, 1<<16)
		first := add(t, l, "first")
		last := add(t, l, "last")
		seal(l)
		size := l.SizeBytes()
		l.Seal() // there is nothing to seal any more
		if now := l.SizeBytes(); name == "sealed" && now != size {
			t.Errorf("sealed twice: %d bytes, %d before", now, size)
		}
		if _, got := open(t, fsys, 1<<16); !slices.Equal(got, []rec{first, last}) {
			t.Fatalf("%s: got %v", name, got)
		}
	}
	for name, seal := range map[string]func(l *Log){"sealed": (*Log).Seal, "closed": func(l *Log) { l.Close() }} {
		fsys := vfs.NewMem()
		l, _ := open(t, fsys, 1<<16)
		add(t, l, "first")
		last := add(t, l, "last")
		seal(l)
		flip(t, fsys, int64(last.p)+headerBytes+2)
		_, _, err := tryOpen(fsys, 1<<16)
		var corrupt *CorruptError
		if !errors.As(err, &corrupt) {
			t.Errorf("%s: got %v, want a CorruptError", name, err)
		}
	}
}

func TestSealingAmidWritesLosesNothing(t *testing.T) {
	mem := vfs.NewMem()
	l, _ := open(t, mem, 1<<12)
	var mu sync.Mutex // guards want
	want := map[string]bool{}
	var writers, sealer sync.WaitGroup
	stop := make(chan struct{})
	sealer.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				l.Seal()
			}
		}
	})
	for w := range 4 {
		writers.Go(func() {
			for i := range 100 {
				text := fmt.Sprint(w, "/", i)
				add(t, l, text)
				mu.Lock()
				want[text] = true
				mu.Unlock()
			}
		})
	}
	writers.Wait()
	close(stop)
	sealer.Wait()
	_, got := open(t, mem.Crash(nil), 1<<12)
	if len(got) != len(want) {
		t.Errorf("%d records, want %d", len(got), len(want))
	}
	for _, r := range got {
		if !want[r.text] {
			t.Errorf("%q was not written", r.text)
		}
	}
	l.Seal()
	l.TruncateBefore(l.Mark())
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if names, _ := mem.List("log"); len(names) != 1 {
		t.Errorf("closed with nothing needed: files %v", names)
	}
}
