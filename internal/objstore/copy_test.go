package objstore

import (
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/weir-db/weir/internal/vfs"
)

func TestCopiedFilesCanLieInOneFolderWhateverComesMeanwhile(t *testing.T) {
	t.Parallel()
	b, err := OpenBuckets(vfs.NewMem(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.CreateBucket("box", "r"); err != nil {
		t.Fatal(err)
	}
	put := func(key string) {
		t.Helper()
		if _, err := b.Put(t.Context(), "box", key, strings.NewReader("of "+key), Attributes{ContentType: "x/y"}); err != nil {
			t.Fatal(err)
		}
	}
	put("a")
	put("a-")
	put("c/d")
	put("c")
	var names []string
	err = b.EachFile(t.Context(), func(f StoredFile) error {
		content, err := io.ReadAll(f.Content)
		if int64(len(content)) != f.SizeBytes {
			t.Errorf("%s has %d bytes, want %d", f.Name, len(content), f.SizeBytes)
		}
		if names = append(names, f.Name); f.Name == "box/a" {
			put("a/b") // makes a folder of a
			put("c")   // another content
			if err := b.Delete("box", "a-"); err != nil {
				t.Error(err)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"box/.bucket", "box/.a.meta", "box/a", "box/.c.meta", "box/c%f", "box/c/.d.meta", "box/c/d"}; !slices.Equal(names, want) {
		t.Errorf("copied %q, want %q", names, want)
	}
}

func TestKeysBelowCopiedOnesAreFound(t *testing.T) {
	t.Parallel()
	var n openNames
	for _, key := range []string{"a", "a!", "a-", "a-1"} {
		if n.below(key) {
			t.Errorf("%q is below %q", key, n)
		}
		n.add(key)
	}
	if !n.below("a/b/c") || n.below("a0") || len(n) != 0 {
		t.Errorf("left %q", n)
	}
}
