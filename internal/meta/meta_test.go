package meta

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weir-db/weir/internal/fault"
)

func open(t *testing.T, path string) *Store {
	t.Helper()
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func load(t *testing.T, s *Store, kind string) map[string]string {
	t.Helper()
	got := map[string]string{}
	if err := s.Load(kind, func(k string, doc []byte) error { got[k] = string(doc); return nil }); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestDocumentsSurviveReopening(t *testing.T) {
	path := filepath.Join(t.TempDir(), "meta.db")
	s := open(t, path)
	b := s.Bucket("tables")
	if err := b.Apply(map[string][]byte{"a": []byte("1"), "b": []byte("2"), "c": []byte("3")}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Save("roles", "r", []byte("{}")), b.Apply(map[string][]byte{"a": nil, "b": []byte("22")}), s.Delete("roles", "none")); err != nil {
		t.Fatal(err)
	}
	s.Close()
	s = open(t, path)
	defer s.Close()
	if got, want := load(t, s, "tables"), map[string]string{"b": "22", "c": "3"}; !maps.Equal(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	if got := load(t, s, "nothing"); len(got) != 0 {
		t.Fatalf("got %v", got)
	}
}

func TestAFileInUseIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "meta.db")
	s := open(t, path)
	defer s.Close()
	if _, err := Open(path); fault.KindOf(err) != fault.Unavailable || !strings.Contains(err.Error(), "in use") {
		t.Fatalf("second Open = %v", err)
	}
}

func TestAnEmptiedFileIsDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "meta.db")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); fault.KindOf(err) != fault.Corrupt {
		t.Fatalf("Open = %v, want fault.Corrupt: documents may have been there", err)
	}
}

func TestOnlyTheOwnerMayReadAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "meta.db")
	open(t, path).Close()
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v", info.Mode(), err)
	}
	if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 1 {
		t.Fatalf("left behind: %v", entries)
	}
}

func TestDumpShowsDocumentsAndRefusesAFileInUse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "meta.db")
	s := open(t, path)
	if err := s.Save("tables", "db/t", []byte(`{"a":1}`)); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := Dump(&b, path); fault.KindOf(err) != fault.Unavailable {
		t.Fatalf("Dump of an open file = %v", err)
	}
	s.Close()
	if err := Dump(&b, path); err != nil || b.String() != "tables: 1 documents\n  db/t  {\"a\":1}\n" {
		t.Fatalf("Dump = %q, %v", b.String(), err)
	}
}

func TestDumpHidesSecrets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "meta.db")
	s := open(t, path)
	for key, doc := range map[string]string{"user": `{"Keys":[{"ID":"AKIA1","Secret":"wJal\"r","Active":true}]}`, "session": "signs-all-sessions"} {
		if err := s.Save("iam", key, []byte(doc)); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	var b strings.Builder
	if err := Dump(&b, path); err != nil {
		t.Fatal(err)
	}
	want := "iam: 2 documents\n  session  (18 bytes, not shown)\n  user  {\"Keys\":[{\"ID\":\"AKIA1\",\"Secret\":\"(hidden)\",\"Active\":true}]}\n"
	if b.String() != want {
		t.Fatalf("Dump = %q, want %q", b.String(), want)
	}
}

func TestADamagedFileIsNamed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "meta.db")
	s := open(t, path)
	for range 20 {
		if err := s.Save("k", strings.Repeat("x", 50), make([]byte, 3000)); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i, damage := range []func(b []byte) []byte{
		func(b []byte) []byte {
			return []byte("not a database, only some text that is long enough to be looked at")
		},
		func(b []byte) []byte { clear(b[:8192]); return b },
		func(b []byte) []byte { return b[:4*os.Getpagesize()] },
		func(b []byte) []byte {
			for i := 8192; i < len(b); i++ {
				b[i] ^= 0xff
			}
			return b
		},
	} {
		if err := os.WriteFile(path, damage(append([]byte(nil), whole...)), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(path)
		if err == nil {
			err = s.Load("k", func(string, []byte) error { return nil })
			s.Close()
		}
		if fault.KindOf(err) != fault.Corrupt || !strings.Contains(err.Error(), path) {
			t.Errorf("damage %d: got %v, want fault.Corrupt with the path", i, err)
		}
	}
}
