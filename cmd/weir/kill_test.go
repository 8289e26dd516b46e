package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/timestreamquery"
	querytypes "github.com/aws/aws-sdk-go-v2/service/timestreamquery/types"
	"github.com/aws/aws-sdk-go-v2/service/timestreamwrite"
	"github.com/aws/aws-sdk-go-v2/service/timestreamwrite/types"
)

// TestMain lets this binary be weir: what is killed must be a process.
func TestMain(m *testing.M) {
	if os.Getenv("WEIR_TEST_COMMAND") != "" {
		main()
	}
	os.Exit(m.Run())
}

func weirCommand(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), "WEIR_TEST_COMMAND=1")
	return cmd
}

// killed is a server that a test kills and starts again, on one address.
type killed struct {
	t    *testing.T
	dir  string
	addr string
	mqtt string // empty: no broker
	cmd  *exec.Cmd
}

func (k *killed) start() {
	k.t.Helper()
	k.cmd = weirCommand("serve", "--data", k.dir, "--listen", k.addr, "--mqtt-listen", k.mqtt, "--pg-listen", "", "--log-format", "json")
	log, err := k.cmd.StderrPipe()
	if err == nil {
		err = k.cmd.Start()
	}
	if err != nil {
		k.t.Fatal(err)
	}
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		var line struct{ Msg string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "ready" {
			go func() {
				for lines.Scan() {
				}
			}()
			return
		}
	}
	k.t.Fatalf("the server did not start: %s", lines.Text())
}

func (k *killed) kill() {
	k.cmd.Process.Kill()
	k.cmd.Wait()
}

// TestWorkThatIsKilledGoesOnOrLeavesNothing kills the server, and the commands that use it, in the middle of UNLOADs, a batch
// load, scheduled runs, exports and imports, again and again, and then lets all end.
func TestWorkThatIsKilledGoesOnOrLeavesNothing(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	k := &killed{t: t, dir: filepath.Join(t.TempDir(), "data"), addr: l.Addr().String()}
	url := "http://" + k.addr
	const rows = 20_000
	var in bytes.Buffer
	in.WriteString("time,device,v\n")
	base := time.Now().Add(-time.Hour).UnixMilli()
	for i := range rows {
		fmt.Fprintf(&in, "%d,d%d,%d\n", base+int64(i)*100, i%50, i)
	}
	for name, content := range map[string]string{"input/rows.csv": in.String(), "out/keep": "x", "reports/keep": "x"} {
		path := filepath.Join(k.dir, "objects", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	csv := filepath.Join(t.TempDir(), "rows.csv")
	if err := os.WriteFile(csv, in.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	k.start()
	defer func() { k.kill() }()
	ctx := t.Context()
	w, q := writeClient(url, "us-east-1", 2, 3), queryClient(url, "us-east-1")
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(w.CreateDatabase(ctx, &timestreamwrite.CreateDatabaseInput{DatabaseName: aws.String("db")}))
	for _, name := range []string{"loaded", "imported", "summed"} {
		must(w.CreateTable(ctx, &timestreamwrite.CreateTableInput{DatabaseName: aws.String("db"), TableName: aws.String(name), RetentionProperties: &types.RetentionProperties{
			MemoryStoreRetentionPeriodInHours: aws.Int64(48), MagneticStoreRetentionPeriodInDays: aws.Int64(7)}}))
	}
	task, err := w.CreateBatchLoadTask(ctx, &timestreamwrite.CreateBatchLoadTaskInput{
		TargetDatabaseName: aws.String("db"), TargetTableName: aws.String("loaded"),
		DataSourceConfiguration: &types.DataSourceConfiguration{DataFormat: types.BatchLoadDataFormatCsv,
			DataSourceS3Configuration: &types.DataSourceS3Configuration{BucketName: aws.String("input")}},
		ReportConfiguration: &types.ReportConfiguration{ReportS3Configuration: &types.ReportS3Configuration{BucketName: aws.String("reports")}},
		DataModelConfiguration: &types.DataModelConfiguration{DataModel: &types.DataModel{
			TimeColumn: aws.String("time"), DimensionMappings: []types.DimensionMapping{{SourceColumn: aws.String("device")}},
			MultiMeasureMappings: &types.MultiMeasureMappings{TargetMultiMeasureName: aws.String("m"), MultiMeasureAttributeMappings: []types.MultiMeasureAttributeMapping{{SourceColumn: aws.String("v"), MeasureValueType: types.ScalarMeasureValueTypeBigint}}},
		}},
	})
	must(task, err)
	random := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	export := filepath.Join(t.TempDir(), "export")
	commands := [][]string{
		{"import", "--endpoint", url, "--table", "db.imported", "--attempts", "1", csv},
		{"export", "--endpoint", url, "--table", "db.imported", "--slice", "5m", export},
	}
	scheduled := ""
	for round := range 6 {
		if round > 0 {
			k.start()
		}
		unloads, cancel := context.WithCancel(ctx)
		for _, with := range []string{"format = 'CSV', compression = 'NONE'", "format = 'PARQUET', partitioned_by = ARRAY['device']"} {
			go q.Query(unloads, &timestreamquery.QueryInput{QueryString: aws.String("UNLOAD (SELECT time, v, device FROM db.loaded) TO 's3://out/all' WITH (" + with + ")")})
		}
		if scheduled == "" {
			// Not before there is a column to sum up.
			made, err := q.CreateScheduledQuery(ctx, &timestreamquery.CreateScheduledQueryInput{
				Name: aws.String("sum"), ScheduleConfiguration: &querytypes.ScheduleConfiguration{ScheduleExpression: aws.String("rate(1 day)")},
				QueryString:                    aws.String("SELECT device, @scheduled_runtime AS at, COUNT(*) AS n FROM (VALUES ('a'), ('b')) AS t(device) GROUP BY device"),
				NotificationConfiguration:      &querytypes.NotificationConfiguration{SnsConfiguration: &querytypes.SnsConfiguration{TopicArn: aws.String("arn:aws:sns:us-east-1:000000000000:none")}},
				ErrorReportConfiguration:       &querytypes.ErrorReportConfiguration{S3Configuration: &querytypes.S3Configuration{BucketName: aws.String("reports")}},
				ScheduledQueryExecutionRoleArn: aws.String("arn:aws:iam::000000000000:role/any"),
				TargetConfiguration: &querytypes.TargetConfiguration{TimestreamConfiguration: &querytypes.TimestreamConfiguration{
					DatabaseName: aws.String("db"), TableName: aws.String("summed"), TimeColumn: aws.String("at"),
					DimensionMappings: []querytypes.DimensionMapping{{Name: aws.String("device"), DimensionValueType: querytypes.DimensionValueTypeVarchar}},
					MultiMeasureMappings: &querytypes.MultiMeasureMappings{TargetMultiMeasureName: aws.String("m"), MultiMeasureAttributeMappings: []querytypes.MultiMeasureAttributeMapping{
						{SourceColumn: aws.String("n"), MeasureValueType: querytypes.ScalarMeasureValueTypeBigint}}},
				}},
			})
			must(made, err)
			scheduled = *made.Arn
		}
		must(q.ExecuteScheduledQuery(ctx, &timestreamquery.ExecuteScheduledQueryInput{ScheduledQueryArn: aws.String(scheduled), InvocationTime: aws.Time(time.UnixMilli(base).Add(time.Duration(round) * time.Second))}))
		cmd := weirCommand(commands[round/3]...)
		must(nil, cmd.Start())
		time.Sleep(time.Duration(20+random.IntN(250)) * time.Millisecond) // when it dies is what varies
		if random.IntN(2) == 0 {
			cmd.Process.Kill()
		}
		k.kill()
		cmd.Process.Kill()
		cmd.Wait()
		cancel()
		if round == 2 { // the import ends before its table is exported
			k.start()
			if text, err := weirCommand(commands[0]...).CombinedOutput(); err != nil {
				t.Fatalf("import: %v\n%s", err, text)
			}
			k.kill()
		}
	}
	k.start()
	if text, err := weirCommand(commands[1]...).CombinedOutput(); err != nil && !strings.Contains(string(text), "complete export") {
		t.Fatalf("export: %v\n%s", err, text)
	}
	eventually := func(what string, f func() bool) {
		t.Helper()
		for began := time.Now(); !f(); time.Sleep(10 * time.Millisecond) {
			if time.Since(began) > 20*time.Second {
				t.Fatalf("%s does not come about", what)
			}
		}
	}
	eventually("the batch load's end", func() bool {
		d, err := w.DescribeBatchLoadTask(ctx, &timestreamwrite.DescribeBatchLoadTaskInput{TaskId: task.TaskId})
		return err == nil && d.BatchLoadTaskDescription.TaskStatus == types.BatchLoadStatusSucceeded
	})
	count := func(sql string) string {
		t.Helper()
		a, err := ask(ctx, q, sql)
		must(a, err)
		return aws.ToString(a.rows[0][0].ScalarValue)
	}
	for _, table := range []string{"loaded", "imported"} {
		if got := count("SELECT COUNT(DISTINCT v) * 1000000 + COUNT(*) FROM db." + table); got != fmt.Sprint(rows*1_000_000+rows) {
			t.Errorf("%s has %s", table, got)
		}
	}
	eventually("the end of all runs", func() bool { return count("SELECT COUNT(*) FROM db.summed") == "12" })

	// What was killed is whole or gone.
	eventually("that nothing is left", func() bool { return len(garbage(t, k.dir)) == 0 })
	if text, err := weirCommand("import", "--endpoint", url, "--table", "db.back", "--create", export).CombinedOutput(); err != nil {
		t.Errorf("import of the export: %v\n%s", err, text)
	}
	if got := count("SELECT COUNT(DISTINCT v) * 1000000 + COUNT(*) FROM db.back"); got != fmt.Sprint(rows*1_000_000+rows) {
		t.Errorf("back has %s", got)
	}
}

// garbage lists the objects of UNLOADs without a manifest, unfinished files, and buckets of exports.
func garbage(t *testing.T, dir string) []string {
	t.Helper()
	var list, names []string
	err := filepath.WalkDir(filepath.Join(dir, "objects"), func(name string, d os.DirEntry, err error) error {
		switch rel, _ := filepath.Rel(dir, name); {
		case err != nil:
			if os.IsNotExist(err) {
				return nil
			}
			return err
		case d.IsDir() && strings.HasPrefix(d.Name(), "weir-export-"), !d.IsDir() && strings.Contains(rel, "/.tmp/"):
			list = append(list, rel)
		case !d.IsDir() && strings.Contains(rel, "/out/") && d.Name() != "keep" && d.Name()[0] != '.':
			names = append(names, d.Name())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		id, _, _ := strings.Cut(name, "_")
		if !slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, id+"_") && strings.HasSuffix(n, "_manifest.json") }) {
			list = append(list, name)
		}
	}
	return list
}
