package query_test

import (
	"testing"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/query"
	"github.com/weir-db/weir/internal/sql/syntax"
	"github.com/weir-db/weir/internal/vec"
)

func TestPostgresTextsResolveTablesInTheSessionsDatabase(t *testing.T) {
	t.Parallel()
	e := newEnv(t, 3, 1000, query.Options{MaxOpen: 1})
	req := query.StreamRequest{
		Caller: me, Dialect: syntax.Postgres, Database: "d", Bounded: true,
		SQL: "SELECT count(*), current_database() FROM t WHERE time > $1 AND time < '2199-01-01T00:00:00Z'",
	}
	p, err := e.Describe(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	if p.Columns[0].Name != "count" || p.Columns[1].Name != "current_database" || len(p.Parameters) != 1 || p.Parameters[0].Type.Kind != vec.Timestamp {
		t.Errorf("described %+v", p)
	}
	req.Params = map[string]vec.Value{"1": vec.Str("1970-01-01T00:00:00Z")}
	st, err := e.Stream(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := st.Next(); err != nil || b.Columns[0].Value(0).Int == 0 || b.Columns[1].Value(0).Str != "d" {
		t.Errorf("%v, %v", b, err)
	}
	if _, err := e.Stream(t.Context(), req); !fault.Is(err, fault.Throttled) {
		t.Errorf("beyond the bound: %v", err)
	}
	st.Close()
	st, err = e.Stream(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	st.Close()
}
