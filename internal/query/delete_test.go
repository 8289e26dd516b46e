package query_test

import (
	"context"
	"strings"
	"testing"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/query"
	"github.com/weir-db/weir/internal/sql/plan"
)

func TestDeleteAnswersHowManyRowsThereWere(t *testing.T) {
	t.Parallel()
	e := newEnv(t, 5, 10, query.Options{AllowDelete: true})
	check := func(sql, want string) {
		t.Helper()
		pages := e.all(query.Request{SQL: sql})
		if got := rows(pages...); len(got) != 1 || got[0] != want {
			t.Errorf("%s: %q, want %s", sql, got, want)
		}
	}
	check("DELETE FROM d.t WHERE k = 'k001'", "10")
	check("DELETE FROM d.t WHERE k = 'k001'", "0")
	check("DELETE FROM d.t WHERE time > now() - 3s AND k IN ('k000', 'k002') AND measure_name = 'm'", "6")
	check("DELETE FROM d.t WHERE upper(k) LIKE '%3' AND time BETWEEN ago(4s) AND ago(2s)", "3")
	check("DELETE FROM d.t WHERE NOT k <> 'k000' AND time < now()", "7")
	check("SELECT count(*) FROM d.t", "24")
	check("DELETE FROM d.t WHERE 1 = 2", "0")
	check("DELETE FROM d.t WHERE true", "24")
	if got := columns(e.all(query.Request{SQL: "DELETE FROM d.t WHERE true"})[0]); got != "rows bigint" {
		t.Errorf("columns %s", got)
	}
}

func TestDeleteRefusesWhatStorageCannotDeleteBy(t *testing.T) {
	t.Parallel()
	e := newEnv(t, 2, 2, query.Options{AllowDelete: true})
	for sql, want := range map[string]string{
		"DELETE FROM d.t":                                           "line 1:1: DELETE needs a WHERE",
		"DELETE FROM d.t WHERE i = 1":                               "line 1:25: DELETE takes conditions",
		"DELETE FROM d.t WHERE i IS NULL AND k = 'k000'":            "DELETE takes conditions",
		"DELETE FROM d.t WHERE k = 'k000' OR measure_name = 'm'":    "DELETE takes conditions",
		"DELETE FROM d.t WHERE k = measure_name":                    "DELETE takes conditions",
		"DELETE FROM d.t WHERE time <> now()":                       "DELETE takes conditions",
		"DELETE FROM d.t WHERE bin(time, 1h) = now()":               "DELETE takes conditions",
		"DELETE FROM d.t WHERE k IN (SELECT k FROM d.t)":            "DELETE takes conditions",
		"DELETE FROM d.t WHERE rand() < 0.5":                        "DELETE takes conditions",
		"DELETE FROM d.t WHERE nothing = 1":                         "nothing",
		"DELETE FROM d.nothing WHERE true":                          "nothing",
		"DELETE FROM d.t WHERE CAST(substr(k, 1, 1) AS bigint) = 1": "cannot be evaluated for every value",
	} {
		_, err := e.Query(context.Background(), query.Request{SQL: sql})
		if err == nil || !strings.Contains(fault.MessageOf(err), want) || fault.KindOf(err) != fault.Invalid && fault.KindOf(err) != fault.Execution {
			t.Errorf("%s: %v (%v), want %q", sql, err, fault.KindOf(err), want)
		}
	}
	if got := rows(e.all(query.Request{SQL: "SELECT count(*) FROM d.t"})...); got[0] != "4" {
		t.Errorf("%s rows are left", got)
	}
}

func TestWithoutItsSettingDeleteIsNoStatement(t *testing.T) {
	t.Parallel()
	e := newEnv(t, 1, 1, query.Options{})
	_, err := e.Query(context.Background(), query.Request{SQL: " DELETE FROM d.t WHERE true"})
	if !fault.Is(err, fault.Invalid) || fault.MessageOf(err) != "The query syntax is invalid at line 1:2" {
		t.Errorf("%v", err)
	}
	if got := rows(e.all(query.Request{SQL: "SELECT count(*) FROM d.t"})...); got[0] != "1" {
		t.Errorf("%s rows are left", got)
	}
}

func TestDeleteIsAnActionOfItsOwn(t *testing.T) {
	t.Parallel()
	var asked []string
	e := newEnv(t, 1, 1, query.Options{AllowDelete: true, Authorize: func(_ context.Context, _, action string, tables []plan.TableRef) error {
		asked = append(asked, action)
		if action == query.DeleteAction && len(tables) == 1 && tables[0] == (plan.TableRef{Database: "d", Table: "t"}) {
			return fault.New(fault.Denied, "no")
		}
		return nil
	}})
	if _, err := e.Query(context.Background(), query.Request{SQL: "DELETE FROM d.t WHERE true"}); !fault.Is(err, fault.Denied) {
		t.Errorf("%v, asked %q", err, asked)
	}
	if got := rows(e.all(query.Request{SQL: "SELECT count(*) FROM d.t"})...); got[0] != "1" {
		t.Errorf("%s rows are left", got)
	}
}
