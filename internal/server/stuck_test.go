package server_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/timestreamquery"
	"github.com/aws/aws-sdk-go-v2/service/timestreamwrite"
	"github.com/aws/aws-sdk-go-v2/service/timestreamwrite/types"

	"github.com/weir-db/weir/internal/server"
	"github.com/weir-db/weir/internal/storage/embedded/wal"
	"github.com/weir-db/weir/internal/vfs"
)

// stuckClients is a server and what talks to it.
type stuckClients struct {
	*server.Server
	write *timestreamwrite.Client
	query *timestreamquery.Client
}

func startStuck(t *testing.T, dir string) stuckClients {
	t.Helper()
	s := must[*server.Server](t)(server.Start(t.Context(), server.Options{DataDir: dir, Listen: "127.0.0.1:0"}))
	keys := credentials.NewStaticCredentialsProvider("any", "any", "")
	return stuckClients{s,
		timestreamwrite.New(timestreamwrite.Options{BaseEndpoint: aws.String(s.URL()), Region: "us-east-1", Credentials: keys, RetryMaxAttempts: 1}),
		timestreamquery.New(timestreamquery.Options{BaseEndpoint: aws.String(s.URL()), Region: "us-east-1", Credentials: keys, RetryMaxAttempts: 1})}
}

func (c stuckClients) put(t *testing.T, table string, n int) error {
	_, err := c.write.WriteRecords(t.Context(), &timestreamwrite.WriteRecordsInput{DatabaseName: aws.String("db"), TableName: aws.String(table), Records: []types.Record{{
		Dimensions: []types.Dimension{{Name: aws.String("device"), Value: aws.String(fmt.Sprint(n))}}, MeasureName: aws.String("v"), MeasureValue: aws.String("1"),
		Time: aws.String(fmt.Sprint(time.Now().UnixMilli()))}}})
	return err
}

func (c stuckClients) want(t *testing.T, table, rows string) {
	t.Helper()
	out, err := c.query.Query(t.Context(), &timestreamquery.QueryInput{QueryString: aws.String("SELECT count(*) FROM db." + table)})
	if err != nil {
		t.Fatal(err)
	}
	if got := aws.ToString(out.Rows[0].Data[0].ScalarValue); got != rows {
		t.Errorf("%s rows in %s, want %s", got, table, rows)
	}
}

// TestATableThatIsStuckIsNamedEverywhere has the log of a data folder hold a record that does not parse: of the table t.
func TestATableThatIsStuckIsNamedEverywhere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := startStuck(t, dir)
	if _, err := c.write.CreateDatabase(t.Context(), &timestreamwrite.CreateDatabaseInput{DatabaseName: aws.String("db")}); err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"t", "other"} {
		if _, err := c.write.CreateTable(t.Context(), &timestreamwrite.CreateTableInput{DatabaseName: aws.String("db"), TableName: aws.String(table)}); err != nil {
			t.Fatal(err)
		}
		if err := c.put(t, table, 1); err != nil {
			t.Fatal(err)
		}
	}
	c.Close(t.Context())
	log, err := wal.Open(wal.Options{FS: must[vfs.FS](t)(vfs.Real(filepath.Join(dir, "store"))), Dir: "wal"}, func(wal.Position, byte, []byte) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	at := must[wal.Position](t)(log.Append(2, []byte{1, 0xff})) // the first table's uid is 1
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("wal/%016x", uint64(at))

	c = startStuck(t, dir)
	if err := c.put(t, "t", 2); err == nil || !strings.Contains(err.Error(), name+".poison") || !strings.Contains(err.Error(), "drop the table") {
		t.Errorf("a write gave %v", err)
	}
	c.want(t, "t", "1")
	if err := c.put(t, "other", 2); err != nil {
		t.Error(err)
	}
	c.want(t, "other", "2")
	if got := get(t, c.URL()+"/health"); !strings.HasPrefix(got, "200 ok\n") || !strings.Contains(got, "the table db.t takes no records") || !strings.Contains(got, name+".poison") {
		t.Errorf("health: %s", got)
	}
	backup := backupOf(t, c.Server)
	c.Close(t.Context())
	if err := server.CheckFolder(t.Context(), io.Discard, server.Options{DataDir: dir}); err == nil || !strings.Contains(err.Error(), "db.t") || !strings.Contains(err.Error(), name+".poison") {
		t.Errorf("check: %v", err)
	}
	var told, out bytes.Buffer
	copied := filepath.Join(t.TempDir(), "copy")
	if err := server.Restore(t.Context(), &told, bytes.NewReader(backup), copied); err != nil || !strings.Contains(told.String(), name+".poison") {
		t.Errorf("restore: %v\n%s", err, told.String())
	}
	if err := server.InspectStoreFile(&out, filepath.Join(copied, "store/wal"), filepath.Base(name)+".poison"); err != nil || !strings.Contains(out.String(), "table db.t") {
		t.Errorf("inspect: %v\n%s", err, out.String())
	}

	for _, folder := range []string{dir, copied} {
		full := filepath.Join(folder, "store", filepath.FromSlash(name))
		if err := os.Rename(full+".poison", full+".passed"); err != nil {
			t.Fatal(err)
		}
		c = startStuck(t, folder)
		if err := c.put(t, "t", 2); err != nil {
			t.Errorf("once it is passed over: %v", err)
		}
		c.want(t, "t", "2")
		c.want(t, "other", "2")
		c.Close(t.Context())
		if err := server.CheckFolder(t.Context(), io.Discard, server.Options{DataDir: folder}); err != nil {
			t.Errorf("check once it is passed over: %v", err)
		}
	}
}
