package weirtest_test

import (
	"fmt"
	"os"
	"testing"
)

// exampleTB stands in for the *testing.T that an example does not have.
type exampleTB struct {
	testing.TB
	cleanups []func()
	dir      string
}

func (t *exampleTB) Helper()          {}
func (t *exampleTB) Failed() bool     { return false }
func (t *exampleTB) Cleanup(f func()) { t.cleanups = append(t.cleanups, f) }
func (t *exampleTB) Fatalf(format string, args ...any) {
	panic(fmt.Sprintf(format, args...))
}

func (t *exampleTB) TempDir() string {
	t.dir, _ = os.MkdirTemp("", "weirtest")
	return t.dir
}

func (t *exampleTB) end() {
	for _, f := range t.cleanups {
		f()
	}
	os.RemoveAll(t.dir)
}
