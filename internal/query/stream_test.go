package query_test

import (
	"context"
	"testing"
	"time"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/query"
	"github.com/weir-db/weir/internal/vec"
)

func TestStreamGivesAllRowsOfASelectWithParameters(t *testing.T) {
	t.Parallel()
	e := newEnv(t, 3, 1000, query.Options{})
	at := vec.Int(vec.TimestampType, start.Add(-10*time.Second).UnixNano())
	st, err := e.Stream(t.Context(), query.StreamRequest{
		Caller: me, SQL: "SELECT k, i, @at AS at FROM d.t WHERE time > @at", Params: map[string]vec.Value{"at": at}, Insights: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(st.Columns) != 3 || st.Columns[2].Name != "at" || st.Columns[2].Type.Kind != vec.Timestamp {
		t.Errorf("columns %+v", st.Columns)
	}
	rows := 0
	for {
		b, err := st.Next()
		if err != nil {
			t.Fatal(err)
		}
		if b == nil {
			break
		}
		rows += b.Len
	}
	st.Close()
	stats := st.Stats()
	if rows != 30 || stats.Rows != 30 || stats.BytesMetered < 10_000_000 || stats.Insights == nil || stats.Insights.OutputRows != 30 {
		t.Errorf("%d rows, stats %+v", rows, stats)
	}
	if o := e.observed(1)[0]; o.Rows != 30 || o.Err != nil || o.QueryID == "" {
		t.Errorf("observed %+v", o)
	}
}

func TestStreamRefusesWhatIsNoSelect(t *testing.T) {
	t.Parallel()
	e := newEnv(t, 1, 1, query.Options{})
	for _, sql := range []string{"SHOW DATABASES", "SELECT nothing FROM d.t", "SELECT @missing", "SELEC"} {
		if _, err := e.Stream(t.Context(), query.StreamRequest{Caller: me, SQL: sql}); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", sql, err)
		}
	}
}

func TestStreamEndsWithItsContext(t *testing.T) {
	t.Parallel()
	e := newEnv(t, 3, 1000, query.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	st, err := e.Stream(ctx, query.StreamRequest{Caller: me, SQL: "SELECT * FROM d.t"})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	cancel()
	if _, err := st.Next(); !fault.Is(err, fault.Cancelled) {
		t.Errorf("got %v", err)
	}
}
