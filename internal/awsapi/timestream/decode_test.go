package timestream

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/weir-db/weir/internal/awsapi/wire"
	"github.com/weir-db/weir/internal/ingest"
)

// wide are limits that no test body reaches, so that nothing is skipped.
var wide = ingest.Limits{Records: 1 << 20, Measures: 1 << 20}

// decoded is decode without the pool.
func decoded(body string, limits ingest.Limits) (*ingest.Request, error) {
	req, err := new(decoder).decode([]byte(body), limits)
	return written(req), err
}

// written returns a request with all records written out, and without what a decoder keeps of it.
func written(req *ingest.Request) *ingest.Request {
	if req == nil {
		return nil
	}
	w := *req
	if req.Records != nil {
		w.Records = []ingest.Record{}
	}
	w.Common.List = nil
	for i := range req.Records {
		r := req.Whole(i, nil)
		if r.List != nil && !reflect.DeepEqual(r.List.Dims, r.Dimensions) {
			panic("the list is not the dimensions'")
		}
		if r.Alike != nil {
			dims := slices.Clone(r.Alike.Dims)
			for k := range dims {
				dims[k].Value = r.Dimensions[k].Value
			}
			if !reflect.DeepEqual(dims, r.Dimensions) {
				panic("the list that is alike differs in more than values")
			}
		}
		r.List, r.Alike = nil, nil
		w.Records = append(w.Records, r)
	}
	return &w
}

func TestDecodeKeepsEveryMember(t *testing.T) {
	t.Parallel()
	req, err := decoded(` { "Records" : [ { "Version" : 7, "TimeUnit":"SECONDS", "Time": "1", "MeasureValueType":"MULTI",
		"MeasureValues":[{"Type":"DOUBLE","Value":"1.5","Name":"a"},{"Name":"b","Value":"","Type":"VARCHAR"}],
		"Dimensions":[{"Name":"h","Value":"x","DimensionValueType":"VARCHAR"},{"Value":"y"}] }, {}, null ],
		"CommonAttributes": {"MeasureName":"m","MeasureValue":"v"}, "TableName":"t", "DatabaseName":"d\u00e9\n😀" }`, wide)
	if err != nil {
		t.Fatal(err)
	}
	want := &ingest.Request{
		Database: "dé\n😀", Table: "t",
		Common: ingest.Record{MeasureName: "m", MeasureValue: "v", Given: ingest.GivenMeasureName | ingest.GivenMeasureValue},
		Records: []ingest.Record{{
			Version: 7, TimeUnit: "SECONDS", Time: "1", Type: "MULTI",
			MeasureValues: []ingest.MeasureValue{{Name: "a", Value: "1.5", Type: "DOUBLE"}, {Name: "b", Type: "VARCHAR"}},
			Dimensions:    []ingest.Dimension{{Name: "h", Value: "x", Type: "VARCHAR", TypeGiven: true}, {Value: "y", Absent: ingest.AbsentName}},
			Given:         ingest.GivenVersion | ingest.GivenTimeUnit | ingest.GivenTime | ingest.GivenType,
		}, {}, {}},
	}
	if !reflect.DeepEqual(req, want) {
		t.Errorf("got  %+v\nwant %+v", req, want)
	}
}

func TestDecodeTellsAbsentFromEmpty(t *testing.T) {
	t.Parallel()
	check := func(body string, want *ingest.Request) {
		t.Helper()
		if got, err := decoded(body, wide); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v, want %+v", body, got, err, want)
		}
	}
	check(`{}`, &ingest.Request{})
	check(`{"Records":null,"CommonAttributes":null,"DatabaseName":null,"X":[{"y":null}]}`, &ingest.Request{})
	check(`{"Records":[]}`, &ingest.Request{Records: []ingest.Record{}})
	check(`{"CommonAttributes":{}}`, &ingest.Request{})
	check(`{"CommonAttributes":{"MeasureName":"","Version":0,"Time":null,"Dimensions":null,"MeasureValues":[]}}`,
		&ingest.Request{Common: ingest.Record{Given: ingest.GivenMeasureName | ingest.GivenVersion}})
	check(`{"CommonAttributes":{"Time":"1"},"CommonAttributes":{"Version":2,"Version":3}}`,
		&ingest.Request{Common: ingest.Record{Version: 3, Given: ingest.GivenVersion}})
	check(`{"TableName":"a","TableName":null}`, &ingest.Request{})
	check(`{"databasename":"a","databaseName":"b"}`, &ingest.Request{})
}

func TestDecodeRefusesWhatIsNotAWriteRecordsBody(t *testing.T) {
	t.Parallel()
	check := func(body, text string) {
		t.Helper()
		_, err := decoded(body, wide)
		var e *wire.Exception
		if !errors.As(err, &e) || e.Name != "SerializationException" || e.Status != 400 || !strings.Contains(e.Message, text) {
			t.Errorf("%.40s: got %v, want a SerializationException with %q", body, err, text)
		}
	}
	check(``, "not a JSON object")
	check(`[]`, "not a JSON object")
	check(`"x"`, "not a JSON object")
	check(`{`, "no member name at offset 1")
	check(`{"a":1,}`, "no member name")
	check(`{"a":1}}`, "something after")
	check(`{"a":1} x`, "something after")
	check("{\"a\":1}\x00", "a control character")
	check(`{"a" 1}`, "no colon")
	check(`{"a":}`, "no value")
	check(`{"a":01}`, "no comma")
	check(`{"a":1.}`, "no value")
	check(`{"a":nul}`, "an unknown word")
	check(`{"a":"`, "a string without end")
	check("{\"a\":\"\n\"}", "a control character in a string")
	check("{\"a\":\"12345678\n\"}", "a control character in a string")
	check(`{"a":"\x"}`, "an unknown escape")
	check(`{"a":"\u12"}`, "an unknown escape")
	check("{\"a\":\"\xff\"}", "not UTF-8")
	check(`{"TableName":5}`, "TableName must be a string")
	check(`{"Records":{}}`, "Records must be a list")
	check(`{"Records":["x"]}`, "Records must be a structure")
	check(`{"Records":[{"Dimensions":{}}]}`, "Dimensions must be a list")
	check(`{"Records":[{"Dimensions":[1]}]}`, "Dimensions must be a structure")
	check(`{"Records":[{"Dimensions":[{"Name":true}]}]}`, "Name must be a string")
	check(`{"Records":[{"MeasureValue":1.5}]}`, "MeasureValue must be a string")
	check(`{"Records":[{"MeasureValues":[{"Value":1}]}]}`, "Value must be a string")
	check(`{"Records":[{"Time":1}]}`, "Time must be a string")
	check(`{"Records":[{"Version":"1"}]}`, "Version must be a number")
	check(`{"Records":[{"Version":1.5}]}`, "Version must be a 64-bit integer")
	check(`{"Records":[{"Version":9223372036854775808}]}`, "Version must be a 64-bit integer")
	check(`{"X":`+strings.Repeat(`[`, 100000), "nested more than 64 deep")
}

func TestDecodeHoldsNoMoreThanTheLimitsAllow(t *testing.T) {
	t.Parallel()
	limits := ingest.Limits{Records: 100, Measures: 256}
	many := func(n int, what string) string { return strings.TrimSuffix(strings.Repeat(what+",", n), ",") }
	req, err := decoded(`{"Records":[`+many(5000, `{}`)+`]}`, limits)
	if err != nil || len(req.Records) != 101 {
		t.Errorf("%d records, %v", len(req.Records), err)
	}
	req, err = decoded(`{"CommonAttributes":{"Dimensions":[`+many(5000, `{}`)+`],"MeasureValues":[`+many(5000, `{}`)+`]}}`, limits)
	if err != nil || len(req.Common.Dimensions) != 129 || len(req.Common.MeasureValues) != 257 {
		t.Errorf("%d dimensions, %d measure values, %v", len(req.Common.Dimensions), len(req.Common.MeasureValues), err)
	}
}

func TestViewSharesMemory(t *testing.T) {
	b := []byte("abc")
	s := view(b)
	b[0] = 'x'
	if s != "xbc" || view(nil) != "" {
		t.Errorf("view = %q", s)
	}
}

// member is one name and value of an object; oracle reads objects as lists of
// them, so that what a name given twice means is decided here and not by encoding/json.
type member struct {
	name  string
	value any
}

func oracle(d *json.Decoder) any {
	tok, err := d.Token()
	if err != nil {
		panic(err) // the text was checked before
	}
	switch tok {
	case json.Delim('{'):
		list := []member{}
		for d.More() {
			name, _ := d.Token()
			list = append(list, member{name.(string), oracle(d)})
		}
		_, _ = d.Token()
		return list
	case json.Delim('['):
		list := []any{}
		for d.More() {
			list = append(list, oracle(d))
		}
		_, _ = d.Token()
		return list
	}
	return tok
}

var errShape = errors.New("wrong type")

func oracleText(v any, set func(s string, given bool)) {
	s, ok := v.(string)
	if !ok && v != nil {
		panic(errShape)
	}
	set(s, ok)
}

func oracleMembers(v any, f func(name string, v any)) {
	list, ok := v.([]member)
	if !ok && v != nil {
		panic(errShape)
	}
	for _, m := range list {
		f(m.name, m.value)
	}
}

func oracleList[T any](v any, f func(v any) T) []T {
	list, ok := v.([]any)
	if !ok && v != nil {
		panic(errShape)
	}
	var out []T
	for _, e := range list {
		out = append(out, f(e))
	}
	return out
}

func oracleRecord(v any) (r ingest.Record) {
	text := func(v any, bit ingest.Members) (s string) {
		oracleText(v, func(text string, given bool) {
			s, r.Given = text, r.Given&^bit
			if given {
				r.Given |= bit
			}
		})
		return s
	}
	oracleMembers(v, func(name string, v any) {
		switch name {
		case "Dimensions":
			r.Dimensions = oracleList(v, func(v any) ingest.Dimension {
				d := ingest.Dimension{Absent: ingest.AbsentName | ingest.AbsentValue}
				oracleMembers(v, func(name string, v any) {
					switch name {
					case "Name":
						d.Name = oracleRequired(v, &d.Absent, ingest.AbsentName)
					case "Value":
						d.Value = oracleRequired(v, &d.Absent, ingest.AbsentValue)
					case "DimensionValueType":
						oracleText(v, func(s string, given bool) { d.Type, d.TypeGiven = ingest.ValueType(s), given })
					}
				})
				return d
			})
		case "MeasureValues":
			r.MeasureValues = oracleList(v, func(v any) ingest.MeasureValue {
				m := ingest.MeasureValue{Absent: ingest.AbsentName | ingest.AbsentValue | ingest.AbsentType}
				oracleMembers(v, func(name string, v any) {
					switch name {
					case "Name":
						m.Name = oracleRequired(v, &m.Absent, ingest.AbsentName)
					case "Value":
						m.Value = oracleRequired(v, &m.Absent, ingest.AbsentValue)
					case "Type":
						m.Type = ingest.ValueType(oracleRequired(v, &m.Absent, ingest.AbsentType))
					}
				})
				return m
			})
		case "MeasureName":
			r.MeasureName = text(v, ingest.GivenMeasureName)
		case "MeasureValue":
			r.MeasureValue = text(v, ingest.GivenMeasureValue)
		case "MeasureValueType":
			r.Type = ingest.ValueType(text(v, ingest.GivenType))
		case "Time":
			r.Time = text(v, ingest.GivenTime)
		case "TimeUnit":
			r.TimeUnit = ingest.TimeUnit(text(v, ingest.GivenTimeUnit))
		case "Version":
			r.Version, r.Given = 0, r.Given&^ingest.GivenVersion
			if v != nil {
				n, ok := v.(json.Number)
				i, err := n.Int64()
				if !ok || err != nil {
					panic(errShape)
				}
				r.Version, r.Given = i, r.Given|ingest.GivenVersion
			}
		}
	})
	return r
}

func oracleRequired(v any, absent *ingest.Absent, bit ingest.Absent) (s string) {
	oracleText(v, func(text string, given bool) {
		s, *absent = text, *absent|bit
		if given {
			*absent &^= bit
		}
	})
	return s
}

// oracleRequest is decode by way of encoding/json.
func oracleRequest(body []byte) (req *ingest.Request, err error) {
	if !json.Valid(body) || !utf8.Valid(body) {
		return nil, errShape
	}
	defer func() {
		if p := recover(); p != nil {
			if err, _ = p.(error); err != errShape {
				panic(p)
			}
		}
	}()
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	tree := oracle(d)
	if _, ok := tree.([]member); !ok {
		return nil, errShape
	}
	req = &ingest.Request{}
	oracleMembers(tree, func(name string, v any) {
		switch name {
		case "DatabaseName":
			oracleText(v, func(s string, _ bool) { req.Database = s })
		case "TableName":
			oracleText(v, func(s string, _ bool) { req.Table = s })
		case "CommonAttributes":
			req.Common = oracleRecord(v)
		case "Records":
			req.Records = oracleList(v, oracleRecord)
			if v != nil && req.Records == nil {
				req.Records = []ingest.Record{}
			}
		}
	})
	return req, nil
}

// TestWarmDecodersReadAsColdOnes feeds one decoder bodies that differ in little, as
// templates must notice: values of other lengths, other names, types and orders, escapes.
func TestWarmDecodersReadAsColdOnes(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 5))
	pick := func(of ...string) string { return of[r.IntN(len(of))] }
	list := func(n int, element func() string) string {
		var parts []string
		for range n {
			parts = append(parts, element())
		}
		return "[" + strings.Join(parts, pick(",", ", ")) + "]"
	}
	value := func() string {
		name := `"Name":` + pick(`"a"`, `"b"`, `"a"`, `"\u0061"`, `""`)
		val := `"Value":` + pick(`"1.5"`, `"22.25"`, `"1.5"`, `""`, `null`, `"\n"`, `"1\u0030"`)
		kind := `"Type":` + pick(`"DOUBLE"`, `"DOUBLE"`, `"BIGINT"`, `""`)
		return pick("{"+name+","+val+","+kind+"}", "{"+val+","+kind+"}", "{"+kind+","+name+","+val+"}", "{"+val+","+name+","+val+"}", "{ "+name+" ,"+val+","+kind+`,"x":[]}`, "null", "{}")
	}
	dimension := func() string {
		return pick(`{"Name":"d","Value":"`+pick("x", "y]", "zz", "")+`"}`, `{"Name":"\u0064","Value":"x"}`, `{"Value":"x","Name":"e","DimensionValueType":"VARCHAR"}`, "null", `{"Name":"d","Value":null}`)
	}
	warm := new(decoder)
	for range 3000 {
		text := []byte(`{"Records":` + list(1+r.IntN(4), func() string {
			return "{" + pick("", `"Version":`+pick("1", "-2", "null", "34")+",") + `"Dimensions":` + pick(" ", "") + list(1+r.IntN(2), dimension) +
				`,"MeasureValues":` + list(r.IntN(4), value) + pick("", "", `,"MeasureValue":"7"`, `,"MeasureValue":null`, `,"Time":null`) +
				pick(`,"Time":"`, ` , "Time": "`) + pick("1", "23", "é", "\xc3") + `"}`
		}) + `}`)
		if r.IntN(10) == 0 {
			text = text[:r.IntN(len(text))]
		}
		want, wantErr := oracleRequest(text)
		got, err := warm.decode(text, wide)
		if got = written(got); (err == nil) != (wantErr == nil) || err == nil && !reflect.DeepEqual(got, want) {
			t.Fatalf("%s: got %+v, %v, want %+v, %v", text, got, err, want, wantErr)
		}
	}
}

func FuzzDecodeAgreesWithEncodingJSON(f *testing.F) {
	f.Add(body(2, 2, true))
	f.Add([]byte(`{"Records":[{"Dimensions":[{"Name":"\u00e9\ud83d\ude00\ud83d","Value":"\\\"","Name":null}],"Version":-5,"Time":"1"}],"Records":[{},null]}`))
	f.Add([]byte(`{"CommonAttributes":{"MeasureValues":[{"Type":"MULTI"},{}],"x":[1e5,-0.5,true,false,null,{"a":[]}]}}`))
	f.Add([]byte(`{"Records":[{"Version":1.0}]}`))
	f.Add([]byte("{\"TableName\":\"\xff\"}"))
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := new(decoder).decode(body, wide)
		got = written(got)
		want, wantErr := oracleRequest(body)
		if err != nil && strings.Contains(err.Error(), "nested more than") {
			return
		}
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("%q: %v, want %v", body, err, wantErr)
		}
		if err == nil && !reflect.DeepEqual(got, want) {
			t.Fatalf("%q: got %+v, want %+v", body, got, want)
		}
		if err != nil {
			return
		}
		// And again, with what a decoder remembers of it and of others like it.
		warm := new(decoder)
		for _, other := range [][]byte{body, bytes.ToUpper(body), bytes.ReplaceAll(body, []byte("1"), []byte("22")), body} {
			warm.decode(bytes.Clone(other), wide)
		}
		if got, err := warm.decode(body, wide); err != nil || !reflect.DeepEqual(written(got), want) {
			t.Fatalf("warm: %q: got %+v, %v, want %+v", body, got, err, want)
		}
	})
}

// body is a request as SDKs write it: boto3 puts a blank after commas and colons.
func body(records, measures int, blanks bool) []byte {
	type M = map[string]any
	var list []M
	for i := range records {
		var values []M
		for j := range measures {
			values = append(values, M{"Name": fmt.Sprintf("measure_%d", j), "Value": fmt.Sprintf("%d.%03d", 20+i, j*37), "Type": "DOUBLE"})
		}
		list = append(list, M{
			"Dimensions":  []M{{"Name": "device_id", "Value": fmt.Sprintf("device-%04d", i)}, {"Name": "location", "Value": "hall-3"}},
			"MeasureName": "metrics", "MeasureValueType": "MULTI", "MeasureValues": values, "Time": "1772600767890",
		})
	}
	b, err := json.Marshal(M{"DatabaseName": "db", "TableName": "t", "CommonAttributes": M{"Dimensions": []M{{"Name": "region", "Value": "eu"}}}, "Records": list})
	if err != nil {
		panic(err)
	}
	if blanks {
		b = []byte(strings.NewReplacer(`,"`, `, "`, `":`, `": `, `,{`, `, {`).Replace(string(b)))
	}
	return b
}
