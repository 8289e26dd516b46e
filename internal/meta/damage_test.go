package meta

import (
	"encoding/binary"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weir-db/weir/internal/fault"
)

var damages = flag.Int("damages", 300, "how many random damages to try")

// TestRandomDamageIsAnErrorOrChangesNothing damages the file at random places.
func TestRandomDamageIsAnErrorOrChangesNothing(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "meta.db")
	s := open(t, path)
	want := map[string]map[string]string{"large": {}, "small": {"a": "1", "b": "2"}, "gone": {}}
	batch := map[string][]byte{}
	for i := range 120 {
		key, doc := fmt.Sprintf("document-%03d", i), fmt.Sprintf(`{"n":%d,"text":"%0200d"}`, i, i)
		batch[key], want["large"][key] = []byte(doc), doc
	}
	long := strings.Repeat("x", 9000) // pages with an overflow
	batch["long"], want["large"]["long"] = []byte(long), long
	for _, err := range []error{
		s.Apply("large", batch), s.Apply("small", map[string][]byte{"a": []byte("1"), "b": []byte("2")}),
		s.Save("gone", "x", []byte("{}")), s.Delete("gone", "x"),
		// The same again, so that both meta pages lead to the same documents.
		s.Save("small", "a", []byte("1")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for seed := range uint64(*damages) {
		r := rand.New(rand.NewPCG(seed, 3))
		b := append([]byte(nil), whole...)
		page := r.IntN(len(b)/4096) * 4096
		switch r.IntN(5) {
		case 0:
			b[r.IntN(len(b))] ^= 1 << r.IntN(8)
		case 1: // in a page's header or its first elements
			b[page+r.IntN(64)] = byte(r.IntN(256))
		case 2:
			clear(b[page : page+4096])
		case 3: // one page in another's place
			copy(b[page:page+4096], whole[r.IntN(len(b)/4096)*4096:][:4096])
		case 4: // a child, a position or a size
			binary.LittleEndian.PutUint64(b[page+16+8*r.IntN(16):], uint64(r.IntN(64)))
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		err := sameDocuments(path, want)
		if err != nil && fault.KindOf(err) != fault.Corrupt {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

// sameDocuments opens a file and reads and changes it; damage that goes unnoticed is
// an error without a kind.
func sameDocuments(path string, want map[string]map[string]string) error {
	s, err := Open(path)
	if err != nil {
		return err
	}
	defer s.Close()
	for kind, docs := range want {
		got := map[string]string{}
		if err := s.Load(kind, func(k string, doc []byte) error { got[k] = string(doc); return nil }); err != nil {
			return err
		}
		if !maps.Equal(got, docs) {
			return fmt.Errorf("%d documents of kind %s are not the %d that were written", len(got), kind, len(docs))
		}
	}
	return s.Save("small", "c", []byte("3"))
}
