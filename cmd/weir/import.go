package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/timestreamwrite"
	writetypes "github.com/aws/aws-sdk-go-v2/service/timestreamwrite/types"

	"github.com/weir-db/weir/internal/exporter"
	"github.com/weir-db/weir/internal/importer"
)

const importSummary = `
weir import [flags] --table DATABASE.TABLE FILE|FOLDER|s3://…
weir import [flags] --from-endpoint URL|aws --table DATABASE.TABLE|DATABASE.*

Writes files into a table of a Timestream endpoint through its public API. It takes

  a folder that UNLOAD wrote, with its manifest, metadata and results (CSV or Parquet, partitioned or not),
  CSV with a header line, Parquet, and Influx line protocol (.lp, .line), plain or compressed with gzip,
  and folders of those, in which folders named column=value are columns too,
  an export of weir export, and all of these as s3://bucket/prefix.

  weir import --table iot.sensors --create ./unloaded
  weir import --table iot.sensors --time ts --time-unit ms --dimensions device,site readings.csv
  weir import --table iot.sensors --create --s3-endpoint aws s3://unloaded/sensors
  weir import --from-endpoint aws --from-region eu-west-1 --create --table 'iot.*'   # a live copy, by queries
  weir import --table iot.sensors --dry-run readings.parquet      # says what would become of the columns

Killed or failed, the same command goes on where it was. Sending a row twice stores it once.
Lists are separated by commas. Exit status 1 if a row was rejected or the counts do not agree.`

// importFlags are the flags of weir import as given.
type importFlags struct {
	*flagSet
	endpoint, region, table           string
	s3Endpoint                        string
	fromRegion, fromTable             string
	since, until                      string
	from                              importer.Remote // its endpoint empty: files
	create, dryRun                    bool
	memoryHours, magneticDays         int64
	dimensions, measures, skip, types string
	constants, names                  string
	attempts                          int
	o                                 importer.Options
}

func newImportFlags() *importFlags {
	f := &importFlags{flagSet: newFlagSet("import", importSummary)}
	f.StringVar(&f.endpoint, "endpoint", defaultEndpoint(), "`URL` of the server")
	f.StringVar(&f.region, "region", "us-east-1", "region `name` to sign for")
	f.StringVar(&f.table, "table", "", "`database.table` to write to")
	f.StringVar(&f.s3Endpoint, "s3-endpoint", "", "`URL` of the store of s3://…, or aws for Amazon's with the keys of AWS's usual variables and files; by default --endpoint")
	f.StringVar(&f.from.Endpoint, "from-endpoint", "", "`URL` of a Timestream endpoint to copy from by queries, or aws for Amazon's with the keys of AWS's usual variables and files")
	f.StringVar(&f.fromRegion, "from-region", "us-east-1", "its region `name`")
	f.StringVar(&f.fromTable, "from-table", "", "`database.table` there; by default that of --table")
	f.StringVar(&f.since, "since", "", "first `time` to copy, such as 2031-02-03 or 2031-02-03T04:05:06Z")
	f.StringVar(&f.until, "until", "", "`time` to end the copy before")
	f.IntVar(&f.from.RowsPerSecond, "rate", 0, "`rows` a second to copy at most; 0: any number")
	f.BoolVar(&f.create, "create", false, "create the database and the table if they are missing, with the settings of the one that is copied or was exported")
	f.Int64Var(&f.memoryHours, "memory-retention-hours", 6, "memory-store retention in `hours` of a table that is created")
	f.Int64Var(&f.magneticDays, "magnetic-retention-days", 73000, "magnetic-store retention in `days` of a table that is created; late records are accepted into it")
	f.StringVar(&f.o.Format, "format", "", "`csv`, parquet or line; by default the files tell")
	f.StringVar(&f.o.Columns.Time, "time", "", "`column` of the time; by default time, timestamp, ts or the only one of that type")
	f.StringVar(&f.o.Columns.Unit, "time-unit", "", "`unit` of whole-number times: s, ms, us or ns; by default their length tells (line protocol: ns)")
	f.StringVar(&f.o.Columns.Measure, "measure-column", "", "`column` of the measure name; by default measure_name, if there is one")
	f.StringVar(&f.o.Columns.Name, "measure-name", "", "measure `name` of all rows; by default metrics where there is no column of it")
	f.StringVar(&f.dimensions, "dimensions", "", "`columns` that are dimensions; by default text columns, or those before measure_name")
	f.StringVar(&f.measures, "measures", "", "`columns` that are measures; by default all others")
	f.StringVar(&f.skip, "skip", "", "`columns` to leave out")
	f.StringVar(&f.types, "types", "", "`column=type,…` with double, bigint, varchar, boolean or timestamp, instead of what the file says or the values look like")
	f.StringVar(&f.constants, "constant", "", "`name=value,…`: dimensions of all rows")
	f.StringVar(&f.o.Delimiter, "delimiter", "", "`character` between the fields of CSV; tab for a tab (default , and a tab in .tsv)")
	f.StringVar(&f.o.Escape, "escape", "", "`character` of CSV that takes the next one as it is (default none, \\ in results of UNLOAD)")
	f.StringVar(&f.o.Null, "null", "", "`text` in CSV that means no value, besides the empty one")
	f.StringVar(&f.names, "columns", "", "`names` of the columns of CSV that has no header line")
	f.Int64Var(&f.o.Version, "version", 1, "version `number` of the records; a higher one replaces what is there")
	f.IntVar(&f.o.Connections, "connections", 4, "`number` of requests in flight")
	f.IntVar(&f.attempts, "attempts", 10, "how `often` a request that is throttled or lost is sent")
	f.StringVar(&f.o.State, "state", "", "`file` that says how far the import is; by default next to the first file or in the folder")
	f.BoolVar(&f.o.Restart, "restart", false, "begin anew, whatever an earlier run has done")
	f.BoolVar(&f.dryRun, "dry-run", false, "read and check everything, write nothing")
	f.IntVar(&f.o.ShowRejected, "show-rejected", 20, "how many rejected `rows` to list")
	return f
}

func runImport(ctx context.Context, args []string) error {
	f := newImportFlags()
	if err := f.parse(args); err != nil {
		return err
	}
	if err := f.check(); err != nil {
		return err
	}
	if f.from.Endpoint != "" {
		return f.copy(ctx)
	}
	if err := f.openStore(ctx); err != nil {
		return err
	}
	if !f.dryRun {
		client := writeClient(f.endpoint, f.region, f.o.Connections, f.attempts)
		f.o.Writer = client
		was, err := exporter.TableOf(ctx, f.o.Objects, f.o.Paths[0])
		if err == nil {
			err = f.prepareTable(ctx, client, was, os.Stderr)
		}
		if err != nil {
			return err
		}
	}
	return f.run(ctx)
}

// run imports into one table.
func (f *importFlags) run(ctx context.Context) error {
	meter := &importMeter{out: os.Stderr, bar: isTerminal(os.Stderr)}
	f.o.Notice, f.o.Progress = meter.notice, meter.progress
	result, err := importer.Run(ctx, f.o)
	meter.clear()
	return f.conclude(os.Stdout, os.Stderr, result, err)
}

// openStore makes the client of paths in buckets.
func (f *importFlags) openStore(ctx context.Context) (err error) {
	if slices.ContainsFunc(f.o.Paths, func(p string) bool { return strings.HasPrefix(p, "s3://") }) {
		f.o.Objects, err = objectStore(ctx, f.endpoint, f.s3Endpoint, f.region)
	}
	return err
}

func (f *importFlags) check() error {
	var ok bool
	if f.o.Database, f.o.Table, ok = strings.Cut(f.table, "."); !ok || f.o.Database == "" || f.o.Table == "" {
		return usagef("--table: want database.table, got %q", f.table)
	}
	if f.from.Endpoint != "" && f.NArg() > 0 {
		return usagef("--from-endpoint copies a table; files are imported without it")
	}
	if f.o.Paths = f.Args(); len(f.o.Paths) == 0 && f.from.Endpoint == "" {
		return usagef("no file or folder is named; weir import --help says how")
	}
	f.o.Endpoint = f.endpoint
	f.o.Columns.Dimensions, f.o.Columns.Measures, f.o.Columns.Skip = list(f.dimensions), list(f.measures), list(f.skip)
	f.o.Names = list(f.names)
	for _, t := range list(f.types) {
		column, name, _ := cutLast(t, "=")
		if err := f.o.Columns.ParseType(column, name); err != nil {
			return usagef("--types: %v", err)
		}
	}
	for _, c := range list(f.constants) {
		name, value, ok := strings.Cut(c, "=")
		if !ok || name == "" || value == "" {
			return usagef("--constant: want name=value, got %q", c)
		}
		f.o.Columns.Constants = append(f.o.Columns.Constants, writetypes.Dimension{Name: aws.String(name), Value: aws.String(value)})
	}
	if f.o.Version < 1 || f.o.Connections < 1 || f.o.Connections > 256 || f.attempts < 1 {
		return usagef("--version and --attempts are 1 or more, --connections 1 to 256")
	}
	return nil
}

func list(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, ",")
}

func cutLast(text, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(text, sep); i >= 0 {
		return text[:i], text[i+len(sep):], true
	}
	return text, "", false
}

const maxBackoff = 20 * time.Second

// writeClient waits longer than the SDK does by default, as an import has time.
func writeClient(endpoint, region string, connections, attempts int) *timestreamwrite.Client {
	return timestreamwrite.New(timestreamwrite.Options{
		BaseEndpoint: aws.String(endpoint), Region: region, Credentials: keys(),
		EndpointDiscovery: timestreamwrite.EndpointDiscoveryOptions{EnableEndpointDiscovery: aws.EndpointDiscoveryDisabled},
		HTTPClient: awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
			t.MaxIdleConns, t.MaxIdleConnsPerHost = connections, connections
		}),
		Retryer: patient(attempts),
	})
}

// prepareTable finds or makes the table, like was, if that is not nil.
func (f *importFlags) prepareTable(ctx context.Context, c *timestreamwrite.Client, was *exporter.Table, notes io.Writer) error {
	var missing *writetypes.ResourceNotFoundException
	out, err := c.DescribeTable(ctx, &timestreamwrite.DescribeTableInput{DatabaseName: aws.String(f.o.Database), TableName: aws.String(f.o.Table)})
	switch {
	case errors.As(err, &missing) && f.create:
		return f.makeTable(ctx, c, was, notes)
	case errors.As(err, &missing):
		return fmt.Errorf("table %s is not there: --create makes it", f.table)
	case err != nil:
		return fmt.Errorf("describe table %s at %s: %w", f.table, f.endpoint, plain(err))
	}
	if w := out.Table.MagneticStoreWriteProperties; (w == nil || !aws.ToBool(w.EnableMagneticStoreWrites)) && out.Table.RetentionProperties != nil {
		fmt.Fprintf(notes, "note: %s takes no late records; rows older than the %d h of its memory store will be rejected (update-table --magnetic-store-write-properties EnableMagneticStoreWrites=true changes that)\n",
			f.table, aws.ToInt64(out.Table.RetentionProperties.MemoryStoreRetentionPeriodInHours))
	}
	return nil
}

func (f *importFlags) makeTable(ctx context.Context, c *timestreamwrite.Client, was *exporter.Table, notes io.Writer) error {
	var exists *writetypes.ConflictException
	_, err := c.CreateDatabase(ctx, &timestreamwrite.CreateDatabaseInput{DatabaseName: aws.String(f.o.Database)})
	if err != nil && !errors.As(err, &exists) {
		return fmt.Errorf("create database %s: %w", f.o.Database, plain(err))
	}
	var keys []writetypes.PartitionKey
	hours, days := f.memoryHours, f.magneticDays
	if was != nil && !f.given("memory-retention-hours") && !f.given("magnetic-retention-days") {
		hours, days = was.MemoryRetentionHours, was.MagneticDays
	}
	if was != nil {
		keys = was.Keys()
	}
	_, err = c.CreateTable(ctx, &timestreamwrite.CreateTableInput{
		DatabaseName: aws.String(f.o.Database), TableName: aws.String(f.o.Table),
		RetentionProperties: &writetypes.RetentionProperties{
			MemoryStoreRetentionPeriodInHours: aws.Int64(hours), MagneticStoreRetentionPeriodInDays: aws.Int64(days),
		},
		MagneticStoreWriteProperties: &writetypes.MagneticStoreWriteProperties{EnableMagneticStoreWrites: aws.Bool(true)},
		Schema:                       schemaOf(keys),
	})
	if err != nil && !errors.As(err, &exists) {
		return fmt.Errorf("create table %s: %w", f.table, plain(err))
	}
	fmt.Fprintf(notes, "created %s: %d h in the memory store, %d days in the magnetic store, which takes late records\n", f.table, hours, days)
	return nil
}

func schemaOf(keys []writetypes.PartitionKey) *writetypes.Schema {
	if keys == nil {
		return nil
	}
	return &writetypes.Schema{CompositePartitionKey: keys}
}

// given reports whether a flag was set, in whatever way.
func (f *importFlags) given(name string) bool {
	set := false
	f.Visit(func(x *flag.Flag) { set = set || x.Name == name })
	return set
}

// conclude tells what was done; rejected rows and counts that do not agree are an error.
func (f *importFlags) conclude(out, notes io.Writer, r importer.Result, err error) error {
	for _, x := range r.Rejects {
		fmt.Fprintf(notes, "%s:%d: %s\n", x.File, x.Line, x.Reason)
	}
	if more := r.Rejected - int64(len(r.Rejects)); more > 0 && len(r.Rejects) > 0 {
		fmt.Fprintf(notes, "… and %s more rejected rows\n", thousands(int(more)))
	}
	for _, w := range r.Wrong {
		fmt.Fprintln(notes, w)
	}
	if err != nil {
		if !f.dryRun && r.Rows > 0 {
			return fmt.Errorf("%w (%s rows are done; the same command goes on from there)", plain(err), thousands(int(r.Rows)))
		}
		return plain(err)
	}
	verb := "ingested into " + f.table
	if f.dryRun {
		verb = "would be written to " + f.table
	}
	fmt.Fprintf(out, "%s rows read from %d files: %s %s, %s rejected\n", thousands(int(r.Rows)), r.Files, thousands(int(r.Ingested)), verb, thousands(int(r.Rejected)))
	switch {
	case len(r.Wrong) > 0:
		return fmt.Errorf("%d files do not have the rows that their manifest says", len(r.Wrong))
	case r.Rejected > 0:
		return fmt.Errorf("%s rows were rejected", thousands(int(r.Rejected)))
	}
	return nil
}

// importMeter shows the progress: a bar that is drawn over on a terminal, otherwise a line now and then.
type importMeter struct {
	out   io.Writer
	bar   bool
	drawn bool
	last  time.Duration
}

const (
	barWidth  = 30
	lineEvery = 10 * time.Second
)

func (m *importMeter) notice(text string) {
	m.clear()
	fmt.Fprintln(m.out, text)
}

// clear takes the bar away.
func (m *importMeter) clear() {
	if m.drawn {
		fmt.Fprint(m.out, "\r\x1b[K")
		m.drawn = false
	}
}

func (m *importMeter) progress(p importer.Progress) {
	share := 1.0
	if p.AllBytes > 0 {
		share = float64(p.Bytes) / float64(p.AllBytes)
	}
	seconds := max(p.Took.Seconds(), 0.001)
	text := fmt.Sprintf("%s rows  %s/s", thousands(int(p.Rows)), thousands(int(float64(p.Rows-p.RowsOfEarlierRun)/seconds)))
	if p.Rejected > 0 {
		text += fmt.Sprintf("  %s rejected", thousands(int(p.Rejected)))
	}
	if share > 0.01 && share < 1 && p.RowsOfEarlierRun == 0 {
		text += "  " + (time.Duration(float64(p.Took) * (1 - share) / share)).Round(time.Second).String() + " left"
	}
	m.draw(p.Took, share, text)
}

// draw shows how much is done, of 1, on a terminal always, elsewhere now and then.
func (m *importMeter) draw(took time.Duration, share float64, text string) {
	if !m.bar && took-m.last < lineEvery {
		return
	}
	m.last = took
	text = fmt.Sprintf("%3.0f%%  %s", share*100, text)
	if !m.bar {
		fmt.Fprintln(m.out, text)
		return
	}
	full := int(share * barWidth)
	fmt.Fprintf(m.out, "\r\x1b[K[%s%s] %s", strings.Repeat("#", full), strings.Repeat(".", barWidth-full), text)
	m.drawn = true
}
