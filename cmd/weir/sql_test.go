package main

import (
	"reflect"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/timestreamquery/types"
)

func TestStatementsEndAtSemicolonsOutsideQuotesAndComments(t *testing.T) {
	list, rest := statements("SELECT ';' -- a; b\n; SELECT \"x;\" /* ; */ ;; SELECT 3")
	want := []string{"SELECT ';' -- a; b", `SELECT "x;" /* ; */`}
	if !reflect.DeepEqual(list, want) || rest != "SELECT 3" {
		t.Fatalf("got %q and %q", list, rest)
	}
}

func answer() *table {
	scalar := func(s string) types.Datum { return types.Datum{ScalarValue: aws.String(s)} }
	null := types.Datum{NullValue: aws.Bool(true)}
	column := func(name string, t types.ScalarType) types.ColumnInfo {
		return types.ColumnInfo{Name: aws.String(name), Type: &types.Type{ScalarType: t}}
	}
	list := types.ColumnInfo{Name: aws.String("xs"), Type: &types.Type{ArrayColumnInfo: &types.ColumnInfo{Type: &types.Type{ScalarType: types.ScalarTypeBigint}}}}
	return &table{
		columns: []types.ColumnInfo{column("näme", types.ScalarTypeVarchar), column("n", types.ScalarTypeDouble), list},
		rows: [][]types.Datum{
			{scalar(`a "b"`), scalar("1.5"), {ArrayValue: []types.Datum{scalar("1"), null}}},
			{null, scalar("NaN"), null},
		},
	}
}

func TestAnswersPrintInEveryFormat(t *testing.T) {
	check := func(format, want string) {
		t.Helper()
		var b strings.Builder
		if err := renderers[format](&b, answer()); err != nil {
			t.Fatal(err)
		}
		if b.String() != want {
			t.Errorf("%s:\n%s\nwant\n%s", format, b.String(), want)
		}
	}
	check("table", "näme  | n   | xs\n------+-----+-----------\na \"b\" | 1.5 | [\"1\",null]\nNULL  | NaN | NULL\n(2 rows)\n")
	check("csv", "näme,n,xs\n\"a \"\"b\"\"\",1.5,\"[\"\"1\"\",null]\"\n,NaN,\n")
	check("json", "{\"näme\":\"a \\\"b\\\"\",\"n\":1.5,\"xs\":[1,null]}\n{\"näme\":null,\"n\":\"NaN\",\"xs\":null}\n")
}
