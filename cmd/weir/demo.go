package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cloudwatchtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/iot"
	iottypes "github.com/aws/aws-sdk-go-v2/service/iot/types"
	"github.com/aws/aws-sdk-go-v2/service/timestreamwrite"
	writetypes "github.com/aws/aws-sdk-go-v2/service/timestreamwrite/types"
)

const demoSummary = `
weir demo [flags]

Starts a server on a temporary folder and uses it as anybody would: creates a table, writes a day of
history of twelve simulated devices through the AWS SDK, lets them publish over MQTT through a topic
rule, asks the usual questions in SQL and prints the answers, and stays up until Ctrl-C.`

// Addresses of weir serve; the demo takes others where these are in use.
const (
	usualListen     = "127.0.0.1:8470"
	usualMQTTListen = "127.0.0.1:1883"
)

func runDemo(ctx context.Context, args []string) error {
	fs := newFlagSet("demo", demoSummary)
	d := &demo{tick: 2 * time.Second, out: os.Stdout, bold: isTerminal(os.Stdout)}
	fs.StringVar(&d.listen, "listen", usualListen, "loopback `address` of the AWS API; if the default is in use, a free port")
	fs.StringVar(&d.mqttListen, "mqtt-listen", usualMQTTListen, "loopback `address` of MQTT; if the default is in use, a free port")
	fs.StringVar(&d.data, "data", "", "`folder` to keep the data in (default a temporary one, removed at the end)")
	fs.BoolVar(&d.exit, "exit", false, "end after the answers")
	if err := fs.parse(args); err != nil {
		return err
	}
	if fs.NArg() > 0 {
		return usagef("weir demo takes no arguments, got %q", fs.Args())
	}
	err := d.run(ctx)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil // asked to end before it was done
	}
	return err
}

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("NO_COLOR") == ""
}

// demo is one run of the demonstration.
type demo struct {
	listen, mqttListen string
	data               string        // "" for a temporary folder
	exit               bool          // end after the answers
	tick               time.Duration // between two readings of a device once the demo is up
	out                io.Writer
	bold               bool // out shows escape sequences

	folder   string    // of the data
	end      time.Time // of the history
	live     time.Time // of the devices' first reading over MQTT
	api      string    // URL
	mqtt     string    // host:port
	requests int       // WriteRecords calls
	answers  []*table  // of demoQuestions, for tests
	fleet    *demoFleet
}

// run is the demo from start to end.
func (d *demo) run(ctx context.Context) (err error) {
	server, err := d.start(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.close()) }()
	if err := d.write(ctx); err != nil {
		return err
	}
	if err := d.goLive(ctx); err != nil {
		return err
	}
	defer d.fleet.disconnect()
	if err := d.ask(ctx); err != nil {
		return err
	}
	if err := d.showMetrics(ctx); err != nil {
		return err
	}
	if d.exit {
		return nil
	}
	d.sayHow()
	ticks := time.NewTicker(d.tick)
	defer ticks.Stop()
	err = d.fleet.run(ctx, ticks.C)
	d.printf("\nEnded after %s messages over MQTT.\n", thousands(int(d.fleet.published.Load())))
	return err
}

func (d *demo) printf(format string, args ...any) { fmt.Fprintf(d.out, format, args...) }

// fact prints a line of the first part.
func (d *demo) fact(what, format string, args ...any) {
	d.printf("  %-9s %s\n", what, fmt.Sprintf(format, args...))
}

func (d *demo) title(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if d.bold {
		text = "\x1b[1m" + text + "\x1b[0m"
	}
	d.printf("\n%s\n", text)
}

// start brings the server up on a folder, and says where.
func (d *demo) start(ctx context.Context) (*demoServer, error) {
	listen, err := loopback("--listen", d.listen, usualListen)
	if err != nil {
		return nil, err
	}
	mqttListen, err := loopback("--mqtt-listen", d.mqttListen, usualMQTTListen)
	if err != nil {
		return nil, err
	}
	remove := func() error { return nil }
	if d.folder = d.data; d.data == "" {
		if d.folder, err = os.MkdirTemp("", "weir-demo-"); err != nil {
			return nil, err
		}
		remove = func() error { return os.RemoveAll(d.folder) }
	}
	began := time.Now()
	server, err := startDemoServer(ctx, d.folder, listen, mqttListen)
	if err != nil {
		return nil, errors.Join(err, remove())
	}
	took := time.Since(began)
	stop := server.close
	server.close = func() error { return errors.Join(stop(), remove()) }
	d.api, d.mqtt = "http://"+server.api, server.mqtt
	d.title("weir %s: a day of %d devices", versionText(), len(demoDevices))
	d.printf("\n")
	d.fact("server", "up in %s: AWS API on %s, MQTT on %s", milliseconds(took), d.api, d.mqtt)
	d.fact("console", "%s/console/", d.api)
	d.sayInstead(listen, d.listen)
	d.sayInstead(mqttListen, d.mqttListen)
	note := ""
	if d.data == "" {
		note = ", removed at the end"
	}
	d.fact("folder", "%s%s", d.folder, note)
	return server, nil
}

func (d *demo) sayInstead(got, wanted string) {
	if got != wanted {
		d.fact("", "(%s is in use, so a free port was taken)", wanted)
	}
}

// loopback checks that addr is one that only this machine reaches, since the demo
// takes any keys. The usual address becomes a free port if it is in use.
func loopback(flag, addr, usual string) (string, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return "", usagef("%s %s: want host:port", flag, addr)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return "", usagef("%s %s: the demo takes any keys and listens on loopback only, such as 127.0.0.1:0; use weir serve", flag, addr)
	}
	if addr != usual {
		return addr, nil
	}
	ln, err := net.Listen("tcp", addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return net.JoinHostPort(host, "0"), nil
	case err != nil:
		return "", err
	}
	return addr, ln.Close()
}

// write creates the table and writes the history.
func (d *demo) write(ctx context.Context) error {
	client := timestreamwrite.New(timestreamwrite.Options{
		BaseEndpoint: aws.String(d.api), Region: demoRegion, Credentials: keys(),
		EndpointDiscovery: timestreamwrite.EndpointDiscoveryOptions{EnableEndpointDiscovery: aws.EndpointDiscoveryDisabled},
	})
	if err := createDemoTable(ctx, client); err != nil {
		return err
	}
	d.fact("table", "%s.%s: a day in the memory store, a year in the magnetic store", demoDatabase, demoTable)
	d.end = time.Now().Truncate(time.Millisecond)
	began := time.Now()
	records, requests, err := writeHistory(ctx, client, d.end)
	if err != nil {
		return err
	}
	took := time.Since(began)
	d.requests = requests
	d.fact("history", "%s records of 3 measures in %s requests of the AWS SDK in %s, %s records/s, each on disk before its answer",
		thousands(records), thousands(requests), milliseconds(took), thousands(int(float64(records)/took.Seconds())))
	return nil
}

const demoRegion = "us-east-1"

// createDemoTable creates database and table, or takes those of an earlier demo in
// the same folder.
func createDemoTable(ctx context.Context, c *timestreamwrite.Client) error {
	var exists *writetypes.ConflictException
	_, err := c.CreateDatabase(ctx, &timestreamwrite.CreateDatabaseInput{
		DatabaseName: aws.String(demoDatabase),
		Tags:         []writetypes.Tag{{Key: aws.String("purpose"), Value: aws.String("demo")}},
	})
	if err != nil && !errors.As(err, &exists) {
		return fmt.Errorf("create the database: %w", plain(err))
	}
	_, err = c.CreateTable(ctx, &timestreamwrite.CreateTableInput{
		DatabaseName:                 aws.String(demoDatabase),
		TableName:                    aws.String(demoTable),
		RetentionProperties:          &writetypes.RetentionProperties{MemoryStoreRetentionPeriodInHours: aws.Int64(24), MagneticStoreRetentionPeriodInDays: aws.Int64(365)},
		MagneticStoreWriteProperties: &writetypes.MagneticStoreWriteProperties{EnableMagneticStoreWrites: aws.Bool(true)},
	})
	if err != nil && !errors.As(err, &exists) {
		return fmt.Errorf("create the table: %w", plain(err))
	}
	return nil
}

// goLive creates the topic rule, connects the devices, and lets each publish once.
func (d *demo) goLive(ctx context.Context) error {
	client := iot.New(iot.Options{BaseEndpoint: aws.String(d.api), Region: demoRegion, Credentials: keys()})
	if err := createDemoRule(ctx, client); err != nil {
		return fmt.Errorf("create the topic rule: %w", plain(err))
	}
	d.fact("rule", "messages on %s become records of %s.%s", demoFilter, demoDatabase, demoTable)
	fleet, err := connectFleet(ctx, d.mqtt, d.end)
	if err != nil {
		return err
	}
	d.fleet = fleet
	d.live = time.Now().Truncate(time.Millisecond)
	began := time.Now()
	if err := fleet.publish(ctx, d.live); err != nil {
		fleet.disconnect()
		return err
	}
	d.fact("devices", "%d over MQTT 5, a reading of each stored and acknowledged (QoS 1) in %s", len(fleet.clients), milliseconds(time.Since(began)))
	return nil
}

// createDemoRule creates the rule that writes one multi-measure record for each
// message, as the SDK's are, so that both are asked in the same way.
func createDemoRule(ctx context.Context, c *iot.Client) error {
	rule := &iottypes.TopicRulePayload{
		Sql:              aws.String("SELECT * FROM '" + demoFilter + "'"),
		AwsIotSqlVersion: aws.String("2016-03-23"),
		Actions: []iottypes.Action{{Timestream: &iottypes.TimestreamAction{
			RoleArn:      aws.String("arn:aws:iam::000000000000:role/demo"),
			DatabaseName: aws.String(demoDatabase),
			TableName:    aws.String(demoTable),
			Dimensions:   []iottypes.TimestreamDimension{{Name: aws.String("device"), Value: aws.String("${topic(2)}")}, {Name: aws.String("room"), Value: aws.String("${room}")}},
			Timestamp:    &iottypes.TimestreamTimestamp{Value: aws.String("${ts}"), Unit: aws.String("MILLISECONDS")},
		}}},
	}
	_, err := c.CreateTopicRule(ctx, &iot.CreateTopicRuleInput{
		RuleName: aws.String(demoRule), TopicRulePayload: rule, Tags: aws.String("weir%3Amulti-measure=" + demoMeasure),
	})
	var exists *iottypes.ResourceAlreadyExistsException
	if errors.As(err, &exists) {
		return nil // made by an earlier demo in the same folder
	}
	return err
}

// ask asks the questions and prints each with its answer.
func (d *demo) ask(ctx context.Context) error {
	client := queryClient(d.api, demoRegion)
	for i := range demoQuestions {
		q := &demoQuestions[i]
		d.title("%d. %s", i+1, q.title)
		d.printf("\n%s\n\n", indent(q.text(), "    "))
		began := time.Now()
		answer, err := ask(ctx, client, q.text())
		if err != nil {
			return err
		}
		took := time.Since(began)
		d.answers = append(d.answers, answer)
		d.show(answer, q.rows, took)
	}
	return nil
}

// show prints up to limit rows of an answer (0: all), and how long it took.
func (d *demo) show(t *table, limit int, took time.Duration) {
	shown := *t
	rows := fmt.Sprintf("%s rows", thousands(len(t.rows)))
	if limit > 0 && len(t.rows) > limit {
		shown.rows = t.rows[:limit]
		rows = fmt.Sprintf("the first %d of %s", limit, rows)
	}
	var b strings.Builder
	renderTable(&b, &shown) // a Builder takes everything
	text, _, _ := strings.Cut(b.String(), "\n(")
	d.printf("%s\n    (%s, %s)\n", indent(text, "    "), rows, milliseconds(took))
}

// showMetrics reads what the server counted of the writes.
func (d *demo) showMetrics(ctx context.Context) error {
	client := cloudwatch.New(cloudwatch.Options{BaseEndpoint: aws.String(d.api), Region: demoRegion, Credentials: keys()})
	now := time.Now()
	read := func(metric string) (count, sum, most float64, err error) {
		out, err := client.GetMetricStatistics(ctx, &cloudwatch.GetMetricStatisticsInput{
			Namespace: aws.String("AWS/Timestream"), MetricName: aws.String(metric), Period: aws.Int32(300),
			StartTime: aws.Time(now.Add(-time.Hour)), EndTime: aws.Time(now.Add(time.Minute)),
			Dimensions: []cloudwatchtypes.Dimension{
				{Name: aws.String("DatabaseName"), Value: aws.String(demoDatabase)},
				{Name: aws.String("TableName"), Value: aws.String(demoTable)},
				{Name: aws.String("Operation"), Value: aws.String("WriteRecords")},
			},
			Statistics: []cloudwatchtypes.Statistic{cloudwatchtypes.StatisticSum, cloudwatchtypes.StatisticSampleCount, cloudwatchtypes.StatisticMaximum},
		})
		if err != nil {
			return 0, 0, 0, fmt.Errorf("read the metric %s: %w", metric, plain(err))
		}
		for _, p := range out.Datapoints {
			count, sum, most = count+aws.ToFloat64(p.SampleCount), sum+aws.ToFloat64(p.Sum), max(most, aws.ToFloat64(p.Maximum))
		}
		return count, sum, most, nil
	}
	_, requests, _, err := read("SuccessfulRequestCount")
	if err != nil {
		return err
	}
	count, total, most, err := read("SuccessfulRequestLatency")
	if err != nil {
		return err
	}
	d.title("What CloudWatch says of WriteRecords")
	d.printf("\n    %s requests succeeded, %.1f ms on average, %.1f ms at most\n", thousands(int(requests)), total/max(count, 1), most)
	if int(requests) != d.requests {
		return fmt.Errorf("the metric SuccessfulRequestCount says %v, want %d", requests, d.requests)
	}
	return nil
}

// sayHow prints how to connect clients.
func (d *demo) sayHow() {
	host, port, _ := net.SplitHostPort(d.mqtt)
	d.title("Now you")
	d.printf(`
    export AWS_ENDPOINT_URL=%[1]s AWS_ACCESS_KEY_ID=any AWS_SECRET_ACCESS_KEY=any
    export AWS_REGION=%[2]s AWS_DEFAULT_REGION=%[2]s

    SQL      weir sql "SELECT count(*) FROM %[3]s.%[4]s"
    AWS CLI  aws timestream-query query --query-string "SHOW TABLES FROM %[3]s"
    boto3    query = boto3.client("timestream-query", endpoint_url="%[1]s", region_name="%[2]s")
             query.query(QueryString="SELECT * FROM %[3]s.%[4]s ORDER BY time DESC LIMIT 5")
    MQTT     mosquitto_pub -h %[5]s -p %[6]s -q 1 -t sensors/me/data -m '{"room": "here", "ts": '$(date +%%s000)', "temperature": 21.5}'
    Grafana  data source Amazon Timestream: any keys, region %[2]s, endpoint %[1]s

The devices go on publishing every %[7]s. Ctrl-C ends the demo.
`, d.api, demoRegion, demoDatabase, demoTable, host, port, d.tick)
}

func indent(text, by string) string { return by + strings.ReplaceAll(text, "\n", "\n"+by) }

func milliseconds(d time.Duration) string {
	ms := float64(d) / float64(time.Millisecond)
	switch {
	case ms < 10:
		return fmt.Sprintf("%.1f ms", ms)
	case ms < 1000:
		return fmt.Sprintf("%.0f ms", ms)
	}
	return fmt.Sprintf("%.2f s", ms/1000)
}

// thousands prints n with a comma between groups of three digits.
func thousands(n int) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
