package fn

import (
	"bytes"
	"flag"
	"os"
	"slices"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write docs/functions.md anew")

func TestReferenceIsCurrent(t *testing.T) {
	const path = "../../../docs/functions.md"
	want := registry.Reference()
	if *rewrite {
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("docs/functions.md is not what the registry says (%v); go test ./internal/sql/fn -rewrite writes it", err)
	}
}

func TestEveryCategoryIsInTheReference(t *testing.T) {
	check := func(signature string, d Docs) {
		if !slices.Contains(categories, d.Category) {
			t.Errorf("%s has the category %q, which the reference leaves out", signature, d.Category)
		}
	}
	for _, s := range registry.Scalars() {
		check(s.Signature, s.Docs)
	}
	for _, a := range registry.Aggregates() {
		check(a.Signature, a.Docs)
	}
	for _, w := range registry.Windows() {
		check(w.Signature, w.Docs)
	}
}
