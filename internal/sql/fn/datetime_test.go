package fn

import (
	"testing"

	"github.com/weir-db/weir/internal/vec"
)

func TestDateFunctionsAtTheirEdges(t *testing.T) {
	checkTexts(t,
		"date_trunc('quarter', TIMESTAMP '2031-08-09 04:05')", "2031-07-01 00:00:00.000000000",
		"date_trunc('WEEK', TIMESTAMP '1969-12-31 23:00')", "1969-12-29 00:00:00.000000000",
		"date_trunc('fortnight', TIMESTAMP '2031-08-09 04:05')", "error: 'fortnight' is not a valid Timestamp field",
		"date_add('hour', 1, DATE '2031-08-09')", "error: 'hour' is not a valid DATE field",
		"date_add('day', 1, TIME '10:00')", "error: 'day' is not a valid Time field",
		"date_add('quarter', -1, TIMESTAMP '2031-05-31 04:05')", "2031-02-28 04:05:00.000000000",
		"date_add('second', -1, TIME '00:00')", "23:59:59.000000000",
		"date_add('year', 1000, TIMESTAMP '2031-05-31')", "error: Timestamp is out of range: the result is not between 1677-09-21 and 2262-04-11",
		"date_diff('day', TIMESTAMP '2031-02-03 23:00', TIMESTAMP '2031-02-04 22:59')", "0",
		"date_diff('month', TIMESTAMP '2031-03-31 00:00', TIMESTAMP '2031-02-28 00:00')", "-1",
		"date_diff('year', DATE '2032-02-29', DATE '2033-02-28')", "1",
		"date_diff('week', '2031-02-03', '2031-02-17')", "2",
		"ago(1h)", "2031-02-03 03:05:06.007000008",
		"ago(1month)", "2031-01-03 04:05:06.007000008",
		"current_date", "2031-02-03",
		"current_time", "04:05:06.007000008",
		"now() - 5s", "2031-02-03 04:05:01.007000008",
		"from_milliseconds(9223372036854775807)", "error: Timestamp is out of range: the result is not between 1677-09-21 and 2262-04-11",
		"from_unixtime(-0.5)", "1969-12-31 23:59:59.500000000",
		"to_milliseconds(TIMESTAMP '1969-12-31 23:59:59.9999')", "-1",
		"week(DATE '2027-01-01')", "53",
		"yow(DATE '2027-01-01')", "2026",
		"dow(DATE '2031-02-09')", "7",
		"hour('2031-02-03 04:05:06')", "4",
		"day(3d + 5h)", "3",
		"bin(DATE '2031-02-03', 7d)", "2031-01-30 00:00:00.000000000",
		"parse_duration('3 lightyears')", "error: Unknown time unit: lightyears",
	)
}

func TestFormatsPrintAndParseEachOther(t *testing.T) {
	checkTexts(t,
		"date_format(TIMESTAMP '2031-02-03 16:05:06.789', '%a %b %c %d %e %f %H %h %i %j %k %l %M %p %r %S %T %v %W %x %y %%%z')",
		"Mon Feb 2 03 3 789000 16 04 05 034 16 4 February PM 04:05:06 PM 06 16:05:06 06 Monday 2031 31 %z",
		"date_format(now(), '%D')", "error: %D not supported in date format string",
		"date_parse('2031-02-03 04:05:06.123456789', '%Y-%m-%d %T.%f')", "2031-02-03 04:05:06.123456789",
		"date_parse('2031-02-30', '%Y-%m-%d')", "error: Invalid format: \"2031-02-30\" is malformed at \"2031-02-30\"",
		"date_parse('2031', '%Y-%m')", "error: Invalid format: \"2031\" is too short",
		"date_parse('2031x', '%Y')", "error: Invalid format: \"2031x\" is malformed at \"x\"",
		"date_parse('12 AM', '%h %p')", "1970-01-01 00:00:00.000000000",
		"date_parse('70', '%y')", "1970-01-01 00:00:00.000000000",
		"date_parse('2031 034', '%Y %j')", "2031-02-03 00:00:00.000000000",
		"format_datetime(TIMESTAMP '2031-02-03 16:05:06.789', 'yy YYYY uuuu MMMM L D EEEE e ww xxxx k K h a ''at'' mm''''ss SSSSSS z Z ZZ')",
		"31 2031 2031 February 2 34 Monday 1 06 2031 16 4 4 PM at 05'06 789000 UTC +0000 +00:00",
		"format_datetime(now(), 'q')", "error: Illegal pattern component: q",
		"parse_datetime('20310203040506', 'yyyyMMddHHmmss')", "2031-02-03 04:05:06.000000000",
		"parse_datetime('2031-02-03T04:05:06.5-0130', 'yyyy-MM-dd''T''HH:mm:ss.SSSZ')", "2031-02-03 05:35:06.500000000",
		"parse_datetime('3 Feb 31', 'd MMM yy')", "2031-02-03 00:00:00.000000000",
		"from_iso8601_timestamp('2031-02-03')", "2031-02-03 00:00:00.000000000",
		"from_iso8601_timestamp('2031-02-03T04:05:06.123456789Z')", "2031-02-03 04:05:06.123456789",
		"from_iso8601_timestamp('2031-02-03T04Z')", "2031-02-03 04:00:00.000000000",
		"from_iso8601_timestamp('2031-02-03 04:05')", "error: Invalid format: \"2031-02-03 04:05\"",
		"from_iso8601_date('2031-034')", "2031-02-03",
		"from_iso8601_date('2032-W53-5')", "2032-12-31",
	)
}

func FuzzFormats(f *testing.F) {
	f.Add("2031-02-03 04:05:06", "%Y-%m-%d %T", int64(0))
	f.Add("2031/02/03", "yyyy/MM/dd'T'HH", int64(1927857906123456789))
	f.Add("2031-W06-1T04:05Z", "%x %v %a", int64(-1))
	f.Fuzz(func(t *testing.T, s, pattern string, ts int64) {
		fromISODate(s)
		fromISOTimestamp(s)
		for _, compile := range []func(string) (format, error){mysqlFormat, jodaFormat} {
			parts, err := compile(pattern)
			if err != nil {
				continue
			}
			parts.parse(s)
			c := civilOf(ts)
			for _, p := range parts {
				if p.print != nil {
					p.print(nil, c)
				}
			}
		}
	})
}

func TestCastsFollowTheTable(t *testing.T) {
	checkTexts(t,
		"CAST('+12' AS bigint)", "12",
		"CAST('12.5' AS bigint)", "error: Cannot cast '12.5' to BIGINT",
		"CAST('3000000000' AS integer)", "error: Cannot cast '3000000000' to INT",
		"CAST(' 1e3 ' AS double)", "1000.0",
		"CAST('Infinity' AS double)", "Infinity",
		"CAST('-NaN' AS double)", "NaN",
		"CAST('inf' AS double)", "error: Cannot cast 'inf' to DOUBLE",
		"CAST('1_0' AS double)", "error: Cannot cast '1_0' to DOUBLE",
		"CAST('1e999' AS double)", "Infinity",
		"CAST('T' AS boolean)", "true",
		"CAST('yes' AS boolean)", "error: Cannot cast 'yes' to BOOLEAN",
		"CAST('2031-2-3' AS timestamp)", "2031-02-03 00:00:00.000000000",
		"CAST('nope' AS timestamp)", "error: Value cannot be cast to timestamp: nope",
		"TRY_CAST('nope' AS timestamp)", "NULL",
		"CAST(1e7 AS varchar)", "1.0E7",
		"CAST(TIMESTAMP '2031-02-03' AS varchar)", "2031-02-03 00:00:00.000000000",
		"CAST(90m AS varchar)", "0 01:30:00.000000000",
		"CAST(2.5 AS bigint)", "3",
		"CAST(-2.5 AS integer)", "-3",
		"CAST(nan() AS bigint)", "error: Unable to cast NaN to bigint",
		"CAST(5000000000 AS integer)", "error: Out of range for integer: 5000000000",
		"CAST(true AS double)", "1.0",
		"CAST(0 AS boolean)", "false",
		"CAST(TIMESTAMP '2031-02-03 04:05' AS date)", "2031-02-03",
		"CAST(TIMESTAMP '2031-02-03 04:05' AS time)", "04:05:00.000000000",
		"CAST('größe' AS varchar(3))", "grö",
		"CAST(-123 AS varchar(4))", "-123",
		"CAST(1234 AS varchar(3))", "error: Value 1234 cannot be represented as varchar(3)",
		"CAST(true AS varchar(3))", "error: Value true cannot be represented as varchar(3)",
		"TRY_CAST(1.25 AS varchar(3))", "NULL",
		"CAST(ARRAY['1', NULL] AS array(bigint))", "[1, NULL]",
		"TRY_CAST(ARRAY['1', 'x'] AS array(bigint))", "NULL",
		"CAST(ROW(1, '2') AS row(a double, b bigint)).b", "2",
		"typeof(CAST(ROW(1, '2') AS row(a double, b bigint)))", "row(a double, b bigint)",
		"CAST(NULL AS date)", "NULL",
	)
	if _, ok := Cast(vec.TimestampType, vec.BigintType, true); ok {
		t.Error("timestamp casts to bigint")
	}
}

func FuzzCastText(f *testing.F) {
	for _, s := range []string{"1", "-2.5e3", "NaN", "2031-02-03 04:05:06.789", "t", "0x1p3", "1d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, to := range []vec.Type{vec.IntegerType, vec.BigintType, vec.DoubleType, vec.BooleanType, vec.DateType, vec.TimeType, vec.TimestampType} {
			kernel, _ := Cast(vec.VarcharType, to, true)
			v, err := kernel(&Context{}, vec.Const(vec.Str(s), 1))
			if err != nil {
				t.Fatal(err)
			}
			if v.IsNull(0) {
				continue
			}
			// The text of what came out must read back the same.
			again, err := kernel(&Context{}, vec.Const(vec.Str(v.Value(0).String()), 1))
			if err != nil || !vec.Equal(v, 0, again, 0) {
				t.Fatalf("%q as %s is %s, and that %s", s, to, v.Value(0), again.Value(0))
			}
		}
	})
}
