package pgwire_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/weir-db/weir/internal/catalog"
	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/iam"
	"github.com/weir-db/weir/internal/pgwire"
	"github.com/weir-db/weir/internal/query"
	"github.com/weir-db/weir/internal/storage/storagetest"
	"github.com/weir-db/weir/test/sql/sqltest"
)

// serve starts a door to an account without tables and returns its address.
func serve(t testing.TB, o pgwire.Options) (*pgwire.Server, string) {
	t.Helper()
	clk := clock.Manual(sqltest.Start)
	cat, err := catalog.Open(context.Background(), catalog.Options{Backend: storagetest.NewNaive(clk), Clock: clk})
	if err != nil {
		t.Fatal(err)
	}
	o.Queries = query.New(query.Options{Catalog: cat, Functions: sqltest.Functions(), Clock: clk})
	s := pgwire.New(o)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		s.Close(ctx)
		if err := <-served; err != nil {
			t.Error(err)
		}
		o.Queries.Close()
	})
	return s, ln.Addr().String()
}

func connect(t testing.TB, addr string) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(t.Context(), "postgres://me:any@"+addr+"/d?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(context.Background()) })
	return c
}

// state is the SQLSTATE of an error.
func state(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code
	}
	return fmt.Sprint(err)
}

func TestValuesAreWrittenAsPostgresWritesThem(t *testing.T) {
	t.Parallel()
	_, addr := serve(t, pgwire.Options{})
	c := connect(t, addr).PgConn()
	for _, x := range []struct {
		sql, want string
		oid       uint32
	}{
		{"1", "1", 23},
		{"BIGINT '9223372036854775807'", "9223372036854775807", 20},
		{"2.0", "2", 701},
		{"-0.1e0", "-0.1", 701},
		{"1e15", "1e+15", 701},
		{"123456789012345e0", "123456789012345", 701},
		{"1e-4", "0.0001", 701},
		{"1e-5", "1e-05", 701},
		{"nan()", "NaN", 701},
		{"-infinity()", "-Infinity", 701},
		{"true", "t", 16},
		{"'a\"b'", `a"b`, 25},
		{"TIMESTAMP '2024-01-02 03:04:05.123456789'", "2024-01-02 03:04:05.123456", 1114},
		{"TIMESTAMP '1969-12-31 23:59:59.999999999'", "1969-12-31 23:59:59.999999", 1114},
		{"TIMESTAMP '2024-01-02 03:04:05.100'", "2024-01-02 03:04:05.1", 1114},
		{"DATE '2024-01-02'", "2024-01-02", 1082},
		{"TIME '03:04:05'", "03:04:05", 1083},
		{"90061s", "1 day 01:01:01", 1186},
		{"0s", "00:00:00", 1186},
		{"INTERVAL '1-2' YEAR TO MONTH", "1 year 2 mons", 1186},
		{"ARRAY[1,NULL,3]", "{1,NULL,3}", 1007},
		{`ARRAY['a b','','NULL','q"\']`, `{"a b","","NULL","q\"\\"}`, 1009},
		{"ARRAY[ARRAY[1,2],ARRAY[3]]", "[[1,2],[3]]", 114},
		{"ROW(1, 'x')", `[1,"x"]`, 114},
	} {
		r := c.ExecParams(t.Context(), "SELECT "+x.sql, nil, nil, nil, nil).Read()
		if r.Err != nil || len(r.Rows) != 1 || string(r.Rows[0][0]) != x.want || r.FieldDescriptions[0].DataTypeOID != x.oid {
			t.Errorf("%s: got %q, %+v, %v, want %q of type %d", x.sql, r.Rows, r.FieldDescriptions, r.Err, x.want, x.oid)
		}
	}
}

func TestParametersAndResultsInBothFormats(t *testing.T) {
	t.Parallel()
	_, addr := serve(t, pgwire.Options{})
	c := connect(t, addr)
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeDescribeExec, pgx.QueryExecModeExec} {
		var n int64
		var s string
		var f float64
		var at time.Time
		var list []int64
		var null *string
		err := c.QueryRow(t.Context(), "SELECT 40 + CAST($1 AS bigint), concat($2, '!'), 1.5, TIMESTAMP '2024-01-02 03:04:05.123456', ARRAY[BIGINT '1', BIGINT '2'], CAST(NULL AS varchar)",
			mode, int64(2), "é'x").Scan(&n, &s, &f, &at, &list, &null)
		if err != nil {
			t.Errorf("%v: %v", mode, err)
			continue
		}
		if n != 42 || s != "é'x!" || f != 1.5 || !at.Equal(time.Date(2024, 1, 2, 3, 4, 5, 123456000, time.UTC)) || len(list) != 2 || list[1] != 2 || null != nil {
			t.Errorf("%v: got %d %q %v %v %v %v", mode, n, s, f, at, list, null)
		}
	}
}

func TestErrorsHaveAStateAndAPlace(t *testing.T) {
	t.Parallel()
	_, addr := serve(t, pgwire.Options{})
	c := connect(t, addr)
	for _, x := range []struct {
		sql, state string
		position   int32
	}{
		{"SELEC 1", "42601", 1},
		{"SELECT 1; SELECT 'é', nope", "42703", 23},
		{"SELECT\n  nope", "42703", 10},
		{"SELECT * FROM d.t", "3F000", 15},
		{"SELECT nope(1)", "42883", 8},
		{"SELECT 1/0", "22000", 0},
		{"INSERT INTO t VALUES (1)", "25006", 0},
		{"COPY t FROM STDIN", "0A000", 0},
		{"SHOW nothing", "42704", 0},
		{"SET client_encoding = 'LATIN1'", "22023", 0},
	} {
		_, err := c.PgConn().Exec(t.Context(), x.sql).ReadAll()
		var e *pgconn.PgError
		if !errors.As(err, &e) || e.Code != x.state || e.Position != x.position {
			t.Errorf("%s: got %+v, want %s at %d", x.sql, err, x.state, x.position)
		}
	}
	if err := c.Ping(t.Context()); err != nil {
		t.Errorf("after errors: %v", err)
	}
}

func TestTransactionsCursorsAndSettings(t *testing.T) {
	t.Parallel()
	_, addr := serve(t, pgwire.Options{})
	c := connect(t, addr).PgConn()
	do := func(sql, want string, status byte) {
		t.Helper()
		results, err := c.Exec(t.Context(), sql).ReadAll()
		got := state(err)
		if err == nil {
			last := results[len(results)-1]
			got = last.CommandTag.String()
			for _, row := range last.Rows {
				got += fmt.Sprintf(" %s", row)
			}
		}
		if got != want || c.TxStatus() != status {
			t.Errorf("%s: got %q, %c, want %q, %c", sql, got, c.TxStatus(), want, status)
		}
	}
	do("BEGIN", "BEGIN", 'T')
	do("SAVEPOINT a", "SAVEPOINT", 'T')
	do("SELECT 1/0", "22000", 'E')
	do("SELECT 1", "25P02", 'E')
	do("ROLLBACK TO SAVEPOINT a", "ROLLBACK", 'T')
	do("DECLARE c CURSOR FOR SELECT x FROM UNNEST(sequence(1, 5)) AS t(x)", "DECLARE CURSOR", 'T')
	do("FETCH 2 FROM c", "FETCH 2 [1] [2]", 'T')
	do("MOVE c", "MOVE 1", 'T')
	do("FETCH FORWARD ALL IN c", "FETCH 2 [4] [5]", 'T')
	do("FETCH c", "FETCH 0", 'T')
	do("CLOSE c", "CLOSE CURSOR", 'T')
	do("FETCH c", "34000", 'E')
	do("COMMIT", "ROLLBACK", 'I')
	do("DECLARE c CURSOR FOR SELECT 1", "25P01", 'I')
	do("SET application_name TO 'x y'", "SET", 'I')
	do("SHOW application_name", "SHOW [x y]", 'I')
	do("SET TIME ZONE 'Europe/Berlin'", "SET", 'I')
	do("SHOW TimeZone", "SHOW [Europe/Berlin]", 'I')
	do("RESET ALL", "RESET", 'I')
	do("SHOW application_name", "SHOW []", 'I')
	do("DISCARD ALL", "DISCARD ALL", 'I')
	if got := c.ParameterStatus("client_encoding") + c.ParameterStatus("integer_datetimes"); got != "UTF8on" {
		t.Errorf("parameters told: %q", got)
	}
}

func TestAPortalIsReadInParts(t *testing.T) {
	t.Parallel()
	_, addr := serve(t, pgwire.Options{})
	h, err := connect(t, addr).PgConn().Hijack()
	if err != nil {
		t.Fatal(err)
	}
	f := h.Frontend
	f.Send(&pgproto3.Parse{Query: "SELECT x FROM UNNEST(sequence(1, 5)) AS t(x)"})
	f.Send(&pgproto3.Bind{})
	f.Send(&pgproto3.Execute{MaxRows: 2})
	f.Send(&pgproto3.Execute{MaxRows: 2})
	f.Send(&pgproto3.Execute{})
	f.Send(&pgproto3.Bind{PreparedStatement: "none"})
	f.Send(&pgproto3.Execute{}) // passed over until Sync
	f.Send(&pgproto3.Sync{})
	if err := f.Flush(); err != nil {
		t.Fatal(err)
	}
	var got []string
	for {
		m, err := f.Receive()
		if err != nil {
			t.Fatal(err)
		}
		switch m := m.(type) {
		case *pgproto3.DataRow:
			got = append(got, string(m.Values[0]))
		case *pgproto3.ErrorResponse:
			got = append(got, m.Code)
		default:
			got = append(got, strings.TrimPrefix(fmt.Sprintf("%T", m), "*pgproto3."))
		}
		if _, ok := m.(*pgproto3.ReadyForQuery); ok {
			break
		}
	}
	h.Conn.Close()
	if got, want := strings.Join(got, " "), "ParseComplete BindComplete 1 2 PortalSuspended 3 4 PortalSuspended 5 CommandComplete 26000 ReadyForQuery"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestUsersAreAccessKeysWhereRequestsAreVerified(t *testing.T) {
	t.Parallel()
	o := pgwire.Options{FailedLogin: time.Millisecond, Credential: func(key string) (iam.Identity, error) {
		if key != "AKIA1" {
			return iam.Identity{}, iam.ErrUnknownKey
		}
		return iam.Identity{Secret: "s3cret/+", ARN: "arn:aws:iam::000000000000:user/u"}, nil
	}}
	_, addr := serve(t, o)
	login := func(user, password string) string {
		config, err := pgx.ParseConfig("sslmode=disable")
		if err != nil {
			t.Fatal(err)
		}
		host, port, _ := net.SplitHostPort(addr)
		config.Host, config.User, config.Password, config.Database = host, user, password, "d"
		fmt.Sscan(port, &config.Port)
		c, err := pgx.ConnectConfig(t.Context(), config)
		if err != nil {
			return state(err)
		}
		defer c.Close(context.Background())
		return fmt.Sprint(c.Ping(t.Context()))
	}
	for _, x := range [][3]string{{"AKIA1", "s3cret/+", "<nil>"}, {"AKIA1", "wrong", "28P01"}, {"AKIA2", "s3cret/+", "28P01"}} {
		if got := login(x[0], x[1]); got != x[2] {
			t.Errorf("%s with %s: got %s, want %s", x[0], x[1], got, x[2])
		}
	}
}

// endless runs far longer than a test.
const endless = "SELECT count(*) FROM UNNEST(sequence(1,10000)) a(x), UNNEST(sequence(1,10000)) b(y), UNNEST(sequence(1,10000)) c(z)"

func TestACancelRequestEndsTheQueryThatRuns(t *testing.T) {
	t.Parallel()
	_, addr := serve(t, pgwire.Options{})
	c := connect(t, addr).PgConn()
	done := make(chan error, 1)
	go func() {
		_, err := c.Exec(context.Background(), endless).ReadAll()
		done <- err
	}()
	for {
		if err := c.CancelRequest(t.Context()); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-done:
			if state(err) != "57014" {
				t.Errorf("got %v, want 57014", err)
			}
			if _, err := c.Exec(t.Context(), "SELECT 1").ReadAll(); err != nil {
				t.Errorf("afterwards: %v", err)
			}
			return
		case <-time.After(10 * time.Millisecond): // it may not have run yet
		}
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	_, addr := serve(t, pgwire.Options{MaxConnections: 2})
	connect(t, addr)
	connect(t, addr)
	if _, err := pgx.Connect(t.Context(), "postgres://me@"+addr+"/d?sslmode=disable"); state(err) != "53300" {
		t.Errorf("the third: %v", err)
	}
}

func TestCloseEndsIdleSessionsAndRunningQueries(t *testing.T) {
	t.Parallel()
	s, addr := serve(t, pgwire.Options{})
	idle, busy := connect(t, addr).PgConn(), connect(t, addr).PgConn()
	done := make(chan error, 1)
	go func() {
		_, err := busy.Exec(context.Background(), endless).ReadAll()
		done <- err
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	s.Close(ctx)
	if err := <-done; err == nil {
		t.Error("the endless query ended well")
	}
	if _, err := idle.Exec(t.Context(), "SELECT 1").ReadAll(); err == nil {
		t.Error("the idle session was served after Close")
	}
}

func TestGarbageAndGiantsAreRefused(t *testing.T) {
	t.Parallel()
	_, addr := serve(t, pgwire.Options{MaxMessageBytes: 1000})
	for _, text := range []string{"GET / HTTP/1.1\r\n\r\n", "\x00\x00\x00\x08\x00\x00\x00\x00", "\xff\xff\xff\xff\x00\x03\x00\x00", "\x00\x00\x00\x09\x00\x03\x00\x00\x00"} {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(c, text)
		c.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, err := io.ReadAll(c); err != nil && errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%q: not refused", text)
		}
		c.Close()
	}
	if _, err := connect(t, addr).PgConn().Exec(t.Context(), "SELECT '"+strings.Repeat("x", 2000)+"'").ReadAll(); state(err) != "54000" {
		t.Errorf("a giant message: %v", err)
	}
}

// FuzzMessages sends whatever to a session that has logged in: it must end, with everything given back.
func FuzzMessages(f *testing.F) {
	_, addr := serve(f, pgwire.Options{MaxMessageBytes: 4096, MaxConnections: 100})
	seed := func(messages ...pgproto3.FrontendMessage) {
		var b []byte
		for _, m := range messages {
			b, _ = m.Encode(b)
		}
		f.Add(b)
	}
	seed(&pgproto3.Query{String: "SELECT 1; BEGIN; DECLARE c CURSOR FOR SELECT 1; FETCH 1 FROM c; SHOW ALL"}, &pgproto3.Terminate{})
	seed(&pgproto3.Parse{Name: "a", Query: "SELECT $1 + 1", ParameterOIDs: []uint32{23}}, &pgproto3.Describe{ObjectType: 'S', Name: "a"},
		&pgproto3.Bind{PreparedStatement: "a", ParameterFormatCodes: []int16{1}, Parameters: [][]byte{{0, 0, 0, 1}}, ResultFormatCodes: []int16{1}},
		&pgproto3.Describe{ObjectType: 'P'}, &pgproto3.Execute{MaxRows: 1}, &pgproto3.Close{ObjectType: 'S', Name: "a"}, &pgproto3.Sync{})
	seed(&pgproto3.Query{String: "SET a.b = 'c'"}, &pgproto3.CopyDone{}, &pgproto3.Flush{}, &pgproto3.FunctionCall{})
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Skip(err)
		}
		defer c.Close()
		start, _ := (&pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion30, Parameters: map[string]string{"user": "me"}}).Encode(nil)
		end := binary.BigEndian.AppendUint32([]byte{'X'}, 4)
		go func() {
			c.Write(append(append(start, data...), end...))
			c.(*net.TCPConn).CloseWrite()
		}()
		c.SetReadDeadline(time.Now().Add(20 * time.Second))
		if _, err := io.ReadAll(c); err != nil && errors.Is(err, context.DeadlineExceeded) {
			t.Fatal("the session does not end")
		}
	})
}
