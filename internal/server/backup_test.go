package server_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iot"
	iottypes "github.com/aws/aws-sdk-go-v2/service/iot/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/timestreamquery"
	"github.com/aws/aws-sdk-go-v2/service/timestreamwrite"
	"github.com/aws/aws-sdk-go-v2/service/timestreamwrite/types"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/server"
)

// askBackup asks for a backup, signed with a key unless it is empty.
func askBackup(t *testing.T, url, service, key, secret string, change func(*http.Request)) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+server.BackupPath, nil)
	if err != nil {
		t.Fatal(err)
	}
	if key != "" {
		empty := sha256.Sum256(nil)
		err := v4.NewSigner().SignHTTP(t.Context(), aws.Credentials{AccessKeyID: key, SecretAccessKey: secret}, r, hex.EncodeToString(empty[:]), service, "us-east-1", time.Now())
		if err != nil {
			t.Fatal(err)
		}
	}
	if change != nil {
		change(r)
	}
	return must[*http.Response](t)(http.DefaultClient.Do(r))
}

// backupOf returns a whole backup of a server.
func backupOf(t *testing.T, s *server.Server) []byte {
	t.Helper()
	resp := askBackup(t, s.URL(), server.AdminService, rootKey, rootSecret, nil)
	defer resp.Body.Close()
	data := must[[]byte](t)(io.ReadAll(resp.Body))
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", resp.Status, data)
	}
	return data
}

func rootCredentials() aws.CredentialsProvider {
	return credentials.NewStaticCredentialsProvider(rootKey, rootSecret, "")
}

func writeClient(s *server.Server) *timestreamwrite.Client {
	return timestreamwrite.New(timestreamwrite.Options{BaseEndpoint: aws.String(s.URL()), Region: "us-east-1", Credentials: rootCredentials(),
		EndpointDiscovery: timestreamwrite.EndpointDiscoveryOptions{EnableEndpointDiscovery: aws.EndpointDiscoveryDisabled}})
}

func iamClient(s *server.Server) *iam.Client {
	return iam.New(iam.Options{BaseEndpoint: aws.String(s.URL()), Region: "us-east-1", Credentials: rootCredentials()})
}

func iotClient(s *server.Server) *iot.Client {
	return iot.New(iot.Options{BaseEndpoint: aws.String(s.URL()), Region: "us-east-1", Credentials: rootCredentials()})
}

func makeTable(t *testing.T, c *timestreamwrite.Client, table string) {
	t.Helper()
	if table == "t" {
		must[*timestreamwrite.CreateDatabaseOutput](t)(c.CreateDatabase(t.Context(), &timestreamwrite.CreateDatabaseInput{DatabaseName: aws.String("db")}))
	}
	must[*timestreamwrite.CreateTableOutput](t)(c.CreateTable(t.Context(), &timestreamwrite.CreateTableInput{DatabaseName: aws.String("db"), TableName: &table}))
}

func writeRecord(ctx context.Context, c *timestreamwrite.Client, device string, n int64, at time.Time) error {
	_, err := c.WriteRecords(ctx, &timestreamwrite.WriteRecordsInput{
		DatabaseName: aws.String("db"), TableName: aws.String("t"),
		Records: []types.Record{{
			Dimensions:  []types.Dimension{{Name: aws.String("device"), Value: &device}},
			MeasureName: aws.String("n"), MeasureValue: aws.String(strconv.FormatInt(n, 10)), MeasureValueType: types.MeasureValueTypeBigint,
			Time: aws.String(strconv.FormatInt(at.UnixNano()+n, 10)), TimeUnit: types.TimeUnitNanoseconds,
		}},
	})
	return err
}

func TestABackupMadeWhileWritersWriteHoldsAllThatWasAcknowledged(t *testing.T) {
	t.Parallel()
	s, stop := startServer(t, t.TempDir())
	ctx := t.Context()
	w := writeClient(s)
	makeTable(t, w, "t")
	box := s3Client(s, rootSecret)
	must[*s3.CreateBucketOutput](t)(box.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String("box")}))
	must[*s3.CreateBucketOutput](t)(box.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String("empty")}))
	for _, key := range []string{"a/b", "a", "é d"} {
		must[*s3.PutObjectOutput](t)(box.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("box"), Key: &key, Body: strings.NewReader("of " + key), ContentType: aws.String("text/csv")}))
	}
	must[*iam.CreateRoleOutput](t)(iamClient(s).CreateRole(ctx, &iam.CreateRoleInput{RoleName: aws.String("writer"),
		AssumeRolePolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"iot.amazonaws.com"},"Action":"sts:AssumeRole"}]}`)}))
	must[*iot.CreateTopicRuleOutput](t)(iotClient(s).CreateTopicRule(ctx, &iot.CreateTopicRuleInput{RuleName: aws.String("keep"),
		TopicRulePayload: &iottypes.TopicRulePayload{Sql: aws.String("SELECT * FROM 'devices/+'"), Actions: []iottypes.Action{{Republish: &iottypes.RepublishAction{
			RoleArn: aws.String("arn:aws:iam::000000000000:role/writer"), Topic: aws.String("copy")}}}}}))

	const writers = 3
	var acknowledged [writers]atomic.Int64
	at := time.Now().Add(-time.Minute)
	enough := make(chan struct{})
	var working sync.WaitGroup
	for k := range writers {
		working.Go(func() {
			for n := int64(0); ; n++ {
				select {
				case <-enough:
					return
				default:
				}
				if err := writeRecord(context.Background(), w, fmt.Sprint(k), n, at); err != nil {
					t.Error(err)
					return
				}
				acknowledged[k].Store(n + 1)
			}
		})
	}
	working.Go(func() { // definitions change too
		for i := 0; ; i++ {
			select {
			case <-enough:
				return
			default:
			}
			name := aws.String(fmt.Sprint("other", i))
			_, err := w.CreateTable(context.Background(), &timestreamwrite.CreateTableInput{DatabaseName: aws.String("db"), TableName: name})
			if err == nil && i%2 == 0 {
				_, err = w.DeleteTable(context.Background(), &timestreamwrite.DeleteTableInput{DatabaseName: aws.String("db"), TableName: name})
			}
			if err != nil {
				t.Error(err)
				return
			}
		}
	})
	var backups [][]byte
	var before [][writers]int64
	for i := range 3 {
		for acknowledged[0].Load() < int64(20*(i+1)) && !t.Failed() {
			must[*timestreamwrite.ListDatabasesOutput](t)(w.ListDatabases(ctx, nil))
		}
		var counts [writers]int64
		for k := range counts {
			counts[k] = acknowledged[k].Load()
		}
		before = append(before, counts)
		backups = append(backups, backupOf(t, s))
	}
	close(enough)
	working.Wait()
	stop()
	for i, data := range backups {
		restoredHolds(t, data, before[i])
	}
}

// restoredHolds restores a backup and looks for all that must be in it.
func restoredHolds(t *testing.T, data []byte, want [3]int64) {
	t.Helper()
	ctx := t.Context()
	dir := filepath.Join(t.TempDir(), "new")
	if err := server.Restore(ctx, io.Discard, bytes.NewReader(data), dir); err != nil {
		t.Fatal(err)
	}
	var checked strings.Builder
	if err := server.CheckFolder(ctx, &checked, server.Options{DataDir: dir}); err != nil {
		t.Fatalf("check: %v\n%s", err, checked.String())
	}
	s, stop := startServer(t, dir)
	defer stop()
	q := timestreamquery.New(timestreamquery.Options{BaseEndpoint: aws.String(s.URL()), Region: "us-east-1", Credentials: rootCredentials(),
		EndpointDiscovery: timestreamquery.EndpointDiscoveryOptions{EnableEndpointDiscovery: aws.EndpointDiscoveryDisabled}})
	answer := must[*timestreamquery.QueryOutput](t)(q.Query(ctx, &timestreamquery.QueryInput{
		QueryString: aws.String(`SELECT device, count(*), count(DISTINCT measure_value::bigint), max(measure_value::bigint) FROM db.t GROUP BY device ORDER BY device`)}))
	for k, row := range answer.Rows {
		count, _ := strconv.ParseInt(*row.Data[1].ScalarValue, 10, 64)
		if last := *row.Data[3].ScalarValue; count < want[k] || *row.Data[2].ScalarValue != fmt.Sprint(count) || last != fmt.Sprint(count-1) {
			t.Errorf("device %d has %d records up to %s, %d were acknowledged", k, count, last, want[k])
		}
	}
	if len(answer.Rows) != len(want) {
		t.Errorf("%d devices, want %d", len(answer.Rows), len(want))
	}
	box := s3Client(s, rootSecret)
	for _, key := range []string{"a/b", "a", "é d"} {
		o := must[*s3.GetObjectOutput](t)(box.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("box"), Key: &key}))
		if text := must[[]byte](t)(io.ReadAll(o.Body)); string(text) != "of "+key || *o.ContentType != "text/csv" || strings.Contains(*o.ETag, "-") {
			t.Errorf("object %s: %q, type %s, tag %s", key, text, *o.ContentType, *o.ETag)
		}
	}
	must[*s3.HeadBucketOutput](t)(box.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: aws.String("empty")}))
	must[*iam.GetRoleOutput](t)(iamClient(s).GetRole(ctx, &iam.GetRoleInput{RoleName: aws.String("writer")}))
	must[*iot.GetTopicRuleOutput](t)(iotClient(s).GetTopicRule(ctx, &iot.GetTopicRuleInput{RuleName: aws.String("keep")}))
}

func TestOnlyTheRootKeysGetABackup(t *testing.T) {
	t.Parallel()
	s, _ := startServer(t, t.TempDir())
	must[*iam.CreateUserOutput](t)(iamClient(s).CreateUser(t.Context(), &iam.CreateUserInput{UserName: aws.String("u")}))
	key := must[*iam.CreateAccessKeyOutput](t)(iamClient(s).CreateAccessKey(t.Context(), &iam.CreateAccessKeyInput{UserName: aws.String("u")})).AccessKey
	refused := func(what string, resp *http.Response) {
		t.Helper()
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %s", what, resp.Status)
		}
	}
	refused("not signed", askBackup(t, s.URL(), "", "", "", nil))
	refused("wrong secret", askBackup(t, s.URL(), server.AdminService, rootKey, "guess", nil))
	refused("a user's key", askBackup(t, s.URL(), server.AdminService, *key.AccessKeyId, *key.SecretAccessKey, nil))
	refused("another service", askBackup(t, s.URL(), "timestream", rootKey, rootSecret, nil))
	refused("a web page", askBackup(t, s.URL(), server.AdminService, rootKey, rootSecret, func(r *http.Request) { r.Header.Set("Origin", s.URL()) }))
}

// small returns a backup of a server with a few rows that are in a segment.
func small(t *testing.T) []byte {
	t.Helper()
	dir := t.TempDir()
	s, stop := startServer(t, dir)
	makeTable(t, writeClient(s), "t")
	for n := range int64(20) {
		if err := writeRecord(t.Context(), writeClient(s), "a", n, time.Now().Add(-time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	s, stop = startServer(t, dir)
	defer stop()
	return backupOf(t, s)
}

func TestARestoreOfWhatIsNotWholeLeavesNothing(t *testing.T) {
	t.Parallel()
	data := small(t)
	check := func(what string, data []byte) {
		t.Helper()
		dir := filepath.Join(t.TempDir(), "new")
		if err := server.Restore(t.Context(), io.Discard, bytes.NewReader(data), dir); err == nil {
			t.Errorf("%s: restored", what)
		}
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			t.Errorf("%s: the folder is there: %v", what, err)
		}
	}
	for n := 0; n < len(data); n += 1 + len(data)/25 {
		check(fmt.Sprintf("%d of %d bytes", n, len(data)), data[:n])
	}
	check("all but one byte", data[:len(data)-1])
	check("changed", append(append(bytes.Clone(data[:len(data)/2]), data[len(data)/2]^1), data[len(data)/2+1:]...))
	check("something behind", append(bytes.Clone(data), "more"...))
	check("no backup", []byte("hello"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := t.TempDir()
	if err := server.Restore(ctx, io.Discard, bytes.NewReader(data), dir); err == nil {
		t.Error("a cancelled restore succeeded")
	}
	if left := must[[]os.DirEntry](t)(os.ReadDir(dir)); len(left) > 0 {
		t.Errorf("a cancelled restore left %v", left)
	}
}

func TestARestoreTouchesNoFolderThatIsInUse(t *testing.T) {
	t.Parallel()
	data := small(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "mine"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := server.Restore(t.Context(), io.Discard, bytes.NewReader(data), dir); fault.KindOf(err) != fault.Conflict {
		t.Errorf("into a folder with a file: %v", err)
	}
	if left := must[[]os.DirEntry](t)(os.ReadDir(dir)); len(left) != 1 || left[0].Name() != "mine" {
		t.Errorf("left %v", left)
	}
}

func TestAFolderWhoseRestoreDidNotFinishIsNoDataFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := server.Restore(t.Context(), io.Discard, bytes.NewReader(small(t)), dir); err != nil {
		t.Fatal(err)
	}
	// As if the machine had stopped just before the end.
	if err := os.WriteFile(filepath.Join(dir, "restore.unfinished"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := server.Start(t.Context(), server.Options{DataDir: dir, Listen: "127.0.0.1:0"}); fault.KindOf(err) != fault.Conflict {
		t.Errorf("start: %v", err)
	}
	if err := server.CheckFolder(t.Context(), io.Discard, server.Options{DataDir: dir}); fault.KindOf(err) != fault.Conflict {
		t.Errorf("check: %v", err)
	}
	if err := server.Restore(t.Context(), io.Discard, bytes.NewReader(small(t)), dir); fault.KindOf(err) != fault.Conflict {
		t.Errorf("restore: %v", err)
	}
}

func TestABackupOfADamagedSegmentFailsAndNamesIt(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, stop := startServer(t, dir)
	makeTable(t, writeClient(s), "t")
	if err := writeRecord(t.Context(), writeClient(s), "a", 1, time.Now().Add(-time.Minute)); err != nil {
		t.Fatal(err)
	}
	stop()
	segments, err := filepath.Glob(filepath.Join(dir, "store", "segments", "*", "*"))
	if err != nil || len(segments) != 1 {
		t.Fatal(segments, err)
	}
	content := must[[]byte](t)(os.ReadFile(segments[0]))
	content[9] ^= 0xff
	if err := os.WriteFile(segments[0], content, 0o600); err != nil {
		t.Fatal(err)
	}
	s, _ = startServer(t, dir)
	err = server.Restore(t.Context(), io.Discard, bytes.NewReader(backupOf(t, s)), filepath.Join(t.TempDir(), "new"))
	if err == nil || !strings.Contains(err.Error(), filepath.Base(segments[0])) {
		t.Errorf("restore: %v", err)
	}
}
