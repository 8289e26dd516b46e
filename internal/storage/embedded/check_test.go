package embedded_test

import (
	"io"
	"math"
	"strings"
	"testing"

	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/storage/embedded"
	"github.com/weir-db/weir/internal/vec"
	"github.com/weir-db/weir/internal/vfs"
)

func TestCheckFindsDamageAndNamesTheFile(t *testing.T) {
	fsys := vfs.NewMem()
	clk := clock.New()
	s, err := embedded.Open(t.Context(), embedded.Options{FS: fsys, Clock: clk})
	if err != nil {
		t.Fatal(err)
	}
	id := storage.TableID{Database: "db", Table: "t", Incarnation: 1}
	if err := s.CreateTable(t.Context(), id, storage.Policy{MemoryRetention: 1 << 50, MagneticRetention: 1 << 50}); err != nil {
		t.Fatal(err)
	}
	table, err := s.Table(id)
	if err != nil {
		t.Fatal(err)
	}
	rows := &storage.Rows{Columns: []storage.Column{{Name: "x", Type: vec.DoubleType, Role: storage.Attribute}}}
	for i := range int64(100) {
		rows.Rows = append(rows.Rows, storage.Row{Measure: "m", Dimensions: []storage.Dim{{Name: "d", Value: "a"}}, TimeNs: clk.Now().UnixNano() - i, Version: 1, Multi: true,
			Values: []storage.Val{{Bits: math.Float64bits(float64(i))}}})
	}
	if _, err := table.Write(t.Context(), rows); err != nil {
		t.Fatal(err)
	}
	if _, err := embedded.Check(t.Context(), io.Discard, fsys, nil); fault.KindOf(err) != fault.Conflict {
		t.Fatalf("Check of a store in use = %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if _, err := embedded.Check(t.Context(), &out, fsys, nil); err != nil || !strings.Contains(out.String(), "db.t: 1 segments, 100 rows") {
		t.Fatalf("Check = %v\n%s", err, out.String())
	}
	dirs, _ := fsys.List("segments")
	names, _ := fsys.List("segments/" + dirs[0])
	name := "segments/" + dirs[0] + "/" + names[0]
	f, err := fsys.OpenReadWrite(name)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteAt([]byte{0xff, 0xff}, 3)
	f.Close()
	_, err = embedded.Check(t.Context(), io.Discard, fsys, nil)
	if fault.KindOf(err) != fault.Corrupt || !strings.Contains(err.Error(), names[0]) {
		t.Fatalf("Check of a damaged segment = %v", err)
	}
}
