package iotsql_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/weir-db/weir/internal/iotrule/iotsql"
)

func input(payload string) *iotsql.Input {
	return &iotsql.Input{
		Topic: "sensors/d1/data", Payload: []byte(payload), ClientID: "c1", AccountID: "000000000000",
		Now:            time.UnixMilli(1700000000123),
		UserProperties: []iotsql.Property{{Key: "k", Value: "v"}},
	}
}

const doc = `{"a":1,"b":{"c":2.5,"item2":"x"},"s":"10","t":"text","yes":true,"no":false,"nul":null,
	"list":[1,2,{"n":"temperature","v":27},{"n":"light","v":100}],"f":20.0,"big":12345678901234567890123,"value":7,"my-key":5,"word":"true"}`

// eval returns the value of one expression as JSON, "undefined" if it is that.
func eval(t *testing.T, v iotsql.Version, e string) string {
	t.Helper()
	s, err := iotsql.Parse("SELECT "+e+" AS x FROM 'sensors/+/data'", v)
	if err != nil {
		t.Fatalf("%s: %v", e, err)
	}
	r, err := s.Eval(input(doc))
	if err != nil {
		t.Fatalf("%s: %v", e, err)
	}
	x := r.Value.Member("x")
	if x.Kind() == iotsql.Undefined {
		return "undefined"
	}
	b, err := x.AppendJSON(nil, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestExpressions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ expr, want string }{
		// Paths.
		{"a", "1"}, {"b.c", "2.5"}, {"b.item2", `"x"`}, {"A", "undefined"}, {"a.x", "undefined"}, {"list.n", "undefined"}, {"nul", "null"}, {"value", "7"},
		{`get(*, "my-key")`, "5"}, {"b", `{"c":2.5,"item2":"x"}`},
		// Numbers.
		{"f", "20"}, {"1e3", "1000"}, {"big", "12345678901234567890123"}, {"4 * 2.5", "10"}, {"7 / 2", "3"}, {"-7 / 2", "-3"}, {"7 / 2.5", "2.8"}, {"1 / 3.5", "0.2857142857142857142857142857142857"},
		{"2 / 0.3", "6.666666666666666666666666666666667"}, {"5 % 3", "2"}, {"-5 % 3", "-2"}, {"5 / 0", "undefined"}, {"5 % 0", "undefined"}, {"1 + 2 * 3", "7"}, {"(1 + 2) * 3", "9"}, {"2 - -3", "5"}, {"-a", "-1"},
		{"9223372036854775807 + 1", "9223372036854775808"}, {"9223372036854775807 * 9223372036854775807", "8.50705917302346158473969077842325E37"},
		{"0.1 + 0.2", "0.3"}, {"s - 3", "7"}, {"s / 4", "2.5"}, {"t - 1", "undefined"}, {"yes + 1", "undefined"}, {"nul + 1", "undefined"}, {"a + nope", "undefined"},
		// Text.
		{"'a' + 'b'", `"ab"`}, {"'n=' + a", `"n=1"`}, {"b.c + ''", `"2.5"`}, {"'x' + nul", "undefined"}, {"'x' + list", `"x[1,2,{\"n\":\"temperature\",\"v\":27},{\"n\":\"light\",\"v\":100}]"`}, {`'it''s "it"'`, `"it's \"it\""`},
		// Logic and comparison.
		{"yes AND no", "false"}, {"yes or no", "true"}, {"NOT no", "true"}, {"word AND yes", "true"}, {"no AND nope", "undefined"}, {"yes OR nope", "undefined"}, {"a AND yes", "undefined"},
		{"a < 2", "true"}, {"s > 9", "true"}, {"s >= '10'", "true"}, {"t > 1", "undefined"}, {"yes > no", "undefined"},
		{"a = 1", "true"}, {"a = 1.0", "true"}, {"s = 10", "false"}, {"s <> 10", "true"}, {"nul = null", "true"}, {"nul <> NULL", "false"}, {"nope = 1", "undefined"}, {"nope <> 1", "undefined"}, {"a == 1", "true"}, {"a != 1", "false"},
		{"[1,2] = [1,2]", "true"}, {"[1,2] = [2,1]", "false"}, {"{'x':1,'y':2} = {'y':2,'x':1}", "true"},
		{"a IN [1,2]", "true"}, {"a in [2]", "false"}, {"a IN 1", "undefined"}, {"NOT a IN [2]", "true"},
		{"a = 1 AND b.c > 2 OR no", "true"},
		// CASE.
		{"CASE a WHEN 1 THEN 'one' WHEN 2 THEN 'two' END", `"one"`}, {"CASE s WHEN 1 THEN 2 ELSE 3 END", "3"}, {"CASE s WHEN 1 THEN 2 END", "undefined"}, {"CASE nope WHEN 1 THEN 2 ELSE 3 END", "undefined"}, {"CASE (a) WHEN 1 THEN 2 END", "2"},
		// cast.
		{"cast(s AS Int)", "10"}, {"cast(2.7 AS int)", "2"}, {"cast(-2.5 AS integer)", "-3"}, {"cast('x' AS Int)", "undefined"}, {"cast(a AS String)", `"1"`}, {"cast(yes AS decimal)", "1"}, {"cast(0 AS bool)", "false"}, {"cast('TRUE' AS Boolean)", "true"},
		{"cast(nul AS String)", "undefined"}, {"cast(list AS Int)", "undefined"}, {"cast(b AS varchar)", `"{\"c\":2.5,\"item2\":\"x\"}"`}, {"cast(0.1 AS Double)", "0.1"},
		// Context.
		{"topic()", `"sensors/d1/data"`}, {"topic(2)", `"d1"`}, {"topic(4)", "undefined"}, {"topic(0)", "undefined"}, {"timestamp()", "1700000000123"}, {"clientid()", `"c1"`}, {"clientId()", `"c1"`}, {"accountid()", `"000000000000"`}, {"sql_version()", `"2016-03-23"`},
		{"get_user_properties('k')", `["v"]`}, {"get_user_properties()", `[{"k":"v"}]`}, {"get_mqtt_property('format_indicator')", `"UNSPECIFIED_BYTES"`},
		// Functions of numbers.
		{"abs(-3)", "3"}, {"abs('-3.5')", "3.5"}, {"ceil(1.2)", "2"}, {"floor(-1.2)", "-2"}, {"round(-1.5)", "-2"}, {"round(2.4)", "2"}, {"sign(-2.5)", "-1"}, {"trunc(2.3199999, 2)", "2.31"}, {"trunc(2.3, 0)", "2"}, {"mod(8, 3)", "2"},
		{"power(2, 5)", "32"}, {"sqrt(2)", "1.4142135623730951"}, {"sqrt(-1)", "undefined"}, {"ln(0)", "undefined"}, {"log(100)", "2"}, {"bitand(5, 12)", "4"}, {"bitnot(13)", "-14"}, {"abs()", "undefined"}, {"abs(1, 2)", "undefined"}, {"abs(nul)", "undefined"},
		// Functions of text.
		{"concat('a', 1, yes)", `"a1true"`}, {"concat(1)", "1"}, {"concat([1], 2, [3])", "[1,2,3]"}, {"concat()", "undefined"}, {"upper('ä')", `"Ä"`}, {"Trim(' a\t')", `"a"`}, {"lpad('a', 2)", `"  a"`}, {"startswith('ranger','ran')", "true"}, {"endswith('cat','at')", "true"},
		{"indexof('abcd','bc')", "1"}, {"indexof('abcd','x')", "-1"}, {"length('hí')", "2"}, {"numbytes('hí')", "3"}, {"substring('012345', 2)", `"2345"`}, {"substring('012345', 2.7, 4)", `"23"`}, {"substring('012345', -5, 2)", `"01"`}, {"substring('01', 2, 1)", `""`}, {"replace('abcd', 'bc', 'x')", `"axd"`},
		{`regexp_matches('aaaa', 'a{2,}')`, "true"}, {`regexp_replace('abcd', 'b(.)', '[$1]')`, `"a[c]d"`}, {`regexp_substr('hihihello', '(hi)*')`, `"hihi"`}, {`regexp_matches('a', '(?=a)')`, "undefined"}, {"chr(65)", `"A"`}, {"chr(300)", "undefined"},
		{"md5('hello')", `"5d41402abc4b2a76b9719d911017c592"`}, {"sha1('hello')", `"aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"`},
		// Other functions.
		{"isNull(nul)", "true"}, {"isNull(nope)", "false"}, {"isUndefined(nope)", "true"}, {"nanvl(nope, 3)", "3"}, {"get_or_default(nul, 'd')", `"d"`}, {"get_or_default(a, 'd')", "1"}, {"get('abc', 1)", `"b"`}, {"get([1,2], 5)", "undefined"}, {"get(list, 2).v", "27"},
		{"encode('a', 'base64')", `"YQ=="`}, {"decode('eyJ0IjoyMC4wfQ==', 'base64').t", "20"}, {"decode('!', 'base64')", "null"},
		{"parse_time('yyyy-MM-dd HH:mm:ss.SSS z', 1700000000123)", `"2023-11-14 22:13:20.123 UTC"`}, {"parse_time(\"yyyy-MM-dd'T'hh:mm a\", 1700000000123, 'America/Belize')", `"2023-11-14T04:13 PM"`},
		{"time_to_epoch('2020-04-03 09:45:18 UTC+01:00', 'yyyy-MM-dd HH:mm:ss VV')", "undefined"}, {"time_to_epoch('03 April 2020 09:45:18', 'dd MMMM yyyy HH:mm:ss')", "1585907118000"}, {"time_to_epoch('2020-04-03T09:45:18+0100', \"yyyy-MM-dd'T'HH:mm:ssZ\")", "1585903518000"},
		{"time_to_epoch('nonsense', 'yyyy')", "undefined"},
		{"transform('enrichArray', {'p': a}, [{'q': 1}])", `[{"p":1,"q":1}]`},
		// Nested SELECT.
		{"(SELECT v FROM list WHERE n = 'temperature')", `[{"v":27}]`}, {"(SELECT VALUE v FROM list AS e WHERE e.v > 30)", "[100]"}, {"get((SELECT v FROM list WHERE n = 'light'), 0).v", "100"}, {"(SELECT c FROM b)", `{"c":2.5}`}, {"(SELECT VALUE (x) FROM list AS x WHERE x = 2)", "[2]"},
		{"EXISTS (SELECT n FROM list WHERE n = 'light')", "true"}, {"EXISTS (SELECT n FROM list WHERE n = 'no')", "false"}, {"5 IN (SELECT VALUE v FROM list)", "false"}, {"(SELECT VALUE a FROM list WHERE n = 'light')", "[1]"},
		{"{'k': a, 'l': [b.c, nope]}", `{"k":1,"l":[2.5]}`},
	} {
		if got := eval(t, iotsql.V2016, c.expr); got != c.want {
			t.Errorf("%s = %s, want %s", c.expr, got, c.want)
		}
	}
}

func TestOldVersionKeepsDecimals(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ expr, want string }{
		{"f", "20.0"}, {"4 * 2.5", "10.0"}, {"cast(10 AS Double)", "10.0"}, {"1e3", "1000.0"}, {"a", "1"}, {"s - 3", "7.0"}, {"yes", "true"}, {"cast(yes AS Double)", "1.0"},
	} {
		if got := eval(t, iotsql.V2015, c.expr); got != c.want {
			t.Errorf("%s = %s, want %s", c.expr, got, c.want)
		}
	}
}

func TestStatements(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, sql, payload, want string }{
		{"star", "SELECT * FROM 'x'", `{"b":1,"a":2}`, `raw {"b":1,"a":2}`},
		{"star of bytes", "SELECT * FROM 'x'", "\xff\x00", "raw null"},
		{"star and more", "select *, topic(2) as dev, 9 as a from 'x'", `{"b":1,"a":2}`, `{"b":1,"a":9,"dev":"d1"}`},
		{"aliased star", "SELECT * AS state.reported FROM 'x'", `{"a":1}`, `{"state":{"reported":{"a":1}}}`},
		{"nested aliases", "SELECT a AS x.y, b AS x.z FROM 'x'", `{"a":1,"b":2}`, `{"x":{"y":1,"z":2}}`},
		{"names", "SELECT b.c, topic(2), cast(a AS String) FROM 'x'", `{"a":1,"b":{"c":2}}`, `{"c":2,"topic":"d1","cast":"1"}`},
		{"operator without alias", "SELECT a + 1 FROM 'x'", `{"a":1}`, `{"a + 1":2}`},
		{"undefined left out, null kept", "SELECT a, nope, n FROM 'x'", `{"a":1,"n":null}`, `{"a":1,"n":null}`},
		{"nothing", "SELECT nope FROM 'x'", `{}`, `{}`},
		{"value", "SELECT VALUE a FROM 'x'", `{"a":[1]}`, `[1]`},
		{"an attribute called value", "SELECT value, value * 2 AS w FROM 'x'", `{"value":3}`, `{"value":3,"w":6}`},
		{"value times", "SELECT value * 2 FROM 'x'", `{"value":3}`, `{"value * 2":6}`},
		{"keyword-like names", "SELECT timestamp, topic, end.case FROM 'x'"[0:0] + "SELECT timestamp, topic, b.end FROM 'x'", `{"timestamp":5,"topic":"q","b":{"end":1}}`, `{"timestamp":5,"topic":"q","end":1}`},
		{"empty payload", "SELECT *, 1 AS k FROM 'x'", ``, `{"k":1}`},
		{"scalar payload", "SELECT decode(encode(*, 'base64'), 'base64') AS v FROM 'x'", `80`, `{"v":80}`},
		{"variables", "SET @m = a * 2, @n = @m + 1 SELECT @n AS n, @m FROM 'x' WHERE @m > 1", `{"a":1}`, `{"n":3,"m":2}`},
		{"where false", "SELECT a FROM 'x' WHERE a > 1", `{"a":1}`, "no"},
		{"where undefined", "SELECT a FROM 'x' WHERE b > 1", `{"a":1}`, "no"},
		{"where string true", "SELECT a FROM 'x' WHERE b", `{"a":1,"b":"True"}`, `{"a":1}`},
		{"where number", "SELECT a FROM 'x' WHERE 1", `{"a":1}`, "no"},
		{"broken payload, attributes in WHERE only", "SELECT * FROM 'x' WHERE a = 1", `{"a":`, "no"},
		{"broken payload", "SELECT a FROM 'x'", `{"a":`, "error the payload is not JSON: JSON offset 5: the document ends early"},
		{"repeated keys", "SELECT *, 1 AS z FROM 'x'", `{"a":1,"b":2,"a":3}`, `{"a":3,"b":2,"z":1}`},
		{"escapes", "SELECT a FROM 'x'", `{"a":"\u00e4\ud83d\ude00\n\"\\\/"}`, `{"a":"ä😀\n\"\\/"}`},
		{"too many visits", "SELECT (SELECT VALUE (SELECT VALUE (SELECT VALUE e FROM l AS e) FROM l AS f) FROM l AS g) AS x FROM 'x'", `{"l":[` + strings.Repeat("1,", 120) + `1]}`, "error the statement's nested SELECTs visit too many elements"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := iotsql.Parse(c.sql, iotsql.V2016)
			if err != nil {
				t.Fatal(err)
			}
			if got := outcome(s, c.payload); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func outcome(s *iotsql.Statement, payload string) string {
	r, err := s.Eval(input(payload))
	if err != nil {
		return "error " + err.Error()
	}
	if !r.Fired {
		return "no"
	}
	b, err := r.Value.AppendJSON(nil, 1<<20)
	if err != nil {
		return "error " + err.Error()
	}
	if r.Raw {
		return "raw " + string(b)
	}
	return string(b)
}

func TestSyntaxErrorsSayWhereAndWhat(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ sql, want string }{
		{"", "line 1:1: expected 'SELECT', found the end"},
		{"SELECT", "line 1:7: expected an expression, found the end"},
		{"SELECT a FROM x", "line 1:15: expected a topic filter in quotes after FROM, found 'x'"},
		{"SELECT a\nFROM 'a/#/b'", "line 2:6: # must be the last level of the topic filter"},
		{"SELECT a FROM 'a/b+'", "line 1:15: + and # must be whole levels of the topic filter"},
		{"SELECT a FROM 'x' WHERE", "line 1:24: expected an expression, found the end"},
		{"SELECT a FROM 'x' WHERE a LIKE 'x'", "line 1:27: unexpected 'LIKE'"},
		{"SELECT a FROM 'x';", "line 1:18: unexpected character ';'"},
		{"SELECT aws_lambda('f', a) FROM 'x'", "line 1:8: the function aws_lambda calls another service and is not supported"},
		{"SELECT frob(a) FROM 'x'", "line 1:8: the function frob is not supported"},
		{"SELECT decode(a, 'proto', 'b') FROM 'x'", "line 1:8: the encoding 'proto' of decode is not supported"},
		{"SELECT 'a FROM x", "line 1:8: a string does not end"},
		{"SELECT @v FROM 'x'", "line 1:8: the variable @v is not assigned"},
		{"SET @v = 1, @v = 2 SELECT 1 FROM 'x'", "line 1:13: @v is assigned twice"},
		{"SELECT 2abc FROM 'x'", "line 1:9: a name cannot start with a digit; use get() for such a key"},
		{"SELECT CASE WHEN a THEN 1 END FROM 'x'", "line 1:13: CASE needs a value before WHEN; the form without one is not part of the dialect"},
		{"SELECT " + strings.Repeat("(", 200) + "1", "line 1:108: the statement is nested more than 100 levels deep"},
		{"SELECT " + strings.Repeat("1+", 200) + "1", "line 1:207: the statement is nested more than 100 levels deep"},
		{"SELECT " + strings.Repeat("-", 200) + "1", "line 1:107: the statement is nested more than 100 levels deep"},
		{"SELECT cast(a AS Date) FROM 'x'", "line 1:18: expected a type after AS, found 'Date'"},
	} {
		_, err := iotsql.Parse(c.sql, iotsql.V2016)
		var syntax *iotsql.SyntaxError
		if !errors.As(err, &syntax) || err.Error() != c.want {
			t.Errorf("%.60s: got %v, want %s", c.sql, err, c.want)
		}
	}
}

func TestTemplates(t *testing.T) {
	t.Parallel()
	s, err := iotsql.Parse("SET @v = a + 1 SELECT a AS alias FROM 'x'", iotsql.V2016)
	if err != nil {
		t.Fatal(err)
	}
	in := input(doc)
	r, err := s.Eval(in)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ src, want, missing string }{
		{"plain", "plain", ""}, {"", "", ""}, {"$5 {x}", "$5 {x}", ""}, {"${t}", "text", ""}, {"a-${a}-${b.c}!", "a-1-2.5!", ""}, {"${topic(2)}", "d1", ""}, {"${timestamp()}", "1700000000123", ""},
		{"${'}'}", "}", ""}, {"${get({'k': '}x'}, 'k')}", "}x", ""}, {"${@v}", "2", ""}, {"${alias}", "", "${alias}"}, {"x${nul}y${nope}", "xy", "${nul}"}, {"${a + 1}${yes}", "2true", ""}, {"${b}", `{"c":2.5,"item2":"x"}`, ""},
		{"${t}'unclosed \"", "text'unclosed \"", ""},
	} {
		tpl, err := s.Template(c.src)
		if err != nil {
			t.Errorf("%s: %v", c.src, err)
			continue
		}
		if got, missing := tpl.Eval(in, &r); got != c.want || missing != c.missing {
			t.Errorf("%s = %q, missing %q; want %q, %q", c.src, got, missing, c.want, c.missing)
		}
	}
	for _, src := range []string{"${", "${a", "${a b}", "${}", "${frob(a)}", "${@w}", "${'x}"} {
		if _, err := s.Template(src); err == nil {
			t.Errorf("%s: no error", src)
		}
	}
}

func TestFilters(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		filter, topic string
		want          bool
	}{
		{"a", "a", true}, {"a", "b", false}, {"a/b", "a", false}, {"a", "a/b", false}, {"+", "a", true}, {"+", "a/b", false}, {"a/+/c", "a/b/c", true}, {"a/+", "a/", true}, {"a/+", "a", false},
		{"a/#", "a", false}, {"a/#", "a/", true}, {"a/#", "a/b", true}, {"a/#", "a/b/c", true}, {"#", "a/b", true}, {"#", "$aws/x", false}, {"+/x", "$aws/x", false}, {"$aws/#", "$aws/x", true}, {"A", "a", false}, {"+/#", "a", false}, {"+/#", "a/b", true},
	} {
		if got := iotsql.MatchFilter(c.filter, c.topic); got != c.want {
			t.Errorf("%s on %s = %v", c.filter, c.topic, got)
		}
	}
}

func TestNumbersAsDoubles(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text string
		want float64
	}{{"20.5", 20.5}, {"1e300", 1e300}, {"0.1", 0.1}, {"-1.5e-9", -1.5e-9}, {"123456789012345678901234.5", 123456789012345678901234.5}, {"0", 0}} {
		v, err := iotsql.ParseJSON(c.text, false)
		if err != nil || v.Float64() != c.want {
			t.Errorf("%s = %v, %v", c.text, v.Float64(), err)
		}
	}
	for _, bad := range []string{"01", "1.", ".5", "+1", "1e", "-", "1e+", "0x1", "NaN"} {
		if _, err := iotsql.ParseJSON(bad, true); err == nil {
			t.Errorf("%s: no error", bad)
		}
	}
	for _, far := range []string{"1e1000", "1e999999999999999999999", "-1e5000"} {
		if v, err := iotsql.ParseJSON(far, true); err != nil || v.Kind() != iotsql.Undefined {
			t.Errorf("%s = %v, %v; want Undefined", far, v.Kind(), err)
		}
	}
}

func FuzzParseAndEval(f *testing.F) {
	f.Add("SELECT *, a.b AS x.y FROM 'a/+/#' WHERE a > 1 AND b IN [1,'x']", "x${a + 'b'}y", doc)
	f.Add("SET @v = (SELECT VALUE n FROM list AS e WHERE e.v > 1) SELECT CASE @v WHEN 1 THEN 2 ELSE {'a': 1} END", "${get(@v, 0)}", doc)
	f.Add("SELECT parse_time('yyyy', 1), time_to_epoch('1', 'd'), regexp_replace(t, 'x', '$1'), trunc(1.5, 2), power(9.9e999, 2)", "${*}", "[1e5, -0.0]")
	f.Fuzz(func(t *testing.T, sql, template, payload string) {
		for _, v := range []iotsql.Version{iotsql.V2015, iotsql.V2016} {
			s, err := iotsql.Parse(sql, v)
			if err != nil {
				continue
			}
			in := input(payload)
			r, err := s.Eval(in)
			if err != nil {
				continue
			}
			b, err := r.Value.AppendJSON(nil, 1<<20)
			if err == nil && r.Value.Kind() != iotsql.Undefined {
				if _, err := iotsql.ParseJSON(string(b), v != iotsql.V2015); err != nil {
					t.Fatalf("%s on %q gave %q: %v", sql, payload, b, err)
				}
			}
			if tpl, err := s.Template(template); err == nil {
				tpl.Eval(in, &r)
			}
		}
	})
}

func BenchmarkEval(b *testing.B) {
	payload := []byte(`{"device_id":"sensor-0042","location":"building-1/floor-2","temperature":21.53,"humidity":48.2,"battery":3.71,"seq":123456}`)
	for _, sql := range []string{"SELECT * FROM 'sensors/+/data'", "SELECT temperature, humidity, topic(2) AS dev FROM 'sensors/+/data' WHERE temperature > 20"} {
		s, err := iotsql.Parse(sql, iotsql.V2016)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(sql[7:8], func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				in := iotsql.Input{Topic: "sensors/x/data", Payload: payload}
				if r, err := s.Eval(&in); err != nil || !r.Fired {
					b.Fatal(err)
				}
			}
		})
	}
}
