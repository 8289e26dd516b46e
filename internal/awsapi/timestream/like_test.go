package timestream

import (
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/weir-db/weir/internal/catalog"
	"github.com/weir-db/weir/internal/ingest"
	"github.com/weir-db/weir/internal/storage"
)

// recorder is a backend that keeps a copy of what was written last.
type recorder struct {
	storage.Backend
	last *storage.Rows
}

func (*recorder) CreateTable(context.Context, storage.TableID, storage.Policy) error { return nil }
func (*recorder) Tables() []storage.TableID                                          { return nil }
func (r *recorder) Table(storage.TableID) (storage.Table, error)                     { return recorderTable{nil, r}, nil }

type recorderTable struct {
	storage.Table
	r *recorder
}

// memoOwner marks the memos of recorderTable.
var memoOwner int64

func (t recorderTable) Write(_ context.Context, rows *storage.Rows) (storage.Receipt, error) {
	keep := &storage.Rows{Columns: append([]storage.Column(nil), rows.Columns...)}
	for _, row := range rows.Rows {
		series := fmt.Sprintf("%q %q", row.Measure, row.Dimensions)
		if m := row.Memo; m != nil {
			if m.Owner == &memoOwner && seriesOfMemo[m.ID] != series {
				return storage.Receipt{}, fmt.Errorf("the memo of %s comes with %s", seriesOfMemo[m.ID], series)
			}
			seriesOfMemo = append(seriesOfMemo, series)
			*m = storage.Memo{Owner: &memoOwner, ID: uint64(len(seriesOfMemo) - 1)}
		}
		row.Memo = nil
		row.Dimensions = append([]storage.Dim(nil), row.Dimensions...)
		row.Values = append([]storage.Val(nil), row.Values...)
		keep.Rows = append(keep.Rows, row)
	}
	t.r.last = keep
	return storage.Receipt{Memory: len(rows.Rows)}, nil
}

var seriesOfMemo []string

// TestRecordsLikeOthersAreJudgedAsIfWrittenOut sends bodies that differ in little through one warm
// decoder, and compares rows, metering and every error with those of the records written out.
func TestRecordsLikeOthersAreJudgedAsIfWrittenOut(t *testing.T) {
	backend := &recorder{}
	c, err := catalog.Open(t.Context(), catalog.Options{Backend: backend})
	if err == nil {
		_, err = c.CreateDatabase(t.Context(), "db", "", nil)
	}
	if err == nil {
		_, err = c.CreateTable(t.Context(), catalog.NewTable{Database: "db", Name: "t"})
	}
	if err != nil {
		t.Fatal(err)
	}
	limits := ingest.Limits{Records: 6, Measures: 4, DimensionBytes: 30, MultiBytes: 40, ValueBytes: 20}
	service := ingest.New(ingest.Options{Catalog: c, Limits: limits})
	r := rand.New(rand.NewPCG(7, 9))
	pick := func(of ...string) string { return of[r.IntN(len(of))] }
	rarely := func(n int, odd, usual string) string {
		if r.IntN(n) == 0 {
			return odd
		}
		return usual
	}
	number := func() string {
		return rarely(80, pick("", "x", "NaN", "-0", "1e999", strings.Repeat("1", 21), "1e2", "\\u0031"), pick("1", "-2.5", "33.25", "0", "100"))
	}
	dims := func() string {
		return `"Dimensions":[{"Name":"` + rarely(30, pick("", "e", "a", "time"), "d") + `","Value":"` + rarely(30, pick("", strings.Repeat("v", 40), "\\u0031"), rarely(3, fmt.Sprint(r.IntN(1e6)), pick("x", "y", "z"))) + `"}]`
	}
	var fine, refused, like, alike int
	warm := new(decoder)
	warm.lists.fill()
	for range 20000 {
		common := rarely(3, `"CommonAttributes":{`+dims()+pick("", `,"MeasureValues":[{"Name":"c","Value":"`+number()+`","Type":"DOUBLE"}]`, `,"Time":"5"`, `,"TimeUnit":"SECONDS"`, `,"Version":3`)+`},`, "")
		single, own := r.IntN(3) == 0, rarely(4, "", ",")
		record := func() string {
			b := "{"
			if own != "" {
				b += strings.Replace(dims(), `"d"`, rarely(60, `"d"`, `"own"`), 1) + ","
			}
			if single {
				b += `"MeasureName":"` + pick("m", "n") + `","MeasureValue":"` + number() + `","MeasureValueType":"` + rarely(40, "BIGINT", "DOUBLE") + `"`
			} else {
				b += `"MeasureName":"m","MeasureValueType":"MULTI","MeasureValues":[{"Name":"a","Value":"` + number() + `","Type":"DOUBLE"},{"Value":"` +
					rarely(60, pick("", "long long long long long", "zwanzig Zeichen üüüü"), pick("ok", "ö", "1")) + `","Name":"b","Type":"` + rarely(60, pick("BIGINT", "X"), "VARCHAR") + `"}]`
			}
			return b + rarely(40, "", `,"Time":"`+rarely(60, pick("", "x", "-5", "9223372036854775807"), pick("1", "22", "1772600767890"))+`"`) + rarely(20, `,"Version":`+pick("1", "2", "0", "-1"), "") + "}"
		}
		var list []string
		for range 1 + r.IntN(7) {
			list = append(list, record())
		}
		text := []byte(`{"DatabaseName":"db","TableName":"t",` + common + `"Records":[` + strings.Join(list, ",") + `]}`)
		req, err := warm.decode(text, service.Limits())
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		for i := range req.Records {
			if req.Records[i].Like > 0 {
				like++
				if req.Records[i].Alike != nil {
					alike++
				}
			}
		}
		plain := written(req)
		backend.last = nil
		got, gotErr := service.Write(t.Context(), req)
		gotRows := backend.last
		backend.last = nil
		want, wantErr := service.Write(t.Context(), plain)
		if fmt.Sprint(gotErr) != fmt.Sprint(wantErr) || got != want || !reflect.DeepEqual(gotRows, backend.last) {
			t.Fatalf("%s:\ngot  %+v %v\n     %+v\nwant %+v %v\n     %+v", text, got, gotErr, gotRows, want, wantErr, backend.last)
		}
		if gotErr == nil {
			fine++
		} else {
			refused++
		}
	}
	if fine < 2000 || refused < 2000 || like < 10000 || alike < 2000 {
		t.Errorf("%d requests fine, %d refused, %d records like others, %d of them with lists alike: the test tests little", fine, refused, like, alike)
	}
}

// fill leaves no room for lists but that of others.
func (c *dimensionLists) fill() {
	c.sets, c.lists = make([]listSet, listSets), make([]dimensionList, learnedLists)
	for i := range c.sets {
		for way := range listWays {
			c.sets[i].kept[way] = 2 // no list's: these are odd
		}
	}
}

func TestListsAreKeptOnceTheyComeAgain(t *testing.T) {
	t.Parallel()
	d := new(decoder)
	d.lists.fill()
	write := func(device string) (kept bool) {
		t.Helper()
		req, err := d.decode([]byte(`{"Records":[{"Dimensions":[{"Name":"d","Value":"`+device+`"}],"Time":"1"}]}`), wide)
		if err != nil {
			t.Fatal(err)
		}
		r := &req.Records[0]
		if len(r.Dimensions) != 1 || r.Dimensions[0].Name != "d" || r.Dimensions[0].Value != device {
			t.Fatalf("%+v", r.Dimensions)
		}
		return r.List != nil && r.List != &d.example.list
	}
	for i := range 5000 {
		if write(fmt.Sprint("passes by ", i)) {
			t.Fatal("a list is known at first sight")
		}
	}
	write("stays")
	write("stays")
	if !write("stays") {
		t.Fatal("a list that came twice is not kept")
	}
	for i := range 5000 {
		write(fmt.Sprint("passes by later ", i))
	}
	if !write("stays") {
		t.Error("a list was given up for others that come but once")
	}
}
