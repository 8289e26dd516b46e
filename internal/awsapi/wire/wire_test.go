package wire_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/weir-db/weir/internal/awsapi/wire"
	"github.com/weir-db/weir/internal/fault"
)

type pair struct{ Name, Value string }

type input struct {
	Namespace  string
	Dimensions []pair
	Period     *int32
	StartTime  time.Time
	Weights    []float64
	Scan       bool
	Labels     map[string]string
	Inner      *struct {
		ID string `wire:"Id"`
	}
	Blob []byte
}

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func want() input {
	period := int32(300)
	return input{
		Namespace:  "AWS/Timestream",
		Dimensions: []pair{{"DatabaseName", "d"}, {"TableName", "t"}},
		Period:     &period,
		StartTime:  start,
		Weights:    []float64{1, 2.5},
		Scan:       true,
		Labels:     map[string]string{"a": "b"},
		Inner: &struct {
			ID string `wire:"Id"`
		}{"q1"},
		Blob: []byte("hi"),
	}
}

func cborBody(t *testing.T, v any) []byte {
	t.Helper()
	b, err := cbor.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestDecodeGivesOneValueWhateverTheProtocol(t *testing.T) {
	t.Parallel()
	bodies := map[wire.Protocol][]byte{
		wire.JSON10: []byte(`{"Namespace":"AWS/Timestream","Dimensions":[{"Name":"DatabaseName","Value":"d"},{"Name":"TableName","Value":"t","New":1}],
			"Period":300,"StartTime":1767323045.0,"Weights":[1,2.5],"Scan":true,"Labels":{"a":"b"},"Inner":{"Id":"q1"},"Blob":"aGk=","Unknown":{"x":[]}}`),
		wire.Query: []byte("Action=X&Version=2010-08-01&Namespace=AWS%2FTimestream&Dimensions.member.2.Name=TableName&Dimensions.member.2.Value=t" +
			"&Dimensions.member.1.Name=DatabaseName&Dimensions.member.1.Value=d&Period=300&StartTime=2026-01-02T03:04:05Z&Weights.1=1&Weights.2=2.5" +
			"&Scan=true&Labels.entry.1.key=a&Labels.entry.1.value=b&Inner.Id=q1&Blob=aGk%3D"),
		wire.CBOR: cborBody(t, map[string]any{
			"Namespace": "AWS/Timestream", "Period": 300, "Scan": true, "Weights": []any{1, 2.5},
			"Dimensions": []any{map[string]any{"Name": "DatabaseName", "Value": "d"}, map[string]any{"Name": "TableName", "Value": "t"}},
			"StartTime":  cbor.Tag{Number: 1, Content: 1767323045.0},
			"Labels":     map[string]any{"a": "b"}, "Inner": map[string]any{"Id": "q1"}, "Blob": []byte("hi"),
		}),
	}
	for protocol, body := range bodies {
		var got input
		c := &wire.Call{Protocol: protocol, Body: body}
		if err := c.Decode(&got); err != nil {
			t.Errorf("%s: %v", protocol, err)
			continue
		}
		if !reflect.DeepEqual(got, want()) {
			t.Errorf("%s: got %+v, want %+v", protocol, got, want())
		}
	}
}

func TestDecodeNamesTheMemberThatIsWrong(t *testing.T) {
	t.Parallel()
	check := func(protocol wire.Protocol, body, text string) {
		t.Helper()
		var in input
		err := (&wire.Call{Protocol: protocol, Body: []byte(body)}).Decode(&in)
		var e *wire.Exception
		if !errors.As(err, &e) || e.Name != "SerializationException" || e.Status != 400 || !strings.Contains(e.Message, text) {
			t.Errorf("%s %q: got %v, want a SerializationException with %q", protocol, body, err, text)
		}
	}
	check(wire.JSON10, `{"Namespace":3}`, "Namespace must be a string, not a number")
	check(wire.JSON10, `{"Dimensions":[{"Name":"a"},{"Name":true}]}`, "Dimensions.2.Name must be a string, not a boolean")
	check(wire.JSON10, `{"Period":1.5}`, "Period must be an integer")
	check(wire.JSON10, `{"Period":99999999999}`, "Period must be an integer")
	check(wire.JSON10, `{"StartTime":1e300}`, "StartTime must be a timestamp")
	check(wire.JSON10, `{"Inner":[]}`, "Inner must be a structure, not a list")
	check(wire.JSON10, `{`, "not a JSON object")
	check(wire.JSON10, "{\"Name\":\"\xff\"}", "not UTF-8")
	check(wire.JSON10, `[]`, "not a JSON object: json: cannot unmarshal array into Go value of type map[string]interface {}.")
	check(wire.JSON10, `{} {}`, "something after its JSON object")
	check(wire.JSON10, `null null`, "something after its JSON object")
	check(wire.JSON10, `{} x`, "something after")
	check(wire.JSON10, strings.Repeat(`{"Inner":`, 20000), "not a JSON object")
	check(wire.Query, "Period=x", "Period must be an integer")
	check(wire.Query, "Dimensions.member.x.Name=a", "Dimensions must be a list")
	check(wire.Query, "Scan=maybe", "Scan must be a boolean")
	check(wire.Query, "%zz=1", "not a form")
	check(wire.Query, strings.Repeat("a.", 100)+"=1", "nested too deeply")
	check(wire.CBOR, "\xff", "not a CBOR map")
	check(wire.CBOR, "\x01", "not a CBOR map")
	check(wire.CBOR, strings.Repeat("\x9f", 1000), "not a CBOR map")
	check(wire.CBOR, "\xbb\xff\xff\xff\xff\xff\xff\xff\xff", "not a CBOR map")
}

type output struct {
	Label      string
	Datapoints []datapoint
	Extended   map[string]float64
	Absent     []string
	None       *int64
}

type datapoint struct {
	Timestamp time.Time
	Average   *float64
	Count     int64
	Unit      string
}

func TestAnswersAreWrittenInTheProtocolOfTheRequest(t *testing.T) {
	t.Parallel()
	avg := 1.5
	out := output{Label: `a<b>&"`, Datapoints: []datapoint{{start.Add(250 * time.Millisecond), &avg, 0, "Milliseconds"}}, Extended: map[string]float64{"p99": 2}}
	s := &wire.Service{XMLNamespace: "http://m/", ErrorNamespace: "com.x", QueryCompatible: true}
	write := func(p wire.Protocol) *httptest.ResponseRecorder {
		rec := httptest.NewRecorder()
		c := &wire.Call{Service: s, Operation: "Op", Protocol: p, RequestID: "ID"}
		if err := wire.WriteResponse(rec, c, wire.Value(&out)); err != nil {
			t.Fatal(err)
		}
		if rec.Code != 200 || rec.Header().Get("x-amzn-RequestId") != "ID" {
			t.Errorf("%s: status %d, headers %v", p, rec.Code, rec.Header())
		}
		return rec
	}
	if got, want := write(wire.JSON10).Body.String(), `{"Label":"a<b>&\"","Datapoints":[{"Timestamp":1767323045.25,"Average":1.5,"Count":0,"Unit":"Milliseconds"}],"Extended":{"p99":2.0}}`; got != want {
		t.Errorf("json: got %s\nwant %s", got, want)
	}
	if got, want := write(wire.Query).Body.String(), `<OpResponse xmlns="http://m/"><OpResult><Label>a&lt;b&gt;&amp;&quot;</Label><Datapoints><member><Timestamp>2026-01-02T03:04:05.25Z</Timestamp><Average>1.5</Average><Count>0</Count><Unit>Milliseconds</Unit></member></Datapoints><Extended><entry><key>p99</key><value>2.0</value></entry></Extended></OpResult><ResponseMetadata><RequestId>ID</RequestId></ResponseMetadata></OpResponse>`; got != want {
		t.Errorf("xml: got %s\nwant %s", got, want)
	}
	rec := write(wire.CBOR)
	if rec.Header().Get("smithy-protocol") != "rpc-v2-cbor" {
		t.Errorf("cbor: headers %v", rec.Header())
	}
	var got struct {
		Label      string
		Datapoints []struct {
			Timestamp time.Time
			Average   float64
			Count     int64
		}
		Extended map[string]float64
	}
	if err := cbor.Unmarshal(rec.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.Label != out.Label || !got.Datapoints[0].Timestamp.Equal(out.Datapoints[0].Timestamp) || got.Datapoints[0].Average != avg || got.Extended["p99"] != 2 {
		t.Errorf("cbor: got %+v", got)
	}
}

func TestErrorsCarryTheirTypeWhereEachClientLooks(t *testing.T) {
	t.Parallel()
	s := &wire.Service{XMLNamespace: "http://m/", ErrorNamespace: "com.amazonaws.cloudwatch.v2010_08_01", QueryCompatible: true}
	e := wire.Newf(wire.Shape{Name: "InvalidParameterValueException", Status: 400, QueryCode: "InvalidParameterValue"}, "bad %s", "thing")
	e.Extra = []wire.Member{{Name: "RejectedRecords", JSON: []byte(`[{"RecordIndex":1}]`)}, {Name: "Resource", Value: "r"}}
	write := func(p wire.Protocol) *httptest.ResponseRecorder {
		rec := httptest.NewRecorder()
		if err := wire.WriteError(rec, &wire.Call{Service: s, Protocol: p, RequestID: "ID"}, e); err != nil {
			t.Fatal(err)
		}
		if rec.Code != 400 {
			t.Errorf("%s: status %d", p, rec.Code)
		}
		return rec
	}
	rec := write(wire.JSON10)
	if got, want := rec.Body.String(), `{"__type":"com.amazonaws.cloudwatch.v2010_08_01#InvalidParameterValueException","Message":"bad thing","message":"bad thing","RejectedRecords":[{"RecordIndex":1}],"Resource":"r"}`; got != want {
		t.Errorf("json: got %s\nwant %s", got, want)
	}
	if got := rec.Header().Get("x-amzn-query-error"); got != "InvalidParameterValue;Sender" {
		t.Errorf("x-amzn-query-error = %q", got)
	}
	if got := write(wire.Query).Body.String(); !strings.Contains(got, "<Error><Type>Sender</Type><Code>InvalidParameterValue</Code><Message>bad thing</Message>") {
		t.Errorf("xml: got %s", got)
	}
	rec = write(wire.REST)
	if got := rec.Header().Get("x-amzn-ErrorType"); got != "InvalidParameterValueException" {
		t.Errorf("x-amzn-ErrorType = %q", got)
	}
	if got, want := rec.Body.String(), `{"message":"bad thing","RejectedRecords":[{"RecordIndex":1}],"Resource":"r"}`; got != want {
		t.Errorf("rest: got %s, want %s", got, want)
	}
	var m map[string]string
	if err := cbor.Unmarshal(write(wire.CBOR).Body.Bytes(), &m); err != nil || m["message"] != "bad thing" {
		t.Errorf("cbor: %v %v", m, err)
	}
}

func TestExceptionOfHidesInternalTexts(t *testing.T) {
	t.Parallel()
	c := &wire.Call{RequestID: "RID"}
	check := func(err error, name string, status int, text string) {
		t.Helper()
		e := wire.ExceptionOf(c, err)
		if e.Name != name || e.Status != status || !strings.Contains(e.Message, text) || strings.Contains(e.Message, "secret") {
			t.Errorf("%v: got %s %d %q", err, e.Name, e.Status, e.Message)
		}
	}
	check(errors.New("secret path"), "InternalServerException", 500, "RID")
	check(fault.New(fault.Corrupt, "secret block"), "InternalServerException", 500, "damaged")
	check(fmt.Errorf("x: %w", fault.New(fault.NotFound, "The table t does not exist.")), "ResourceNotFoundException", 404, "The table t does not exist.")
	check(fault.Wrap(fault.Unavailable, errors.New("secret"), "The disk is full."), "InternalServerException", 500, "The disk is full.")
	check(fault.New(fault.Quota, "q"), "ServiceQuotaExceededException", 402, "q")
	check(wire.Serialization("s"), "SerializationException", 400, "s")
}

func TestViolationsAreWordedAsAWSDoes(t *testing.T) {
	t.Parallel()
	var v wire.Violations
	if v.Err() != nil {
		t.Fatal("no violation is an error")
	}
	v.Enum("X", "records.1.member.dimensions.1.member.dimensionValueType", "VARCHAR")
	want := "1 validation error detected: Value 'X' at 'records.1.member.dimensions.1.member.dimensionValueType' failed to satisfy constraint: Member must satisfy enum value set: [VARCHAR]"
	if v.Text() != want {
		t.Errorf("got  %s\nwant %s", v.Text(), want)
	}
	v.AddNull("tableName")
	v.Length("ab", "databaseName", 2, 3, 256)
	if got := v.Text(); !strings.HasPrefix(got, "3 validation errors detected: ") || !strings.HasSuffix(got, "; Value 'ab' at 'databaseName' failed to satisfy constraint: Member must have length greater than or equal to 3") {
		t.Errorf("got %s", got)
	}
}

func TestRequestIDsLookLikeThoseOfAWS(t *testing.T) {
	t.Parallel()
	a, b := wire.NewRequestID(), wire.NewRequestID()
	if a == b || !regexp.MustCompile(`^[A-Z2-7]{26}$`).MatchString(a) {
		t.Errorf("ids %q and %q", a, b)
	}
}

func TestAppendStringIsValidJSON(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"", "plain", "é€😀", "a\"b\\c\n\r\t\x00\x1f", "\xff\xfe", "bad\xc3", "<&>\u2028"} {
		var got string
		if err := json.Unmarshal(wire.AppendString(nil, s), &got); err != nil {
			t.Errorf("%q: %v", s, err)
		}
		if want := strings.ToValidUTF8(s, "\ufffd"); got != want && s != "\xff\xfe" {
			t.Errorf("%q: got %q, want %q", s, got, want)
		}
	}
}

func TestRecycledAnswersAreSentBeforeTheirBufferIsReused(t *testing.T) {
	t.Parallel()
	for range 100 {
		c := &wire.Call{Protocol: wire.JSON10, HTTP: &http.Request{}}
		rec := httptest.NewRecorder()
		if err := wire.WriteResponse(rec, c, wire.Recycled(append(c.Buffer(), `{"a":1}`...))); err != nil || rec.Body.String() != `{"a":1}` {
			t.Fatalf("got %s, %v", rec.Body, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(uint8(0), []byte(`{"Period":1}`))
	f.Add(uint8(2), []byte(`Dimensions.member.1.Name=a`))
	f.Add(uint8(4), []byte("\xbf\xff"))
	f.Fuzz(func(t *testing.T, p uint8, body []byte) {
		var in input
		_ = (&wire.Call{Protocol: wire.Protocol(p % 5), Body: body}).Decode(&in)
	})
}
