// Package internal holds weir's floors; this file keeps their order.
package internal

import (
	"go/build"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

const module = "github.com/weir-db/weir/"

// floors says on which floor each package stands (docs/architecture.md). The longest prefix
// wins. A package imports only packages on lower floors, or those that peers lists.
var floors = map[string]int{
	"vec": 0, "fault": 0, "arn": 0, "sigv4": 0, "telemetry": 0, "vfs": 0, "objstore": 0, "meta": 0, "clock": 0, "constraint": 0, "archive": 0, "unloadfiles": 0, "http1": 0,
	"catalog": 1, "iam": 1, "sql": 1, "storage": 1,
	"ingest": 2, "query": 2, "unload": 2, "schedule": 2, "batchload": 2, "iotrule": 2, "messaging": 2, "registry": 2,
	"importer": 2, "exporter": 2, // clients of the public API
	"awsapi": 3, "mqtt": 3, "pgwire": 3, "console": 3,
	"server": 4,
}

// peers are the arrows within a floor that are meant.
var peers = map[string][]string{
	"telemetry": {"clock"}, "objstore": {"vfs", "fault"}, "meta": {"fault"}, "sigv4": {"fault"}, "vfs": {"fault"},
	"vec": {"fault"}, "arn": {"fault"}, "constraint": {"fault"}, "archive": {"fault"},
	"catalog": {"storage"},
	"sql":     {"sql", "storage"},
	"storage": {"storage"},
	"query":   {"unload"}, "schedule": {"query", "ingest"}, "batchload": {"ingest"}, "iotrule": {"ingest"},
	"awsapi": {"awsapi"},
}

// pairs narrows the arrows inside sql and storage: importer -> allowed.
var pairs = map[string][]string{
	"sql/syntax":          {},
	"sql/fn":              {},
	"sql/plan":            {"sql/syntax", "sql/fn", "storage"},
	"sql/exec":            {"sql/plan", "sql/fn", "storage", "sql/exec/spill"},
	"sql/exec/spill":      {},
	"storage":             {},
	"storage/storagetest": {"storage"},
	"storage/embedded":    {"storage", "storage/embedded"},
}

func TestImportsOnlyGoDown(t *testing.T) {
	for _, pkg := range packages(t) {
		for _, imp := range imports(t, pkg) {
			if why := refuse(pkg, imp); why != "" {
				t.Errorf("%s imports %s: %s", pkg, imp, why)
			}
		}
	}
}

func refuse(pkg, imp string) string {
	from, to := root(pkg), root(imp)
	if from == to && from != "sql" && from != "storage" && from != "awsapi" {
		return ""
	}
	a, okA := floors[from]
	b, okB := floors[to]
	switch {
	case !okA:
		return "the importing package has no floor: add it to floors in this test"
	case !okB:
		return "the imported package has no floor: add it to floors in this test"
	case strings.HasPrefix(imp, "storage/embedded") && from != "server" && from != "storage":
		return "only server may import a backend, so that the product can change engines"
	case b > a:
		return "a lower floor must not know a higher one; pass an interface or a function in"
	case a == b && !contains(peers[from], to):
		return "packages on one floor do not import each other, except the arrows listed in peers"
	}
	if allowed, ok := narrow(pkg); ok && (to == "sql" || to == "storage") && !allowedBy(allowed, imp) {
		return "allowed here: " + strings.Join(allowed, ", ")
	}
	return ""
}

func narrow(pkg string) ([]string, bool) {
	for p := pkg; p != "."; p = path.Dir(p) {
		if allowed, ok := pairs[p]; ok {
			return allowed, true
		}
	}
	return nil, false
}

func allowedBy(allowed []string, imp string) bool {
	for _, a := range allowed {
		if imp == a || strings.HasPrefix(imp, a+"/") && a != "storage" {
			return true
		}
	}
	return false
}

func TestEveryPackageHasAComment(t *testing.T) {
	for _, pkg := range packages(t) {
		p, err := build.ImportDir(filepath.FromSlash(pkg), 0)
		if err != nil {
			continue // only tests
		}
		if p.Doc == "" {
			t.Errorf("%s has no package comment: say what it is, owns and promises", pkg)
		}
	}
}

// packages lists the folders below internal that hold Go files, slash-separated.
func packages(t *testing.T) []string {
	var pkgs []string
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() || name == "." {
			return err
		}
		if d.Name() == "testdata" {
			return filepath.SkipDir
		}
		if files, _ := filepath.Glob(filepath.Join(name, "*.go")); len(files) > 0 {
			pkgs = append(pkgs, filepath.ToSlash(name))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return pkgs
}

// imports lists the packages below internal that pkg's non-test files import.
func imports(t *testing.T, pkg string) []string {
	p, err := build.ImportDir(filepath.FromSlash(pkg), 0)
	if err != nil {
		if _, ok := err.(*build.NoGoError); ok || os.IsNotExist(err) {
			return nil
		}
		t.Fatal(err)
	}
	var out []string
	for _, imp := range p.Imports {
		if rest, ok := strings.CutPrefix(imp, module+"internal/"); ok {
			out = append(out, rest)
		}
	}
	return out
}

func root(pkg string) string { r, _, _ := strings.Cut(pkg, "/"); return r }

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}
