// Package telegraf writes metrics with Telegraf's own output plug-in, as its configuration would
// make it, to the server that AWS_ENDPOINT_URL names.
package telegraf

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/timestreamquery"
	"github.com/aws/aws-sdk-go-v2/service/timestreamwrite"
	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/logger"
	"github.com/influxdata/telegraf/metric"
	common "github.com/influxdata/telegraf/plugins/common/aws"
	"github.com/influxdata/telegraf/plugins/outputs/timestream"
)

// plugin returns an output that creates its tables, connected: with endpoint_url as its
// configuration has it, or, if that is "", by the environment alone.
func plugin(t *testing.T, endpoint string, set func(*timestream.Timestream)) *timestream.Timestream {
	t.Helper()
	p := &timestream.Timestream{
		DescribeDatabaseOnStart: true, DatabaseName: database,
		CreateTableIfNotExists: true, CreateTableMagneticStoreRetentionPeriodInDays: 365, CreateTableMemoryStoreRetentionPeriodInHours: 24,
		CreateTableTags: map[string]string{"made": "by telegraf"}, MaxWriteGoRoutinesCount: 4,
		Log:              logger.New("outputs", "timestream", ""),
		CredentialConfig: common.CredentialConfig{Region: "us-east-1", AccessKey: "any", SecretKey: "keys", EndpointURL: endpoint},
	}
	set(p)
	if err := p.Connect(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

const database = "telegraf"

func TestMain(m *testing.M) {
	if os.Getenv("AWS_ENDPOINT_URL") == "" {
		os.Stderr.WriteString("AWS_ENDPOINT_URL does not name a server (make e2e runs this)\n")
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func clients(t *testing.T) (*timestreamwrite.Client, *timestreamquery.Client) {
	t.Helper()
	cfg, err := config.LoadDefaultConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	write := timestreamwrite.NewFromConfig(cfg)
	if _, err := write.CreateDatabase(t.Context(), &timestreamwrite.CreateDatabaseInput{DatabaseName: aws.String(database)}); err != nil && !strings.Contains(err.Error(), "ConflictException") {
		t.Fatal(err)
	}
	return write, timestreamquery.NewFromConfig(cfg)
}

func rows(t *testing.T, c *timestreamquery.Client, sql string) string {
	t.Helper()
	out, err := c.Query(t.Context(), &timestreamquery.QueryInput{QueryString: &sql})
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, r := range out.Rows {
		var cells []string
		for _, d := range r.Data {
			cells = append(cells, aws.ToString(d.ScalarValue))
		}
		lines = append(lines, strings.Join(cells, " "))
	}
	return strings.Join(lines, "\n")
}

// load is n metrics of every type of field, from two hosts, with times to the nanosecond.
func load(n int) (list []telegraf.Metric) {
	start := time.Now().Add(-time.Minute).Truncate(time.Second)
	for i := range n {
		list = append(list, metric.New("load", map[string]string{"host": []string{"a", "b"}[i%2]},
			map[string]any{"usage": float64(i) / 4, "count": int64(i), "big": uint64(1<<63) + uint64(i), "ok": i%2 == 0, "state": "fine"},
			start.Add(time.Duration(i)*time.Second/7)))
	}
	return list
}

func TestMultiTableModeCreatesTablesAndStoresEveryField(t *testing.T) {
	for name, endpoint := range map[string]string{"endpoint_url": os.Getenv("AWS_ENDPOINT_URL"), "the environment alone": ""} {
		t.Run(name, func(t *testing.T) {
			write, query := clients(t)
			p := plugin(t, endpoint, func(p *timestream.Timestream) { p.MappingMode = timestream.MappingModeMultiTable })
			if err := p.Write(load(210)); err != nil {
				t.Fatal(err)
			}
			if err := p.Write(load(0)); err != nil {
				t.Fatal(err)
			}
			got := rows(t, query, `SELECT measure_name, count(*), count(DISTINCT host) FROM telegraf.load GROUP BY measure_name ORDER BY 1`)
			if want := "big 210 2\ncount 210 2\nok 210 2\nstate 210 2\nusage 210 2"; got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			// What int64 cannot hold is clamped by the plug-in.
			got = rows(t, query, `SELECT max(measure_value::double), max(measure_value::bigint) FROM telegraf.load`)
			if want := "52.25 9223372036854775807"; got != want {
				t.Errorf("got %s, want %s", got, want)
			}
			table, err := write.DescribeTable(t.Context(), &timestreamwrite.DescribeTableInput{DatabaseName: aws.String(database), TableName: aws.String("load")})
			if err != nil || *table.Table.RetentionProperties.MemoryStoreRetentionPeriodInHours != 24 {
				t.Fatalf("%+v, %v", table, err)
			}
			tags, err := write.ListTagsForResource(t.Context(), &timestreamwrite.ListTagsForResourceInput{ResourceARN: table.Table.Arn})
			if err != nil || *tags.Tags[0].Value != "by telegraf" {
				t.Fatalf("%+v, %v", tags, err)
			}
			if _, err := write.DeleteTable(t.Context(), &timestreamwrite.DeleteTableInput{DatabaseName: aws.String(database), TableName: aws.String("load")}); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestSingleTableModeWithMultiMeasureRecords(t *testing.T) {
	_, query := clients(t)
	p := plugin(t, os.Getenv("AWS_ENDPOINT_URL"), func(p *timestream.Timestream) {
		p.MappingMode, p.SingleTableName, p.UseMultiMeasureRecords = timestream.MappingModeSingleTable, "everything", true
	})
	batch := load(150)
	if err := p.Write(batch); err != nil {
		t.Fatal(err)
	}
	if err := p.Write(batch); err != nil { // what Telegraf does after a time-out
		t.Fatal(err)
	}
	got := rows(t, query, `SELECT measure_name, host, count(*), sum(count), max(usage), max(state) FROM telegraf.everything GROUP BY measure_name, host ORDER BY host`)
	if want := "load a 75 5550 37.0 fine\nload b 75 5625 37.25 fine"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestARejectedRecordIsDroppedAndTheRestOfItsBatchStored(t *testing.T) {
	_, query := clients(t)
	p := plugin(t, os.Getenv("AWS_ENDPOINT_URL"), func(p *timestream.Timestream) { p.MappingMode = timestream.MappingModeMultiTable })
	old := metric.New("late", map[string]string{"host": "a"}, map[string]any{"v": 1.0}, time.Now().Add(-100*24*time.Hour))
	fresh := metric.New("late", map[string]string{"host": "a"}, map[string]any{"v": 2.0}, time.Now())
	if err := p.Write([]telegraf.Metric{old, fresh}); err != nil {
		t.Fatalf("a rejected record must not make Telegraf send the batch for ever: %v", err)
	}
	if got := rows(t, query, `SELECT measure_value::double FROM telegraf.late`); got != "2.0" {
		t.Errorf("stored %q", got)
	}
}
