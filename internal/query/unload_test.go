package query_test

import (
	"strings"
	"testing"
	"time"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/objstore"
	"github.com/weir-db/weir/internal/query"
	"github.com/weir-db/weir/internal/unload"
	"github.com/weir-db/weir/internal/vfs"
)

func newBuckets(t *testing.T) *objstore.Buckets {
	t.Helper()
	b, err := objstore.OpenBuckets(vfs.NewMem(), nil)
	if err == nil {
		err = b.CreateBucket("bucket", "")
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func keys(t *testing.T, b *objstore.Buckets) []string {
	t.Helper()
	l, err := b.List(t.Context(), "bucket", objstore.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, o := range l.Objects {
		out = append(out, o.Key)
	}
	return out
}

func TestUnloadAnswersOneRowThatNamesItsFiles(t *testing.T) {
	t.Parallel()
	b := newBuckets(t)
	e := newEnv(t, 3, 10, query.Options{Objects: unload.InBuckets(b)})
	pages := e.all(query.Request{SQL: "UNLOAD (SELECT k, i, time FROM d.t) TO 's3://bucket/out' WITH (format = 'PARQUET')", MaxRows: 1})
	if got := columns(pages[0]); got != "rows bigint, metadataFile varchar, manifestFile varchar" {
		t.Errorf("columns %s", got)
	}
	id := pages[0].QueryID
	got := rows(pages...)
	if len(got) != 1 || !strings.HasPrefix(got[0], "30|s3://bucket/out/"+id+"_") || !strings.HasSuffix(got[0], "_manifest.json") {
		t.Errorf("rows %q", got)
	}
	if k := keys(t, b); len(k) != 3 || !strings.HasPrefix(k[2], "out/results/"+id+"_") {
		t.Errorf("objects %q", k)
	}
	if o := e.observed(1)[0]; o.BytesMetered != 10_000_000 || len(o.Tables) != 1 || o.Err != nil {
		t.Errorf("observed %+v", o)
	}
}

func TestCancelOfAnUnloadLeavesNothing(t *testing.T) {
	t.Parallel()
	b := newBuckets(t)
	e := newEnv(t, 20, 100, query.Options{Objects: unload.InBuckets(b), UnloadPatience: time.Millisecond})
	// The smallest file is full after 1,600 of these rows, of which there are far more than anybody writes.
	first := e.page(query.Request{SQL: "UNLOAD (SELECT lpad('', 10000, 'x') FROM d.t a, d.t b, d.t c) TO 's3://bucket/out' WITH (compression = 'NONE', max_file_size = '16MB')"})
	eventually(t, func() bool { return len(keys(t, b)) > 0 }) // a first file is done
	if _, err := e.Cancel(t.Context(), me, first.QueryID); err != nil {
		t.Fatal(err)
	}
	e.Close() // waits for the work
	if k := keys(t, b); len(k) > 0 {
		t.Errorf("objects %q", k)
	}
	if o := e.observed(1)[0]; !fault.Is(o.Err, fault.Cancelled) {
		t.Errorf("observed %+v", o)
	}
}
