package conformance

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/timestreamwrite"
	"github.com/aws/aws-sdk-go-v2/service/timestreamwrite/types"

	"github.com/weir-db/weir/weirtest"
)

func weirtestRecord() weirtest.Record {
	return weirtest.Record{Dimensions: map[string]string{"room": "attic"}, Values: map[string]any{"temperature": 20.5}}
}

func millis(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }

// written is an input of WriteRecords to home.rooms, in the API's JSON.
func written(records ...string) string {
	return `{"DatabaseName":"home","TableName":"rooms","Records":[` + strings.Join(records, ",") + `]}`
}

// scalar is a record of one measure at noon, with members that come before the defaults.
func scalar(members string) string {
	r := map[string]any{"Dimensions": []any{map[string]any{"Name": "room", "Value": "attic"}}, "MeasureName": "m", "MeasureValue": "1.5", "Time": millis(noon)}
	var change map[string]any
	if err := json.Unmarshal([]byte("{"+members+"}"), &change); err != nil {
		panic(err)
	}
	for k, v := range change {
		if r[k] = v; v == nil {
			delete(r, k)
		}
	}
	text, _ := json.Marshal(r)
	return string(text)
}

func writeRecords(s *suite) {
	s.CreateTable("home", "rooms", 12*hour, 5*day)
	s.must("CreateTable", `{"DatabaseName":"home","TableName":"recent","RetentionProperties":{"MemoryStoreRetentionPeriodInHours":12,"MagneticStoreRetentionPeriodInDays":5}}`)
	s.must("CreateTable", `{"DatabaseName":"home","TableName":"keyed","Schema":{"CompositePartitionKey":[{"Type":"DIMENSION","Name":"room","EnforcementInRecord":"REQUIRED"}]}}`)
	room := []types.Dimension{{Name: aws.String("room"), Value: aws.String("attic"), DimensionValueType: types.DimensionValueTypeVarchar}}
	write := func(in *timestreamwrite.WriteRecordsInput) (*types.RecordsIngested, error) {
		in.DatabaseName = aws.String("home")
		if in.TableName == nil {
			in.TableName = aws.String("rooms")
		}
		out, err := s.write.WriteRecords(s.T.Context(), in)
		if err != nil {
			return nil, err
		}
		return out.RecordsIngested, nil
	}
	s.shows(success, "single measures of every type, in every unit of time", func(t *testing.T) {
		var records []types.Record
		for i, v := range []struct {
			value, time string
			typ         types.MeasureValueType
			unit        types.TimeUnit
		}{
			{"1.5e3", "1927886400", "DOUBLE", "SECONDS"}, {"-7", "1927886400001", "BIGINT", ""}, {"grün", "1927886400000002", "VARCHAR", "MICROSECONDS"}, {"TRUE", "1927886400000000003", "BOOLEAN", "NANOSECONDS"},
		} {
			records = append(records, types.Record{Dimensions: room, MeasureName: aws.String("m" + strconv.Itoa(i)), MeasureValue: &v.value, MeasureValueType: v.typ, Time: &v.time, TimeUnit: v.unit})
		}
		got, err := write(&timestreamwrite.WriteRecordsInput{Records: records})
		ok(t, err)
		same(t, "ingested", []int32{got.Total, got.MemoryStore, got.MagneticStore}, []int32{4, 4, 0})
		same(t, "rows", s.Query("SELECT measure_name, time, measure_value::double, measure_value::bigint, measure_value::varchar, measure_value::boolean FROM home.rooms ORDER BY 1"), [][]string{
			{"m0", "2031-02-03 12:00:00.000000000", "1500.0", "NULL", "NULL", "NULL"},
			{"m1", "2031-02-03 12:00:00.001000000", "NULL", "-7", "NULL", "NULL"},
			{"m2", "2031-02-03 12:00:00.000002000", "NULL", "NULL", "grün", "NULL"},
			{"m3", "2031-02-03 12:00:00.000000003", "NULL", "NULL", "NULL", "true"},
		})
	})
	s.shows(success, "a multi-measure record; TIMESTAMP values count in the record's unit", func(t *testing.T) {
		_, err := write(&timestreamwrite.WriteRecordsInput{Records: []types.Record{{
			Dimensions: room, MeasureName: aws.String("multi"), MeasureValueType: "MULTI", Time: aws.String("1927886400"), TimeUnit: "SECONDS",
			MeasureValues: []types.MeasureValue{{Name: aws.String("d"), Value: aws.String("2"), Type: "DOUBLE"}, {Name: aws.String("at"), Value: aws.String("60"), Type: "TIMESTAMP"}},
		}}})
		ok(t, err)
		same(t, "row", s.Query(`SELECT d, "at" FROM home.rooms WHERE measure_name = 'multi'`), [][]string{{"2.0", "1970-01-01 00:01:00.000000000"}})
	})
	s.shows(success, "CommonAttributes fill in, dimensions and values add up, the record's own come first", func(t *testing.T) {
		_, err := write(&timestreamwrite.WriteRecordsInput{
			CommonAttributes: &types.Record{Dimensions: room, MeasureName: aws.String("common"), MeasureValueType: "MULTI", Time: aws.String("1"), Version: aws.Int64(7),
				MeasureValues: []types.MeasureValue{{Name: aws.String("shared"), Value: aws.String("1"), Type: "BIGINT"}}},
			Records: []types.Record{{Time: aws.String(millis(noon)), Dimensions: []types.Dimension{{Name: aws.String("floor"), Value: aws.String("3")}},
				MeasureValues: []types.MeasureValue{{Name: aws.String("own"), Value: aws.String("2"), Type: "BIGINT"}}}},
		})
		ok(t, err)
		same(t, "row", s.Query("SELECT room, floor, shared, own, time FROM home.rooms WHERE measure_name = 'common'"), [][]string{{"attic", "3", "1", "2", "2031-02-03 12:00:00.000000000"}})
	})
	s.shows(success, "CommonAttributes empty, null or left out", func(t *testing.T) {
		for _, c := range []string{`"CommonAttributes":{},`, `"CommonAttributes":null,`, ``} {
			s.must("WriteRecords", strings.Replace(written(scalar(``)), "{", "{"+c, 1))
		}
	})
	s.shows(success, "a late record goes to the magnetic store, and is told apart", func(t *testing.T) {
		got, err := write(&timestreamwrite.WriteRecordsInput{Records: []types.Record{{Dimensions: room, MeasureName: aws.String("late"), MeasureValue: aws.String("1"), Time: aws.String(millis(noon.Add(-3 * day)))}}})
		ok(t, err)
		same(t, "ingested", []int32{got.Total, got.MemoryStore, got.MagneticStore}, []int32{1, 0, 1})
	})
	s.shows(success, "100 records, a measure name of one character", func(t *testing.T) {
		var records []types.Record
		for i := range 100 {
			records = append(records, types.Record{Dimensions: room, MeasureName: aws.String("-"), MeasureValue: aws.String("-"), MeasureValueType: "VARCHAR", Time: aws.String(millis(noon.Add(-time.Duration(i) * time.Second)))})
		}
		got, err := write(&timestreamwrite.WriteRecordsInput{Records: records})
		ok(t, err)
		same(t, "total", got.Total, int32(100))
	})
	version := func(v int64, value string) error {
		_, err := write(&timestreamwrite.WriteRecordsInput{Records: []types.Record{{Dimensions: room, MeasureName: aws.String("versioned"), MeasureValue: &value, Time: aws.String(millis(noon)), Version: &v}}})
		return err
	}
	s.shows(success, "a higher version replaces the value, also with the same one", func(t *testing.T) {
		ok(t, version(1, "1"))
		ok(t, version(5, "2"))
		ok(t, version(9, "2"))
		same(t, "value", s.Query("SELECT measure_value::double FROM home.rooms WHERE measure_name = 'versioned'"), [][]string{{"2.0"}})
	})
	s.shows(idempotency, "the same records again are accepted and change nothing", func(t *testing.T) {
		before := s.Query("SELECT count(*) FROM home.rooms")
		ok(t, version(9, "2"))
		same(t, "rows", s.Query("SELECT count(*) FROM home.rooms"), before)
	})

	const rejectedText = "One or more records have been rejected. See RejectedRecords for details."
	s.shows("RejectedRecordsException", "each bad record by its index and reason, at the top of the body; the good ones of the call are stored", func(t *testing.T) {
		bad := func(value, at string, v int64) types.Record {
			return types.Record{Dimensions: room, MeasureName: aws.String("versioned"), MeasureValue: &value, Time: &at, Version: &v}
		}
		_, err := write(&timestreamwrite.WriteRecordsInput{Records: []types.Record{bad("3", millis(noon), 9), bad("4", millis(noon.Add(time.Minute)), 1), bad("2", millis(noon), 8), bad("5", millis(noon.Add(15*time.Minute)), 1)}})
		var e *types.RejectedRecordsException
		if !errors.As(err, &e) || e.ErrorMessage() != rejectedText || len(e.RejectedRecords) != 3 {
			t.Fatalf("%+v", err)
		}
		var got []string
		for _, r := range e.RejectedRecords {
			got = append(got, fmt.Sprint(r.RecordIndex, " ", aws.ToInt64(r.ExistingVersion), " ", *r.Reason))
		}
		same(t, "rejected", got, []string{
			"0 0 A record already exists with the same time, dimensions, measure name, and record version. A higher record version must be specified in order to update the measure value. Specifying record version is supported by the latest SDKs.",
			"2 9 The record version 8 is lower than the existing version 9. A higher version is required to update the measure value.",
			"3 0 The record timestamp is outside the time range [2031-01-28T23:35:00.000Z, 2031-02-03T12:15:00.000Z) of the data ingestion window.",
		})
		same(t, "the good one", s.Query("SELECT measure_value::double FROM home.rooms WHERE measure_name = 'versioned' AND time > from_iso8601_timestamp('2031-02-03T12:00:00Z')"), [][]string{{"4.0"}})
	})
	rejects := func(promise, body, reason string) {
		s.T.Helper()
		s.refusesWith("RejectedRecords", promise+": `"+reason+"`", rejectedText, func() (resp *http.Response, answer []byte, err error) {
			resp, answer, err = s.post("WriteRecords", body)
			var e struct{ RejectedRecords []struct{ Reason string } }
			if json.Unmarshal(answer, &e) != nil || len(e.RejectedRecords) == 0 || e.RejectedRecords[0].Reason != reason {
				s.T.Errorf("%s:\ngot  %s\nwant %s", promise, answer, reason)
			}
			return resp, answer, err
		})
	}
	rejects("too old, without late records", strings.Replace(written(scalar(`"Time":"`+millis(noon.Add(-13*hour))+`"`)), "rooms", "recent", 1),
		"The record timestamp is outside the time range [2031-02-02T23:35:00.000Z, 2031-02-03T12:15:00.000Z) of the memory store.")
	rejects("a time past every number", written(scalar(`"Time":"9223372036854775807","TimeUnit":"SECONDS"`)),
		"The record timestamp is outside the time range [2031-01-28T23:35:00.000Z, 2031-02-03T12:15:00.000Z) of the data ingestion window.")
	rejects("another type than the measure has", written(scalar(`"MeasureName":"versioned","MeasureValue":"1","MeasureValueType":"BIGINT","Version":99`)),
		"The measure value type BIGINT of 'versioned' does not match its existing type DOUBLE. The type of a measure cannot be changed.")
	rejects("a dimension by the name of a measure", written(scalar(`"Dimensions":[{"Name":"own","Value":"x"}]`)),
		"The name 'own' is used both as a dimension and as a measure of the table. Dimension and measure names must be unique.")
	rejects("without the required partition key", strings.Replace(written(scalar(`"Dimensions":[{"Name":"floor","Value":"1"}]`)), "rooms", "keyed", 1),
		"The record does not have the dimension 'room', which the partition key of the table requires.")

	s.refuses("Validation", "no records member", `{"DatabaseName":"home","TableName":"rooms"}`, missing("records"))
	s.refuses("Validation", "no names", `{"Records":[`+scalar(``)+`]}`, "2 validation errors detected: Value null at 'databaseName' failed to satisfy constraint: Member must not be null; Value null at 'tableName' failed to satisfy constraint: Member must not be null")
	s.refuses("Validation", "an empty list of records", written(), constraint("[]", "records", atLeastOne))
	s.refuses("Validation", "101 records", written(strings.Split(strings.Repeat(scalar(``)+"\n", 100)+scalar(``), "\n")...), constraint("[101 members]", "records", "Member must have length less than or equal to 100"))
	for _, c := range []struct{ promise, members, text string }{
		{"an unknown type", `"MeasureValueType":"FLOAT"`, constraint("FLOAT", "records.1.member.measureValueType", "Member must satisfy enum value set: [DOUBLE, BIGINT, VARCHAR, BOOLEAN, TIMESTAMP, MULTI]")},
		{"an unknown type of a dimension", `"Dimensions":[{"Name":"a","Value":"b","DimensionValueType":"X"}]`, constraint("X", "records.1.member.dimensions.1.member.dimensionValueType", "Member must satisfy enum value set: [VARCHAR]")},
		{"an unknown unit", `"TimeUnit":"DAYS"`, constraint("DAYS", "records.1.member.timeUnit", "Member must satisfy enum value set: [MILLISECONDS, SECONDS, MICROSECONDS, NANOSECONDS]")},
		{"an empty value", `"MeasureValue":""`, constraint("", "records.1.member.measureValue", atLeastOne)},
		{"a dimension without a value", `"Dimensions":[{"Name":"a"}]`, missing("records.1.member.dimensions.1.member.value")},
		{"no dimension", `"Dimensions":[]`, "At least one dimension is required for a record."},
		{"no measure name", `"MeasureName":null`, "A measure name is required for a record. Record index: 0."},
		{"no value", `"MeasureValue":null`, "A measure value is required for a record. Record index: 0."},
		{"no time", `"Time":null`, "Invalid time for record."},
		{"a time with a fraction", `"Time":"1.5"`, "Invalid time for record."},
		{"a time that is no number", `"Time":"now"`, "Invalid time for record."},
		{"version 0", `"Version":0`, constraint("0", "records.1.member.version", "Member must have value greater than or equal to 1")},
		{"a scalar of type TIMESTAMP", `"MeasureValueType":"TIMESTAMP","MeasureValue":"1"`, "TIMESTAMP is an invalid measure value type"},
		{"NaN", `"MeasureValue":"NaN"`, "The measure value 'NaN' of 'm' is not a valid DOUBLE. Record index: 0."},
		{"negative zero", `"MeasureValue":"-0.0"`, "The measure value '-0.0' of 'm' is not a valid DOUBLE. Record index: 0."},
		{"a BIGINT with a fraction", `"MeasureValueType":"BIGINT"`, "The measure value '1.5' of 'm' is not a valid BIGINT. Record index: 0."},
		{"a BIGINT past 64 bits", `"MeasureValueType":"BIGINT","MeasureValue":"9223372036854775808"`, "The measure value '9223372036854775808' of 'm' is not a valid BIGINT. Record index: 0."},
		{"a BOOLEAN that is none", `"MeasureValueType":"BOOLEAN","MeasureValue":"1"`, "The measure value '1' of 'm' is not a valid BOOLEAN. Record index: 0."},
		{"a dimension twice", `"Dimensions":[{"Name":"a","Value":"1"},{"Name":"a","Value":"2"}]`, "The dimension name 'a' is given more than once in a record. Dimension names must be unique, also between CommonAttributes and the record. Record index: 0."},
		{"MULTI without values", `"MeasureValueType":"MULTI","MeasureValue":null`, "A record of the measure value type MULTI needs at least one of MeasureValues. Record index: 0."},
		{"MULTI in MULTI", `"MeasureValueType":"MULTI","MeasureValue":null,"MeasureValues":[{"Name":"a","Value":"1","Type":"MULTI"}]`, "MULTI is an invalid type for the measure 'a' of a MULTI record. Record index: 0."},
		{"a measure twice", `"MeasureValueType":"MULTI","MeasureValue":null,"MeasureValues":[{"Name":"a","Value":"1","Type":"DOUBLE"},{"Name":"a","Value":"1","Type":"DOUBLE"}]`, "The measure name 'a' is given more than once in a record. Record index: 0."},
		{"values of a scalar record", `"MeasureValues":[{"Name":"a","Value":"1","Type":"DOUBLE"}]`, "MeasureValues can only be given for records of the measure value type MULTI. Record index: 0."},
		{"a reserved name", `"MeasureName":"ts_x"`, "The measure name 'ts_x' is invalid. A name must not be time, start with ts_, measure_name or measure_value, or contain a colon, a double quote or a control character. Record index: 0."},
		{"129 dimensions", `"Dimensions":[` + manyDimensions(129) + `]`, constraint("[129 members]", "records.1.member.dimensions", "Member must have length less than or equal to 128")},
		{"dimensions of more than 2,048 bytes", `"Dimensions":[{"Name":"a","Value":"` + long(2048) + `"}]`, "The names and values of a record's dimensions have 2049 bytes, more than the limit of 2048. Record index: 0."},
		{"a dimension's name of 61 bytes", `"Dimensions":[{"Name":"` + long(61) + `","Value":"b"}]`, "The dimension name '" + long(61) + "' has 61 bytes, more than the limit of 60. Record index: 0."},
		{"a value of 2,049 bytes", `"MeasureValueType":"VARCHAR","MeasureValue":"` + long(2049) + `"`, constraint(long(2049), "records.1.member.measureValue", "Member must have length less than or equal to 2048")},
	} {
		s.refuses("Validation", c.promise, written(scalar(c.members)), c.text)
	}
	s.shows(success, "of a refused request nothing is stored", func(t *testing.T) {
		before := s.Query("SELECT count(*) FROM home.rooms")
		s.post("WriteRecords", written(scalar(`"MeasureName":"fresh"`), scalar(`"Time":"x"`)))
		same(t, "rows", s.Query("SELECT count(*) FROM home.rooms"), before)
	})
	s.refuses("ResourceNotFound", "no such table", strings.Replace(written(scalar(``)), "rooms", "none", 1), noTable)
	s.refuses("ResourceNotFound", "no such database", strings.Replace(written(scalar(``)), "home", "none", 1), noDatabase)
	s.refuses(serialization, "a body that is no JSON", `x`, "The request body is not a JSON object.")
	s.refuses(serialization, "a record that is a text", written(`"a"`), "Records must be a structure.")
	s.refuses(serialization, "a time that is no text", written(scalar(`"Time":1`)), "Time must be a string.")
}

func manyDimensions(n int) string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf(`{"Name":"d%d","Value":"v"}`, i))
	}
	return strings.Join(list, ",")
}
