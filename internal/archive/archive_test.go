package archive_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/weir-db/weir/internal/archive"
	"github.com/weir-db/weir/internal/fault"
)

var at = time.Unix(1_900_000_000, 123_456_789).UTC()

// whole returns an archive of two files, one of which does not compress.
func whole(t testing.TB) ([]byte, map[string]string) {
	noise := make([]byte, 20_000)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	files := map[string]string{"meta.db": "documents", "store/segments/a/1.seg": string(noise)}
	var b bytes.Buffer
	w, err := archive.NewWriter(&b, archive.Info{Created: at, Region: "r", Account: "1"})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"meta.db", "store/segments/a/1.seg"} {
		if err := w.Add(archive.File{Name: name, SizeBytes: int64(len(files[name])), Modified: at}, strings.NewReader(files[name])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Finish(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), files
}

// readAll reads an archive to its end.
func readAll(r io.Reader) (map[string]string, error) {
	a, err := archive.NewReader(r)
	if err != nil {
		return nil, err
	}
	defer a.Close()
	files := map[string]string{}
	for {
		f, err := a.Next()
		if err == io.EOF {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		content, err := io.ReadAll(a)
		if err != nil {
			return nil, err
		}
		if !f.Modified.Equal(at) {
			return nil, errors.New("the time is " + f.Modified.String())
		}
		files[f.Name] = string(content)
	}
}

func TestFilesComeBackWithTheirTimes(t *testing.T) {
	t.Parallel()
	data, want := whole(t)
	got, err := readAll(bytes.NewReader(data))
	if err != nil || len(got) != len(want) {
		t.Fatalf("read %d files, %v", len(got), err)
	}
	for name, content := range want {
		if got[name] != content {
			t.Errorf("%s is not what it was", name)
		}
	}
}

func TestAnArchiveCutOffAnywhereIsRefused(t *testing.T) {
	t.Parallel()
	data, _ := whole(t)
	for n := 0; n < len(data); n += 1 + n/len(data)*7 + 97*b2i(n > 300 && n < len(data)-300) {
		if _, err := readAll(bytes.NewReader(data[:n])); fault.KindOf(err) != fault.Corrupt {
			t.Fatalf("cut off at %d of %d bytes: %v", n, len(data), err)
		}
	}
}

func TestAChangedByteIsNoticed(t *testing.T) {
	t.Parallel()
	data, want := whole(t)
	for n := 0; n < len(data); n += 31 {
		changed := bytes.Clone(data)
		changed[n] ^= 0x10
		got, err := readAll(bytes.NewReader(changed))
		if err == nil && (got["meta.db"] != want["meta.db"] || got["store/segments/a/1.seg"] != want["store/segments/a/1.seg"]) {
			t.Fatalf("byte %d changed content and was not noticed", n)
		}
		if err != nil && fault.KindOf(err) != fault.Corrupt && fault.KindOf(err) != fault.Invalid {
			t.Fatalf("byte %d: %v", n, err)
		}
	}
}

func TestTheReaderIsToldWhyThereIsNoMore(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	w, err := archive.NewWriter(&b, archive.Info{})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Fail("segment 7 is damaged"); err != nil {
		t.Fatal(err)
	}
	if _, err := readAll(&b); err == nil || !strings.Contains(err.Error(), "segment 7 is damaged") {
		t.Fatal(err)
	}
}

func TestNamesThatLeaveTheFolderAreRefused(t *testing.T) {
	t.Parallel()
	w, err := archive.NewWriter(io.Discard, archive.Info{})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"../x", "/x", "a//b", "a/../b", "", "."} {
		if err := w.Add(archive.File{Name: name, Modified: at}, strings.NewReader("")); err == nil {
			t.Errorf("%q was taken", name)
		}
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func FuzzReader(f *testing.F) {
	data, _ := whole(f)
	f.Add(data)
	f.Add(data[:100])
	f.Fuzz(func(t *testing.T, data []byte) { _, _ = readAll(bytes.NewReader(data)) })
}
