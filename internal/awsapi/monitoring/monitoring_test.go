package monitoring_test

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/smithy-go"

	"github.com/weir-db/weir/internal/awsapi"
	"github.com/weir-db/weir/internal/awsapi/monitoring"
	"github.com/weir-db/weir/internal/awsapi/wire"
	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/telemetry"
)

var start = time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)

type server struct {
	url   string
	clock *clock.Clock
	reg   *telemetry.Registry
}

// serve starts a server whose metrics hold, for ten minutes from start, one value a
// second in each of which the n-th minute's values are n+1.
func serve(t *testing.T) server {
	t.Helper()
	c := clock.Manual(start)
	reg := telemetry.New(telemetry.Options{Now: c.Now})
	m := reg.Metric("AWS/Timestream", "SuccessfulRequestCount", "Count", dim("DatabaseName", "d"), dim("TableName", "t"), dim("Operation", "WriteRecords"))
	for n := range 10 {
		for range 60 {
			m.Observe(float64(n + 1))
		}
		c.Advance(time.Minute)
	}
	reg.Metric("AWS/Timestream", "SystemErrors", "Count").Observe(1)
	h, err := awsapi.New(awsapi.Options{Services: []*wire.Service{monitoring.Service(reg)}, Telemetry: telemetry.New(telemetry.Options{})})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return server{srv.URL, c, reg}
}

func dim(name, value string) telemetry.Dim { return telemetry.Dim{Name: name, Value: value} }

var sdkDims = []types.Dimension{
	{Name: aws.String("TableName"), Value: aws.String("t")},
	{Name: aws.String("DatabaseName"), Value: aws.String("d")},
	{Name: aws.String("Operation"), Value: aws.String("WriteRecords")},
}

func (s server) sdk() *cloudwatch.Client {
	return cloudwatch.New(cloudwatch.Options{BaseEndpoint: &s.url, Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""), Retryer: aws.NopRetryer{}})
}

func (s server) post(t *testing.T, body string, headers ...string) (status int, header http.Header, text string) {
	t.Helper()
	req, err := http.NewRequest("POST", s.url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(b)
}

func (s server) form(t *testing.T, body string) (int, string) {
	status, _, text := s.post(t, body+"&Version=2010-08-01", "Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	return status, text
}

func (s server) json(t *testing.T, op, body string) (int, http.Header, string) {
	return s.post(t, body, "X-Amz-Target", "GraniteServiceVersion20100801."+op, "Content-Type", "application/x-amz-json-1.0", "x-amzn-query-mode", "true")
}

func TestGetMetricStatisticsInThreeProtocols(t *testing.T) {
	t.Parallel()
	s := serve(t)
	out, err := s.sdk().GetMetricStatistics(t.Context(), &cloudwatch.GetMetricStatisticsInput{
		Namespace: aws.String("AWS/Timestream"), MetricName: aws.String("SuccessfulRequestCount"), Dimensions: sdkDims,
		StartTime: aws.Time(start), EndTime: aws.Time(start.Add(10 * time.Minute)), Period: aws.Int32(300),
		Statistics: []types.Statistic{types.StatisticSum, types.StatisticAverage, types.StatisticSampleCount, types.StatisticMinimum, types.StatisticMaximum},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Datapoints) != 2 || *out.Label != "SuccessfulRequestCount" {
		t.Fatalf("cbor: %+v", out)
	}
	p := out.Datapoints[1]
	if !p.Timestamp.Equal(start.Add(5*time.Minute)) || *p.Sum != 60*40 || *p.Average != 8 || *p.SampleCount != 300 || *p.Minimum != 6 || *p.Maximum != 10 || p.Unit != types.StandardUnitCount {
		t.Errorf("cbor: %+v", p)
	}

	const query = "Action=GetMetricStatistics&Namespace=AWS%2FTimestream&MetricName=SuccessfulRequestCount" +
		"&Dimensions.member.1.Name=DatabaseName&Dimensions.member.1.Value=d&Dimensions.member.2.Name=TableName&Dimensions.member.2.Value=t" +
		"&Dimensions.member.3.Name=Operation&Dimensions.member.3.Value=WriteRecords&StartTime=2026-01-02T03%3A00%3A00Z&EndTime=2026-01-02T03%3A10%3A00Z&Period=300"
	status, text := s.form(t, query+"&Statistics.member.1=Sum")
	const want = `<GetMetricStatisticsResponse xmlns="http://monitoring.amazonaws.com/doc/2010-08-01/"><GetMetricStatisticsResult><Label>SuccessfulRequestCount</Label><Datapoints><member><Timestamp>2026-01-02T03:00:00Z</Timestamp><Sum>900.0</Sum><Unit>Count</Unit></member><member><Timestamp>2026-01-02T03:05:00Z</Timestamp><Sum>2400.0</Sum><Unit>Count</Unit></member></Datapoints></GetMetricStatisticsResult>`
	if status != 200 || !strings.HasPrefix(text, want) {
		t.Errorf("query: %d %s", status, text)
	}
	status, text = s.form(t, query+"&ExtendedStatistics.member.1=p90")
	if status != 200 || !strings.Contains(text, "<ExtendedStatistics><entry><key>p90</key><value>") {
		t.Errorf("query: %d %s", status, text)
	}
	if err := xml.Unmarshal([]byte(text), new(struct{})); err != nil {
		t.Error(err)
	}

	status, _, text = s.json(t, "GetMetricStatistics", fmt.Sprintf(`{"Namespace":"AWS/Timestream","MetricName":"SuccessfulRequestCount","Period":300,"StartTime":%d,"EndTime":%d,"Statistics":["Sum"],
		"Dimensions":[{"Name":"DatabaseName","Value":"d"},{"Name":"TableName","Value":"t"},{"Name":"Operation","Value":"WriteRecords"}]}`, start.Unix(), start.Unix()+600))
	if status != 200 || !strings.Contains(text, `"Datapoints":[{"Timestamp":1767322800,"Sum":900.0,"Unit":"Count"},{"Timestamp":1767323100,"Sum":2400.0,"Unit":"Count"}]`) {
		t.Errorf("json: %d %s", status, text)
	}
}

func TestDimensionsMatchExactly(t *testing.T) {
	t.Parallel()
	s := serve(t)
	for _, dims := range [][]types.Dimension{nil, sdkDims[:2]} {
		out, err := s.sdk().GetMetricStatistics(t.Context(), &cloudwatch.GetMetricStatisticsInput{
			Namespace: aws.String("AWS/Timestream"), MetricName: aws.String("SuccessfulRequestCount"), Dimensions: dims,
			StartTime: aws.Time(start), EndTime: aws.Time(start.Add(time.Hour)), Period: aws.Int32(60), Statistics: []types.Statistic{types.StatisticSum},
		})
		if err != nil || len(out.Datapoints) != 0 {
			t.Errorf("%v: %+v, %v", dims, out, err)
		}
	}
}

func TestGetMetricDataPagesAndOrders(t *testing.T) {
	t.Parallel()
	s := serve(t)
	metric := &types.Metric{Namespace: aws.String("AWS/Timestream"), MetricName: aws.String("SuccessfulRequestCount"), Dimensions: sdkDims}
	stat := func(id, stat string) types.MetricDataQuery {
		return types.MetricDataQuery{Id: &id, MetricStat: &types.MetricStat{Metric: metric, Period: aws.Int32(120), Stat: &stat}}
	}
	in := &cloudwatch.GetMetricDataInput{
		MetricDataQueries: []types.MetricDataQuery{stat("sum", "Sum"), stat("p", "p50"), stat("none", "Average")},
		StartTime:         aws.Time(start.Add(time.Minute)), EndTime: aws.Time(start.Add(10 * time.Minute)), MaxDatapoints: aws.Int32(4),
	}
	in.MetricDataQueries[2].MetricStat.Metric = &types.Metric{Namespace: aws.String("AWS/Timestream"), MetricName: aws.String("Other")}
	got := map[string][]float64{}
	times := map[string][]time.Time{}
	calls := 0
	pages := cloudwatch.NewGetMetricDataPaginator(s.sdk(), in)
	for pages.HasMorePages() {
		out, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		calls++
		for _, r := range out.MetricDataResults {
			got[*r.Id] = append(got[*r.Id], r.Values...)
			times[*r.Id] = append(times[*r.Id], r.Timestamps...)
		}
	}
	// Periods start at 03:00 although the range starts at 03:01.
	if fmt.Sprint(got["sum"]) != "[1140 900 660 420 180]" || calls < 3 {
		t.Errorf("sum %v in %d calls", got["sum"], calls)
	}
	if len(got["p"]) != 5 || !times["p"][4].Equal(start) {
		t.Errorf("p50 %v at %v", got["p"], times["p"])
	}
	if v, ok := got["none"]; !ok || len(v) != 0 {
		t.Errorf("a metric without data: %v", v)
	}
	in.ScanBy, in.MaxDatapoints = types.ScanByTimestampAscending, nil
	out, err := s.sdk().GetMetricData(t.Context(), in)
	if err != nil || out.MetricDataResults[0].Values[0] != 180 || out.MetricDataResults[0].StatusCode != types.StatusCodeComplete {
		t.Errorf("ascending: %+v, %v", out, err)
	}
}

func TestListMetricsFiltersAndPages(t *testing.T) {
	t.Parallel()
	s := serve(t)
	list := func(in *cloudwatch.ListMetricsInput) (names []string) {
		t.Helper()
		pages := cloudwatch.NewListMetricsPaginator(s.sdk(), in)
		for pages.HasMorePages() {
			out, err := pages.NextPage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range out.Metrics {
				names = append(names, *m.MetricName)
			}
		}
		return names
	}
	if got := list(&cloudwatch.ListMetricsInput{Namespace: aws.String("AWS/Timestream")}); fmt.Sprint(got) != "[SuccessfulRequestCount SystemErrors]" {
		t.Errorf("got %v", got)
	}
	if got := list(&cloudwatch.ListMetricsInput{Dimensions: []types.DimensionFilter{{Name: aws.String("TableName")}}}); len(got) != 1 {
		t.Errorf("by dimension: %v", got)
	}
	if got := list(&cloudwatch.ListMetricsInput{Dimensions: []types.DimensionFilter{{Name: aws.String("TableName"), Value: aws.String("x")}}}); len(got) != 0 {
		t.Errorf("by value: %v", got)
	}
	for i := range 1200 {
		s.reg.Metric("Mine", "M", "Count", dim("I", fmt.Sprint(i))).Observe(1)
	}
	if got := list(&cloudwatch.ListMetricsInput{Namespace: aws.String("Mine")}); len(got) != 1200 {
		t.Errorf("%d metrics over all pages, want 1200", len(got))
	}
	s.clock.Advance(4 * time.Hour)
	if got := list(&cloudwatch.ListMetricsInput{RecentlyActive: types.RecentlyActivePt3h}); len(got) != 0 {
		t.Errorf("recently active: %v", got)
	}
}

func TestPutMetricDataComesBack(t *testing.T) {
	t.Parallel()
	s := serve(t)
	put := func(ns string, data ...types.MetricDatum) error {
		_, err := s.sdk().PutMetricData(t.Context(), &cloudwatch.PutMetricDataInput{Namespace: &ns, MetricData: data})
		return err
	}
	name := aws.String("Temperature")
	if err := put("Mine",
		types.MetricDatum{MetricName: name, Value: aws.Float64(20), Unit: types.StandardUnitNone, Timestamp: aws.Time(start)},
		types.MetricDatum{MetricName: name, Values: []float64{10, 30}, Counts: []float64{1, 2}, Timestamp: aws.Time(start)},
		types.MetricDatum{MetricName: name, Timestamp: aws.Time(start), StatisticValues: &types.StatisticSet{SampleCount: aws.Float64(2), Sum: aws.Float64(80), Minimum: aws.Float64(35), Maximum: aws.Float64(45)}},
	); err != nil {
		t.Fatal(err)
	}
	out, err := s.sdk().GetMetricStatistics(t.Context(), &cloudwatch.GetMetricStatisticsInput{Namespace: aws.String("Mine"), MetricName: name,
		StartTime: aws.Time(start), EndTime: aws.Time(start.Add(time.Minute)), Period: aws.Int32(60), Statistics: []types.Statistic{types.StatisticSum, types.StatisticSampleCount, types.StatisticMaximum}})
	if err != nil || len(out.Datapoints) != 1 || *out.Datapoints[0].Sum != 170 || *out.Datapoints[0].SampleCount != 6 || *out.Datapoints[0].Maximum != 45 {
		t.Errorf("%+v, %v", out, err)
	}
	big := make([]types.MetricDatum, 900) // large enough that the SDK compresses it
	for i := range big {
		big[i] = types.MetricDatum{MetricName: aws.String("Big"), Value: aws.Float64(1), Dimensions: []types.Dimension{{Name: aws.String("I"), Value: aws.String(fmt.Sprint(i))}}}
	}
	if err := put("Mine", big...); err != nil {
		t.Error(err)
	}
	wantCode(t, put("AWS/Timestream", types.MetricDatum{MetricName: name, Value: aws.Float64(1)}), "InvalidParameterValue", "reserved")
	wantCode(t, put("Mine", types.MetricDatum{MetricName: name}), "MissingParameter", "MetricData.member.1.Value")
	wantCode(t, put("Mine", types.MetricDatum{MetricName: name, Value: aws.Float64(math.NaN())}), "InvalidParameterValue", "")
	wantCode(t, put("Mine", types.MetricDatum{MetricName: name, Value: aws.Float64(1), Timestamp: aws.Time(start.Add(-400 * time.Hour))}), "InvalidParameterValue", "two weeks")
}

func wantCode(t *testing.T, err error, code, text string) {
	t.Helper()
	var e smithy.APIError
	if !errors.As(err, &e) || e.ErrorCode() != code || !strings.Contains(e.ErrorMessage(), text) {
		t.Errorf("got %v, want %s with %q", err, code, text)
	}
}

func TestWrongParametersGetTheCodesOfEachProtocol(t *testing.T) {
	t.Parallel()
	s := serve(t)
	base := map[string]any{"Namespace": "AWS/Timestream", "MetricName": "M", "Period": 60, "StartTime": start.Unix(), "EndTime": start.Unix() + 600, "Statistics": []string{"Sum"}}
	check := func(code, name, text string, change map[string]any) {
		t.Helper()
		in := map[string]any{}
		for k, v := range base {
			in[k] = v
		}
		for k, v := range change {
			if in[k] = v; v == nil {
				delete(in, k)
			}
		}
		body, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		status, header, got := s.json(t, "GetMetricStatistics", string(body))
		if status != 400 || header.Get("x-amzn-query-error") != code+";Sender" || !strings.Contains(got, "#"+name+`"`) || !strings.Contains(got, text) {
			t.Errorf("%v: %d %q %s", change, status, header.Get("x-amzn-query-error"), got)
		}
	}
	check("MissingParameter", "MissingRequiredParameterException", "The parameter Namespace is required.", map[string]any{"Namespace": nil})
	check("MissingParameter", "MissingRequiredParameterException", "Period", map[string]any{"Period": nil})
	check("InvalidParameterValue", "InvalidParameterValueException", "Period", map[string]any{"Period": 61})
	check("InvalidParameterValue", "InvalidParameterValueException", "Period", map[string]any{"Period": 0})
	check("InvalidParameterValue", "InvalidParameterValueException", "StartTime must be less than", map[string]any{"EndTime": start.Unix()})
	check("InvalidParameterCombination", "InvalidParameterCombinationException", "1,440", map[string]any{"EndTime": start.Unix() + 1441*60})
	check("InvalidParameterCombination", "InvalidParameterCombinationException", "Must specify", map[string]any{"Statistics": nil})
	check("InvalidParameterValue", "InvalidParameterValueException", "Statistics", map[string]any{"Statistics": []string{"Median"}})
	check("InvalidParameterValue", "InvalidParameterValueException", "not supported here", map[string]any{"Statistics": nil, "ExtendedStatistics": []string{"tm99"}})
	check("InvalidParameterValue", "InvalidParameterValueException", "Unit", map[string]any{"Unit": "Parsecs"})
	check("ValidationError", "ValidationException", "at 'namespace'", map[string]any{"Namespace": ":x"})
	check("MalformedInput", "SerializationException", "Period must be an integer", map[string]any{"Period": "x"})

	_, err := s.sdk().GetMetricStatistics(t.Context(), &cloudwatch.GetMetricStatisticsInput{Namespace: aws.String("N"), MetricName: aws.String("M"),
		StartTime: aws.Time(start), EndTime: aws.Time(start), Period: aws.Int32(60), Statistics: []types.Statistic{types.StatisticSum}})
	wantCode(t, err, "InvalidParameterValue", "StartTime must be less than")
	_, err = s.sdk().GetMetricData(t.Context(), &cloudwatch.GetMetricDataInput{StartTime: aws.Time(start), EndTime: aws.Time(start.Add(time.Hour)),
		MetricDataQueries: []types.MetricDataQuery{{Id: aws.String("e1"), Expression: aws.String("m1*2")}}})
	wantCode(t, err, "ValidationError", "Error in expression 'e1'")
	_, err = s.sdk().ListMetrics(t.Context(), &cloudwatch.ListMetricsInput{NextToken: aws.String("!")})
	wantCode(t, err, "InvalidNextToken", "invalid")
	status, text := s.form(t, "Action=GetMetricStatistics&Namespace=N")
	if status != 400 || !strings.Contains(text, "<Type>Sender</Type><Code>MissingParameter</Code>") {
		t.Errorf("query: %d %s", status, text)
	}
}
