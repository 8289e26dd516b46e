package sql_test

import (
	"context"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/sql/fn"
	"github.com/weir-db/weir/internal/storage/storagetest"
	"github.com/weir-db/weir/test/sql/sqltest"
)

// TestDocumentedExamplesRunInQueries puts the example of every function through the
// whole engine: what the reference prints is what a user gets.
func TestDocumentedExamplesRunInQueries(t *testing.T) {
	l := sqltest.Local{Clock: clock.Manual(sqltest.Start)}
	l.Backend = storagetest.NewNaive(l.Clock)
	check := func(signature string, d fn.Docs) {
		r, err := l.Query(context.Background(), "SELECT "+d.Example)
		switch {
		case err != nil:
			t.Errorf("%s: SELECT %s: %s", signature, d.Example, fault.MessageOf(err))
		case d.Result != "" && !sameNumber(r.Rows[0][0], d.Result):
			t.Errorf("%s: SELECT %s = %s, want %s", signature, d.Example, r.Rows[0][0], d.Result)
		}
	}
	registry := fn.New()
	for _, s := range registry.Scalars() {
		check(s.Signature, s.Docs)
	}
	for _, a := range registry.Aggregates() {
		check(a.Signature, a.Docs)
	}
}

// sameNumber compares texts, those of doubles to twelve digits.
func sameNumber(got, want string) bool {
	g, err1 := strconv.ParseFloat(got, 64)
	w, err2 := strconv.ParseFloat(want, 64)
	return got == want || err1 == nil && err2 == nil && strings.Contains(want, ".") && math.Abs(g-w) <= 1e-12*math.Abs(w)
}
