// Package article tests what weir is for, from end to end: the steps of an article about
// Timestream for IoT data, with the AWS SDK for Go and an MQTT client, against a server
// in a process of its own, over known data with answers worked out by hand. The server is
// killed in the middle.
package article

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	metrictypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iot"
	iottypes "github.com/aws/aws-sdk-go-v2/service/iot/types"
	"github.com/aws/aws-sdk-go-v2/service/timestreamquery"
	"github.com/aws/aws-sdk-go-v2/service/timestreamwrite"
	writetypes "github.com/aws/aws-sdk-go-v2/service/timestreamwrite/types"
	"github.com/eclipse/paho.golang/paho"
)

var noon = time.Date(2031, 2, 3, 12, 0, 0, 0, time.UTC)

const (
	database = "iot_sensor_data"
	table    = "sensor_readings"
)

func TestTheArticleEndToEndWithAKillInTheMiddle(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := start(t, dir, noon)
	c := clientsOf(p)
	c.createTable(t)
	calls := c.writeReadings(t)
	c.checkRejections(t)
	c.checkMetrics(t, calls)
	c.createRule(t)
	publish(t, p.mqtt, "sensors/gate-1/data", `{"device_id":"gate-1","location":"gate","temperature":25.5,"humidity":44.5}`)
	c.checkDevice(t, "gate-1", "humidity|44.5", "temperature|25.5")
	c.checkQueries(t)

	p.kill()
	p = start(t, dir, noon.Add(time.Minute))
	c = clientsOf(p)
	c.checkQueries(t)
	c.checkDevice(t, "gate-1", "humidity|44.5", "temperature|25.5")
	c.checkDeclared(t)
	publish(t, p.mqtt, "sensors/gate-2/data", `{"device_id":"gate-2","location":"gate","temperature":26.5}`)
	c.checkDevice(t, "gate-2", "temperature|26.5")
}

// clients are those of one server.
type clients struct {
	write   *timestreamwrite.Client
	query   *timestreamquery.Client
	iam     *iam.Client
	iot     *iot.Client
	metrics *cloudwatch.Client
}

func clientsOf(p *process) *clients {
	c := aws.Config{
		Region: "us-east-1", BaseEndpoint: aws.String(p.url), HTTPClient: &http.Client{},
		Credentials: credentials.NewStaticCredentialsProvider("any", "keys", ""),
		Retryer:     func() aws.Retryer { return aws.NopRetryer{} },
	}
	return &clients{timestreamwrite.NewFromConfig(c), timestreamquery.NewFromConfig(c), iam.NewFromConfig(c), iot.NewFromConfig(c), cloudwatch.NewFromConfig(c)}
}

// Steps 1 and 2: a database and a table with tags, retention and magnetic writes.
func (c *clients) createTable(t *testing.T) {
	t.Helper()
	_, err := c.write.CreateDatabase(t.Context(), &timestreamwrite.CreateDatabaseInput{
		DatabaseName: aws.String(database),
		Tags:         []writetypes.Tag{{Key: aws.String("Environment"), Value: aws.String("production")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.write.CreateTable(t.Context(), &timestreamwrite.CreateTableInput{
		DatabaseName: aws.String(database), TableName: aws.String(table),
		RetentionProperties: &writetypes.RetentionProperties{
			MemoryStoreRetentionPeriodInHours: aws.Int64(24), MagneticStoreRetentionPeriodInDays: aws.Int64(365),
		},
		MagneticStoreWriteProperties: &writetypes.MagneticStoreWriteProperties{EnableMagneticStoreWrites: aws.Bool(true)},
		Tags:                         []writetypes.Tag{{Key: aws.String("DataType"), Value: aws.String("sensor_readings")}},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// checkDeclared checks that tables, tags, roles and rules are what they were.
func (c *clients) checkDeclared(t *testing.T) {
	t.Helper()
	d, err := c.write.DescribeTable(t.Context(), &timestreamwrite.DescribeTableInput{DatabaseName: aws.String(database), TableName: aws.String(table)})
	if err != nil {
		t.Fatal(err)
	}
	if r := d.Table.RetentionProperties; *r.MemoryStoreRetentionPeriodInHours != 24 || *r.MagneticStoreRetentionPeriodInDays != 365 ||
		!*d.Table.MagneticStoreWriteProperties.EnableMagneticStoreWrites || !d.Table.CreationTime.Equal(noon) {
		t.Errorf("table = %+v", d.Table)
	}
	tags, err := c.write.ListTagsForResource(t.Context(), &timestreamwrite.ListTagsForResourceInput{ResourceARN: d.Table.Arn})
	if err != nil || len(tags.Tags) != 1 || *tags.Tags[0].Value != "sensor_readings" {
		t.Errorf("tags = %+v, %v", tags, err)
	}
	if role, err := c.iam.GetRole(t.Context(), &iam.GetRoleInput{RoleName: aws.String("IoTTimestreamRole")}); err != nil || *role.Role.RoleName != "IoTTimestreamRole" {
		t.Errorf("role: %v", err)
	}
	if rule, err := c.iot.GetTopicRule(t.Context(), &iot.GetTopicRuleInput{RuleName: aws.String("SensorToTimestream")}); err != nil || *rule.Rule.Sql != ruleSQL {
		t.Errorf("rule: %v", err)
	}
}

// reading is one line of what devices said.
type reading struct {
	device, location               string
	at                             time.Time
	temperature, humidity, battery float64
}

func (r reading) record() writetypes.Record {
	double := func(name string, f float64) writetypes.MeasureValue {
		return writetypes.MeasureValue{Name: aws.String(name), Value: aws.String(strconv.FormatFloat(f, 'f', -1, 64)), Type: writetypes.MeasureValueTypeDouble}
	}
	return writetypes.Record{
		Dimensions: []writetypes.Dimension{
			{Name: aws.String("device_id"), Value: aws.String(r.device), DimensionValueType: writetypes.DimensionValueTypeVarchar},
			{Name: aws.String("location"), Value: aws.String(r.location), DimensionValueType: writetypes.DimensionValueTypeVarchar},
		},
		MeasureName: aws.String("sensor_metrics"), MeasureValueType: writetypes.MeasureValueTypeMulti,
		MeasureValues: []writetypes.MeasureValue{double("temperature", r.temperature), double("humidity", r.humidity), double("battery_level", r.battery)},
		Time:          aws.String(strconv.FormatInt(r.at.UnixMilli(), 10)), TimeUnit: writetypes.TimeUnitMilliseconds,
	}
}

// readings are: a cellar's every minute, all the same; a hall's that grow warmer; a roof's
// that are hot and drain their battery; a laboratory's of 20 degrees every hour and
// then one of 80; and one that comes a month late.
func readings() []reading {
	var out []reading
	for m := 200; m >= 1; m-- {
		out = append(out, reading{"cellar-1", "cellar", noon.Add(-time.Duration(m) * time.Minute), 10, 70, 50})
	}
	out = append(out,
		reading{"hall-1", "hall", noon.Add(-55 * time.Minute), 21, 40, 90},
		reading{"hall-1", "hall", noon.Add(-40 * time.Minute), 22, 41, 89},
		reading{"hall-1", "hall", noon.Add(-10 * time.Minute), 23, 42, 88},
		reading{"roof-1", "roof", noon.Add(-3 * time.Hour), 39, 33, 45},
		reading{"roof-1", "roof", noon.Add(-30 * time.Minute), 41, 30, 15},
	)
	for h := 25; h >= 2; h-- {
		out = append(out, reading{"lab-1", "lab", noon.Add(-time.Duration(h) * time.Hour), 20, 50, 60})
	}
	return append(out,
		reading{"lab-1", "lab", noon.Add(-20 * time.Minute), 80, 50, 60},
		reading{"late-1", "lab", noon.Add(-30 * 24 * time.Hour), 1, 2, 3})
}

// Step 3: batches of up to 100 records. It returns the number of calls.
func (c *clients) writeReadings(t *testing.T) (calls int) {
	t.Helper()
	for batch := range slices.Chunk(readings(), 100) {
		in := &timestreamwrite.WriteRecordsInput{DatabaseName: aws.String(database), TableName: aws.String(table)}
		for _, r := range batch {
			in.Records = append(in.Records, r.record())
		}
		out, err := c.write.WriteRecords(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		if int(out.RecordsIngested.Total) != len(batch) {
			t.Errorf("%d records ingested, want %d", out.RecordsIngested.Total, len(batch))
		}
		calls++
	}
	return calls
}

// checkRejections writes a good record with two bad ones: the good one is stored.
func (c *clients) checkRejections(t *testing.T) {
	t.Helper()
	tooOld := reading{"edge-1", "edge", noon.Add(-400 * 24 * time.Hour), 1, 2, 3}
	good := reading{"edge-1", "edge", noon.Add(-20 * 24 * time.Hour), 1, 2, 3}
	other := readings()[0]
	other.temperature++
	_, err := c.write.WriteRecords(t.Context(), &timestreamwrite.WriteRecordsInput{
		DatabaseName: aws.String(database), TableName: aws.String(table), Records: []writetypes.Record{tooOld.record(), good.record(), other.record()},
	})
	var rejected *writetypes.RejectedRecordsException
	if !errors.As(err, &rejected) || len(rejected.RejectedRecords) != 2 || rejected.RejectedRecords[0].RecordIndex != 0 || rejected.RejectedRecords[1].RecordIndex != 2 ||
		!strings.HasPrefix(*rejected.RejectedRecords[0].Reason, "The record timestamp is outside the time range [") ||
		!strings.HasPrefix(*rejected.RejectedRecords[1].Reason, "A record already exists with the same time") {
		t.Errorf("WriteRecords: %v", err)
	}
	if got := c.rows(t, "SELECT count(*) FROM iot_sensor_data.sensor_readings WHERE device_id = 'edge-1'"); !slices.Equal(got, []string{"1"}) {
		t.Errorf("%v rows of edge-1, want the good one", got)
	}
}

const ruleSQL = "SELECT * FROM 'sensors/+/data'"

// Step 4: a role, its policy and a rule.
func (c *clients) createRule(t *testing.T) {
	t.Helper()
	_, err := c.iam.CreateRole(t.Context(), &iam.CreateRoleInput{
		RoleName:                 aws.String("IoTTimestreamRole"),
		AssumeRolePolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"iot.amazonaws.com"},"Action":"sts:AssumeRole"}]}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.iam.PutRolePolicy(t.Context(), &iam.PutRolePolicyInput{
		RoleName: aws.String("IoTTimestreamRole"), PolicyName: aws.String("TimestreamWritePolicy"),
		PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["timestream:WriteRecords","timestream:DescribeEndpoints"],"Resource":"*"}]}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.iot.CreateTopicRule(t.Context(), &iot.CreateTopicRuleInput{
		RuleName: aws.String("SensorToTimestream"),
		TopicRulePayload: &iottypes.TopicRulePayload{
			Sql: aws.String(ruleSQL),
			Actions: []iottypes.Action{{Timestream: &iottypes.TimestreamAction{
				RoleArn:      aws.String("arn:aws:iam::123456789012:role/IoTTimestreamRole"),
				DatabaseName: aws.String(database), TableName: aws.String(table),
				Dimensions: []iottypes.TimestreamDimension{
					{Name: aws.String("device_id"), Value: aws.String("${device_id}")},
					{Name: aws.String("location"), Value: aws.String("${location}")},
				},
			}}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// publish sends a message as a device does, QoS 1: when it returns, the broker has
// acknowledged it.
func publish(t *testing.T, addr, topic, payload string) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	device := paho.NewClient(paho.ClientConfig{Conn: conn})
	if _, err := device.Connect(ctx, &paho.Connect{ClientID: "device", CleanStart: true, KeepAlive: 30}); err != nil {
		t.Fatal(err)
	}
	if _, err := device.Publish(ctx, &paho.Publish{Topic: topic, QoS: 1, Payload: []byte(payload)}); err != nil {
		t.Fatal(err)
	}
	device.Disconnect(&paho.Disconnect{})
}

// checkDevice checks the single-measure records that the rule wrote of numbers.
func (c *clients) checkDevice(t *testing.T, device string, want ...string) {
	t.Helper()
	got := c.rows(t, fmt.Sprintf(`SELECT measure_name, measure_value::double FROM iot_sensor_data.sensor_readings
		WHERE device_id = '%s' AND location = 'gate' AND measure_value::double IS NOT NULL ORDER BY measure_name`, device))
	if !slices.Equal(got, want) {
		t.Errorf("%s wrote %v, want %v", device, got, want)
	}
}

// Step 5: the article's queries.
func (c *clients) checkQueries(t *testing.T) {
	t.Helper()
	// The gate speaks in single-measure records, which have none of these columns.
	c.check(t, `
SELECT device_id, location,
       MAX_BY(temperature, time) AS latest_temperature,
       MAX_BY(humidity, time) AS latest_humidity,
       MAX_BY(battery_level, time) AS latest_battery
FROM iot_sensor_data.sensor_readings
WHERE time > ago(1h)
GROUP BY device_id, location
ORDER BY device_id`,
		"cellar-1|cellar|10.0|70.0|50.0", "gate-1|gate|||", "hall-1|hall|23.0|42.0|88.0", "lab-1|lab|80.0|50.0|60.0", "roof-1|roof|41.0|30.0|15.0")

	c.check(t, `
SELECT device_id,
       BIN(time, 15m) AS interval,
       AVG(temperature) AS avg_temp,
       MIN(temperature) AS min_temp,
       MAX(temperature) AS max_temp
FROM iot_sensor_data.sensor_readings
WHERE time > ago(24h)
  AND measure_name = 'sensor_metrics'
GROUP BY device_id, BIN(time, 15m)
ORDER BY device_id, interval DESC`, quarters()...)

	// The laboratory's 24 readings of 20 and one of 80 have the mean 22.4 and the standard
	// deviation √((24·2.4² + 57.6²)/24) = 12.
	c.check(t, `
WITH device_stats AS (
    SELECT device_id,
           AVG(temperature) AS avg_temp,
           STDDEV(temperature) AS stddev_temp
    FROM iot_sensor_data.sensor_readings
    WHERE time > ago(7d)
    GROUP BY device_id
)
SELECT r.device_id, r.time, r.temperature,
       s.avg_temp, s.stddev_temp,
       ABS(r.temperature - s.avg_temp) / s.stddev_temp AS z_score
FROM iot_sensor_data.sensor_readings r
JOIN device_stats s ON r.device_id = s.device_id
WHERE r.time > ago(1h)
  AND ABS(r.temperature - s.avg_temp) > 2 * s.stddev_temp
ORDER BY z_score DESC`,
		"lab-1|2031-02-03 11:40:00.000000000|80.0|22.4|12.0|4.8")

	c.check(t, `
SELECT device_id, location,
       MAX_BY(battery_level, time) AS current_battery,
       MIN_BY(battery_level, time) AS battery_24h_ago,
       MAX_BY(battery_level, time) - MIN_BY(battery_level, time) AS drain_rate
FROM iot_sensor_data.sensor_readings
WHERE time > ago(24h)
GROUP BY device_id, location
HAVING MAX_BY(battery_level, time) < 20
ORDER BY drain_rate DESC`,
		"roof-1|roof|15.0|45.0|-30.0")

	c.check(t, `
    SELECT device_id, location, MAX(temperature) AS max_temp
    FROM iot_sensor_data.sensor_readings
    WHERE time > ago(1h) AND temperature > 40
    GROUP BY device_id, location
    ORDER BY max_temp DESC
`,
		"lab-1|lab|80.0", "roof-1|roof|41.0")

	c.check(t, "SELECT count(*), count(DISTINCT device_id) FROM iot_sensor_data.sensor_readings WHERE measure_name = 'sensor_metrics'", "232|6")
}

// quarters is the answer to the second query: the readings of the last day by quarter
// of an hour, each quarter of one temperature.
func quarters() []string {
	var out []string
	line := func(device string, at time.Time, celsius string) {
		out = append(out, device+"|"+at.Format("2006-01-02 15:04:05.000000000")+strings.Repeat("|"+celsius, 3))
	}
	for q := 1; q <= 14; q++ { // 11:45 to 08:30, the quarter of 08:40
		line("cellar-1", noon.Add(-time.Duration(q)*15*time.Minute), "10.0")
	}
	line("hall-1", noon.Add(-15*time.Minute), "23.0")
	line("hall-1", noon.Add(-45*time.Minute), "22.0")
	line("hall-1", noon.Add(-60*time.Minute), "21.0")
	line("lab-1", noon.Add(-30*time.Minute), "80.0")
	for h := 2; h <= 23; h++ {
		line("lab-1", noon.Add(-time.Duration(h)*time.Hour), "20.0")
	}
	line("roof-1", noon.Add(-30*time.Minute), "41.0")
	line("roof-1", noon.Add(-3*time.Hour), "39.0")
	return out
}

func (c *clients) check(t *testing.T, sql string, want ...string) {
	t.Helper()
	if got := c.rows(t, sql); !slices.EqualFunc(got, want, sameRow) {
		t.Errorf("%s\ngot:\n%s\nwant:\n%s", sql, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// sameRow compares rows, and doubles up to rounding.
func sameRow(a, b string) bool {
	return slices.EqualFunc(strings.Split(a, "|"), strings.Split(b, "|"), func(a, b string) bool {
		x, errX := strconv.ParseFloat(a, 64)
		y, errY := strconv.ParseFloat(b, 64)
		return a == b || errX == nil && errY == nil && math.Abs(x-y) < 1e-9
	})
}

// rows runs a query by the paginator, ten rows a page, as in the article's run_query.
func (c *clients) rows(t *testing.T, sql string) []string {
	t.Helper()
	var out []string
	pages := timestreamquery.NewQueryPaginator(c.query, &timestreamquery.QueryInput{QueryString: aws.String(sql), MaxRows: aws.Int32(10)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		for _, row := range page.Rows {
			values := make([]string, len(row.Data))
			for i, d := range row.Data {
				values[i] = aws.ToString(d.ScalarValue)
			}
			out = append(out, strings.Join(values, "|"))
		}
	}
	return out
}

// checkMetrics asks CloudWatch how many calls wrote, as the article's last step does.
func (c *clients) checkMetrics(t *testing.T, calls int) {
	t.Helper()
	out, err := c.metrics.GetMetricStatistics(t.Context(), &cloudwatch.GetMetricStatisticsInput{
		Namespace: aws.String("AWS/Timestream"), MetricName: aws.String("SuccessfulRequestCount"),
		Dimensions: []metrictypes.Dimension{
			{Name: aws.String("DatabaseName"), Value: aws.String(database)},
			{Name: aws.String("TableName"), Value: aws.String(table)},
			{Name: aws.String("Operation"), Value: aws.String("WriteRecords")},
		},
		StartTime: aws.Time(noon.Add(-time.Hour)), EndTime: aws.Time(noon.Add(time.Hour)), Period: aws.Int32(300),
		Statistics: []metrictypes.Statistic{metrictypes.StatisticSum},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Datapoints) != 1 || *out.Datapoints[0].Sum != float64(calls) || !out.Datapoints[0].Timestamp.Equal(noon) {
		t.Errorf("datapoints = %+v, want %d calls at noon", out.Datapoints, calls)
	}
}
