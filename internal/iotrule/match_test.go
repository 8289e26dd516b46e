package iotrule

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/weir-db/weir/internal/iotrule/iotsql"
)

func TestTrieAgreesWithMatchFilter(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	pick := func(from []string) string {
		levels := make([]string, 1+r.IntN(4))
		for i := range levels {
			levels[i] = from[r.IntN(len(from))]
		}
		return strings.Join(levels, "/")
	}
	var index trie
	var filters []string
	for len(filters) < 300 {
		f := pick([]string{"a", "b", "", "+", "$x", "+"})
		if r.IntN(3) == 0 {
			f += "/#"
		}
		if len(filters) == 0 {
			f = "#"
		}
		filters = append(filters, f)
		index.add(f, &compiled{filter: f})
	}
	for range 2000 {
		topic := pick([]string{"a", "b", "", "c", "$x"})
		var got, want []string
		for _, c := range index.match(nil, topic) {
			got = append(got, c.filter)
		}
		for _, f := range filters {
			if iotsql.MatchFilter(f, topic) {
				want = append(want, f)
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Fatalf("topic %q: got %q, want %q", topic, got, want)
		}
	}
}
