package objstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/weir-db/weir/internal/vfs"
)

func openBuckets(t *testing.T, fsys vfs.FS) *Buckets {
	t.Helper()
	b, err := OpenBuckets(fsys, nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func realBuckets(t *testing.T) (*Buckets, vfs.FS) {
	t.Helper()
	fsys, err := vfs.Real(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	b := openBuckets(t, fsys)
	if err := b.CreateBucket("box", "us-east-1"); err != nil {
		t.Fatal(err)
	}
	return b, fsys
}

func putObject(t *testing.T, b *Buckets, key, text string) {
	t.Helper()
	if _, err := b.Put(t.Context(), "box", key, strings.NewReader(text), Attributes{}); err != nil {
		t.Fatalf("put %q: %v", key, err)
	}
}

func content(b *Buckets, key string) string {
	p, err := b.Read("box", key, 1<<20)
	if err != nil {
		return err.Error()
	}
	return string(p)
}

var oddKeys = []string{
	"a", "a/b", "a/", "a//", "a//b", "/", "//", "/a", ".", "..", "../..", "../../etc/passwd", "a/../b", ".bucket", ".a.meta",
	"a/.b.meta", "%", "%f", "a%f", "a%2F", "%2E", "a%+", "x\\y", "tab\there", "ü/é", "a-b", "a.b", "a0", "col=2024-01-01 00:00:00/x.csv",
	strings.Repeat("n", 1024), strings.Repeat("n", 198), strings.Repeat("n", 198) + "/x", strings.Repeat("n", 198) + "!", strings.Repeat("n", 197) + "/x",
	strings.Repeat("é", 500), strings.Repeat("n", 196), strings.Repeat("n", 195) + "😀x", strings.Repeat("é/", 300), strings.Repeat("%", 1000), strings.Repeat("n", 199) + "/" + strings.Repeat("m", 500),
}

func TestEveryKeyIsAnObjectOfItsOwn(t *testing.T) {
	t.Parallel()
	b, fsys := realBuckets(t)
	for _, k := range oddKeys {
		putObject(t, b, k, "content of "+k)
	}
	b = openBuckets(t, fsys) // nothing is kept in memory
	for _, k := range oddKeys {
		if got := content(b, k); got != "content of "+k {
			t.Errorf("%.40q: got %.60q", k, got)
		}
	}
	if top, _ := fsys.List("."); !slices.Equal(top, []string{".tmp", ".uploads", "box"}) {
		t.Errorf("files beside the buckets: %v", top)
	}
	want := slices.Sorted(slices.Values(oddKeys))
	for limit := range 4 {
		if got := listAll(t, b, ListOptions{Limit: limit}); !slices.Equal(got, want) {
			t.Errorf("pages of %d: got %.20q\nwant %.20q", limit, got, want)
		}
	}
	for _, k := range oddKeys {
		if err := b.Delete("box", k); err != nil {
			t.Errorf("delete %.40q: %v", k, err)
		}
	}
	if err := b.DeleteBucket(t.Context(), "box"); err != nil {
		t.Fatal(err)
	}
	if left, _ := fsys.List("."); len(left) != 2 {
		t.Errorf("left over: %v", left)
	}
}

// listAll reads all pages: keys and common prefixes as they come.
func listAll(t *testing.T, b *Buckets, o ListOptions) []string {
	t.Helper()
	var out []string
	for range 10_000 {
		l, err := b.List(t.Context(), "box", o)
		if err != nil {
			t.Fatal(err)
		}
		var page []string
		for _, x := range l.Objects {
			page = append(page, x.Key)
		}
		page = append(page, l.CommonPrefixes...)
		slices.Sort(page)
		out = append(out, page...)
		if l.Next == "" {
			return out
		}
		o.After = l.Next
	}
	t.Fatal("the list does not end")
	return nil
}

func TestListAgreesWithAModel(t *testing.T) {
	t.Parallel()
	b := openBuckets(t, vfs.NewMem()) // quicker than the disk
	if err := b.CreateBucket("box", ""); err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	keys := map[string]bool{}
	for range 150 {
		k := ""
		for range 1 + r.IntN(5) {
			k += []string{"a", "b", "/", "-", "0", "a/", strings.Repeat("x", 99)}[r.IntN(7)]
		}
		keys[k] = true
		putObject(t, b, k, k)
	}
	for range 300 {
		o := ListOptions{Limit: r.IntN(7), Prefix: []string{"", "a", "a/", "b", "/", "a/b", "xx"}[r.IntN(7)], Delimiter: []string{"", "/", "-", "b/"}[r.IntN(4)]}
		seen := map[string]bool{}
		for k := range keys {
			if !strings.HasPrefix(k, o.Prefix) {
				continue
			}
			if i := strings.Index(k[len(o.Prefix):], o.Delimiter); o.Delimiter != "" && i >= 0 {
				k = k[:len(o.Prefix)+i+len(o.Delimiter)]
				seen[k] = true
				continue
			}
			seen[k] = true
		}
		var want []string
		for k := range seen {
			want = append(want, k)
		}
		slices.Sort(want)
		if got := listAll(t, b, o); !slices.Equal(got, want) {
			t.Fatalf("%+v:\ngot  %.300q\nwant %.300q", o, got, want)
		}
	}
}

func TestAttributesBelongToTheContent(t *testing.T) {
	t.Parallel()
	b, _ := realBuckets(t)
	w, err := b.Create(t.Context(), "box", "a/b", Attributes{ContentType: "text/csv", User: map[string]string{"k": "v"}})
	if err != nil {
		t.Fatal(err)
	}
	w.Write([]byte("hello"))
	if _, err := b.Stat("box", "a/b"); !errors.Is(err, ErrNoKey) {
		t.Fatalf("seen before Commit: %v", err)
	}
	if _, err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	info, err := b.Stat("box", "a/b")
	if err != nil || info.ETag != "5d41402abc4b2a76b9719d911017c592" || info.ContentType != "text/csv" || info.User["k"] != "v" || info.SizeBytes != 5 {
		t.Fatalf("%+v, %v", info, err)
	}
	old, _, err := b.Open("box", "a/b")
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	putObject(t, b, "a/b", "other")
	if info, _ := b.Stat("box", "a/b"); info.ContentType != "" {
		t.Fatalf("the new content has the old attributes: %+v", info)
	}
	got, _ := io.ReadAll(io.NewSectionReader(old, 0, old.SizeBytes()))
	if string(got) != "hello" {
		t.Fatalf("an open object changed to %q", got)
	}
}

func TestABucketInUseStays(t *testing.T) {
	t.Parallel()
	b, _ := realBuckets(t)
	putObject(t, b, "a", "x")
	if err := b.DeleteBucket(t.Context(), "box"); !errors.Is(err, ErrNotEmpty) {
		t.Fatalf("DeleteBucket = %v", err)
	}
	for _, name := range []string{"..", ".tmp", "UPPER", "ab", "a/b", "a..b", ""} {
		if err := b.CreateBucket(name, ""); err == nil {
			t.Errorf("the bucket %q was made", name)
		}
		if _, err := b.Stat(name, "x"); !errors.Is(err, ErrNoBucket) {
			t.Errorf("Stat in %q = %v", name, err)
		}
	}
}

func TestABucketWithLeftoversCanBeDeleted(t *testing.T) {
	t.Parallel()
	b, fsys := realBuckets(t)
	if err := fsys.MkdirAll("box/a/b"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"box/a/b/.x.meta", "box/.y.meta"} {
		f, err := fsys.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	if err := b.DeleteBucket(t.Context(), "box"); err != nil {
		t.Fatal(err)
	}
	if left, _ := fsys.List("."); len(left) != 2 {
		t.Errorf("left over: %v", left)
	}
}

func TestCommitIsWholeOrNothing(t *testing.T) {
	t.Parallel()
	for n := 0; ; n++ {
		mem := vfs.NewMem()
		b := openBuckets(t, mem)
		if err := b.CreateBucket("box", ""); err != nil {
			t.Fatal(err)
		}
		for _, k := range []string{"d/k", "d"} {
			if _, err := b.Put(context.Background(), "box", k, strings.NewReader("old"), Attributes{ContentType: "old"}); err != nil {
				t.Fatal(err)
			}
		}
		inject, _ := vfs.FailAfter(n, errors.New("power cut"))
		done := 0
		if b, err := OpenBuckets(vfs.Inject(mem, inject), nil); err == nil {
			for _, k := range []string{"d/k", "d", "d/k/deep/er"} {
				if _, err := b.Put(context.Background(), "box", k, strings.NewReader("newer"), Attributes{ContentType: "new"}); err != nil {
					break
				}
				done++
			}
		}
		b = openBuckets(t, mem.Crash(nil))
		for i, k := range []string{"d/k", "d", "d/k/deep/er"} {
			got := content(b, k)
			info, _ := b.Stat("box", k)
			if i < done && got != "newer" || got == "newer" && info.ContentType != "new" || got == "old" && info.ContentType != "old" {
				t.Fatalf("crash before operation %d: %s is %q with %+v, %d acknowledged", n, k, got, info, done)
			}
			if got != "newer" && got != "old" && i < 2 {
				t.Fatalf("crash before operation %d: %s is lost: %s", n, k, got)
			}
		}
		if done == 3 {
			return
		}
	}
}

func TestUploadsAreMadeOfParts(t *testing.T) {
	t.Parallel()
	b, fsys := realBuckets(t)
	u, err := b.CreateUpload("box", "big/one", Attributes{ContentType: "x/y"})
	if err != nil {
		t.Fatal(err)
	}
	part := func(n int, p []byte) Part {
		w, err := b.CreatePart(t.Context(), u, n)
		if err != nil {
			t.Fatal(err)
		}
		w.Write(p)
		out, err := w.Commit()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	first := bytes.Repeat([]byte("a"), MinPartSize)
	last := part(7, []byte("end"))
	part(1, []byte("too early"))
	one := part(1, first)
	b = openBuckets(t, fsys)
	if u, err = b.Upload("box", "big/one", u.ID); err != nil {
		t.Fatal(err)
	}
	if parts, err := b.Parts(u); err != nil || len(parts) != 2 || parts[0].SizeBytes != MinPartSize {
		t.Fatalf("%v, %v", parts, err)
	}
	for _, c := range []struct {
		parts []Part
		want  error
	}{{[]Part{last, one}, ErrPartOrder}, {[]Part{one, one}, ErrPartOrder}, {[]Part{{Number: 2, ETag: one.ETag}}, ErrPart}, {nil, ErrPart}} {
		if _, err := b.CompleteUpload(t.Context(), u, c.parts, nil); !errors.Is(err, c.want) {
			t.Errorf("%v: %v", c.parts, err)
		}
	}
	info, err := b.CompleteUpload(t.Context(), u, []Part{one, last}, nil)
	if err != nil || info.SizeBytes != MinPartSize+3 || !strings.HasSuffix(info.ETag, "-2") || info.ContentType != "x/y" {
		t.Fatalf("%+v, %v", info, err)
	}
	if _, err := b.Upload("box", "big/one", u.ID); !errors.Is(err, ErrNoUpload) {
		t.Errorf("the upload is still there: %v", err)
	}
	if left, _ := fsys.List(uploadsDir); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

func BenchmarkList(b *testing.B) {
	fsys, err := vfs.Real(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	s, err := OpenBuckets(vfs.FS(fsys), nil)
	if err != nil {
		b.Fatal(err)
	}
	s.CreateBucket("box", "")
	for i := range 2000 {
		s.Put(b.Context(), "box", fmt.Sprintf("k/%06d", i), strings.NewReader("x"), Attributes{})
	}
	for b.Loop() {
		s.List(b.Context(), "box", ListOptions{Limit: 1000})
	}
}

func FuzzNames(f *testing.F) {
	for _, k := range oddKeys {
		f.Add(k, k+"/x")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		if !validKey(a) || !validKey(b) {
			t.Skip()
		}
		decoded := func(key string) string {
			var out strings.Builder
			n := names(key)
			for i, name := range n {
				if len(name) > 255-len(".")-len(".meta")-len(besideDir) || strings.ContainsAny(name, "/\x00") || name == "." || name == ".." {
					t.Fatalf("%q has the name %q", key, name)
				}
				text, goesOn, ok := plain(name)
				if !ok {
					t.Fatalf("%q has the name %q, which stands for nothing", key, name)
				}
				out.WriteString(text)
				if !goesOn && i < len(n)-1 {
					out.WriteByte('/')
				}
			}
			return out.String()
		}
		if decoded(a) != a || decoded(b) != b {
			t.Fatalf("%q and %q became %q and %q", a, b, decoded(a), decoded(b))
		}
	})
}
