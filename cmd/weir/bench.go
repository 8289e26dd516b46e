package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/timestreamquery"
	"github.com/aws/aws-sdk-go-v2/service/timestreamwrite"
	writetypes "github.com/aws/aws-sdk-go-v2/service/timestreamwrite/types"
)

const benchSummary = `
weir bench [flags]

Measures a running server through its public API: writes readings of simulated devices into a database of
its own, asks the usual questions about them, prints what that took, and deletes the database.

  weir bench                                          # a million rows to the server on this machine
  weir bench --shape device --devices 1000            # each device sends its own readings
  weir bench --endpoint https://weir.example:8470 --connections 32

Every answer to a write is a durable one. The client shares the machine with a server on loopback, so figures
from another machine are higher.`

// benchDatabase holds what weir bench writes.
const benchDatabase = "weir_bench"

// benchOptions are the flags of weir bench.
type benchOptions struct {
	endpoint, region, shape           string
	rows, devices, batch, conns, asks int
	keep                              bool
}

func runBench(ctx context.Context, args []string) error {
	var o benchOptions
	f := newFlagSet("bench", benchSummary)
	f.StringVar(&o.endpoint, "endpoint", defaultEndpoint(), "`URL` of the server")
	f.StringVar(&o.region, "region", "us-east-1", "region `name` to sign for")
	f.StringVar(&o.shape, "shape", "gateway", "`gateway`: a request has readings of many devices at one time; device: of one device at many times")
	f.IntVar(&o.rows, "rows", 1_000_000, "`number` of rows to write, each with three values")
	f.IntVar(&o.devices, "devices", 100, "`number` of devices")
	f.IntVar(&o.batch, "batch", 100, "`number` of records in a request, 1 to 100")
	f.IntVar(&o.conns, "connections", 8, "`number` of requests in flight")
	f.IntVar(&o.asks, "rounds", 20, "how `often` each question is asked")
	f.BoolVar(&o.keep, "keep", false, "leave the database "+benchDatabase+" behind")
	if err := f.parse(args); err != nil {
		return err
	}
	if f.NArg() > 0 {
		return usagef("weir bench takes flags only, not %q", f.Arg(0))
	}
	if err := o.check(); err != nil {
		return err
	}
	return o.run(ctx, os.Stdout)
}

// steps is the number of readings of each device.
func (o *benchOptions) steps() int { return (o.rows + o.devices - 1) / o.devices }

// benchStep is the time between two readings of a device.
const benchStep = 10 * time.Second

// retentionHours is how long the memory store must keep rows for all to be taken.
func (o *benchOptions) retentionHours() int64 {
	return int64(time.Duration(o.steps())*benchStep/time.Hour) + 2
}

func (o *benchOptions) check() error {
	const maxRetentionHours = 8766 // Timestream's limit of the memory store
	switch {
	case o.shape != "gateway" && o.shape != "device":
		return usagef("--shape: want gateway or device, got %q", o.shape)
	case o.rows < 1 || o.devices < 1 || o.asks < 1:
		return usagef("--rows, --devices and --rounds are 1 or more")
	case o.batch < 1 || o.batch > 100:
		return usagef("--batch: a request has 1 to 100 records, not %d", o.batch)
	case o.conns < 1 || o.conns > 1024:
		return usagef("--connections: want 1 to 1024, got %d", o.conns)
	case o.steps() > maxRetentionHours*int(time.Hour/benchStep) || o.retentionHours() > maxRetentionHours:
		return usagef("%s rows of %d devices are more than a year of readings; use more --devices", thousands(o.rows), o.devices)
	}
	return nil
}

func (o *benchOptions) run(ctx context.Context, out io.Writer) (err error) {
	client := writeClient(o.endpoint, o.region, o.conns, 3)
	if err := o.create(ctx, client); err != nil {
		return err
	}
	defer func() {
		// Also when the run was interrupted.
		if cleanup := o.drop(context.WithoutCancel(ctx), client); err == nil {
			err = cleanup
		}
	}()
	fmt.Fprintf(out, "writing %s rows of 3 values: %s devices, %s shape, %d rows a request, %d connections\n",
		thousands(o.steps()*o.devices), thousands(o.devices), o.shape, o.batch, o.conns)
	load, err := o.write(ctx)
	if err != nil {
		return err
	}
	rows := float64(o.steps() * o.devices)
	fmt.Fprintf(out, "  %s rows/s, %s values/s, %.1f s; a request: median %s, p99 %s, longest %s\n\n",
		thousands(int(rows/load.took.Seconds())), thousands(int(3*rows/load.took.Seconds())), load.took.Seconds(),
		ms(quantile(load.latencies, 0.5)), ms(quantile(load.latencies, 0.99)), ms(quantile(load.latencies, 1)))
	return o.ask(ctx, out)
}

func (o *benchOptions) create(ctx context.Context, c *timestreamwrite.Client) error {
	var exists *writetypes.ConflictException
	_, err := c.CreateDatabase(ctx, &timestreamwrite.CreateDatabaseInput{DatabaseName: aws.String(benchDatabase)})
	if errors.As(err, &exists) {
		return fmt.Errorf("a database %s is there already, from a run with --keep or one that was killed: delete its table %s and it first", benchDatabase, demoTable)
	}
	if err != nil {
		return fmt.Errorf("create database %s at %s: %w", benchDatabase, o.endpoint, plain(err))
	}
	_, err = c.CreateTable(ctx, &timestreamwrite.CreateTableInput{
		DatabaseName: aws.String(benchDatabase), TableName: aws.String(demoTable),
		RetentionProperties: &writetypes.RetentionProperties{
			MemoryStoreRetentionPeriodInHours: aws.Int64(o.retentionHours()), MagneticStoreRetentionPeriodInDays: aws.Int64(3650),
		},
	})
	if err != nil {
		return errors.Join(fmt.Errorf("create table: %w", plain(err)), o.drop(context.WithoutCancel(ctx), c))
	}
	return nil
}

func (o *benchOptions) drop(ctx context.Context, c *timestreamwrite.Client) error {
	if o.keep {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	var missing *writetypes.ResourceNotFoundException
	_, err := c.DeleteTable(ctx, &timestreamwrite.DeleteTableInput{DatabaseName: aws.String(benchDatabase), TableName: aws.String(demoTable)})
	if err == nil || errors.As(err, &missing) {
		_, err = c.DeleteDatabase(ctx, &timestreamwrite.DeleteDatabaseInput{DatabaseName: aws.String(benchDatabase)})
	}
	if err != nil {
		return fmt.Errorf("the database %s is left behind: %w", benchDatabase, plain(err))
	}
	return nil
}

// ask asks the demo's questions about what was written.
func (o *benchOptions) ask(ctx context.Context, out io.Writer) error {
	client := queryClient(o.endpoint, o.region)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "asked %d times\trows\tmedian\tp95\n", o.asks)
	for i := range demoQuestions {
		q := &demoQuestions[i]
		rows, took, err := o.askOne(ctx, client, strings.ReplaceAll(q.text(), demoDatabase+"."+demoTable, benchDatabase+"."+demoTable))
		if err != nil {
			return fmt.Errorf("%s %w", q.title, err)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", q.title, thousands(rows), ms(quantile(took, 0.5)), ms(quantile(took, 0.95)))
	}
	return w.Flush()
}

// askOne asks a question once for nothing and then as often as it should.
func (o *benchOptions) askOne(ctx context.Context, c *timestreamquery.Client, sql string) (rows int, took []time.Duration, err error) {
	for i := range o.asks + 1 {
		start := time.Now()
		answer, err := ask(ctx, c, sql)
		if err != nil {
			return 0, nil, err
		}
		if rows = len(answer.rows); i > 0 {
			took = append(took, time.Since(start))
		}
	}
	return rows, took, nil
}

// quantile sorts list and returns the value that the share q of it does not exceed.
func quantile(list []time.Duration, q float64) time.Duration {
	if len(list) == 0 {
		return 0
	}
	slices.Sort(list)
	return list[min(int(q*float64(len(list))), len(list)-1)]
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", d.Seconds()*1000) }
