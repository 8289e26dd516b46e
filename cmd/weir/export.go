package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/weir-db/weir/internal/exporter"
	"github.com/weir-db/weir/internal/objstore/s3client"
	"github.com/weir-db/weir/internal/server"
)

const exportSummary = `
weir export [flags] --table DATABASE.TABLE FOLDER|s3://BUCKET/PREFIX
weir export [flags] --query "SELECT …" FOLDER|s3://BUCKET/PREFIX

Writes a table, or the result of a query, as Parquet or CSV by UNLOAD, in slices of time, with manifests
and the table's settings; weir import takes it back as it was. s3:// is a bucket of the store that the server
writes to (--s3-endpoint); for a folder, the server writes to a bucket made for it, which goes away again.

  weir export --table iot.sensors ./sensors
  weir export --table iot.sensors --format csv --partition-by site --from 2031-01-01 s3://exports/sensors
  weir export --query "SELECT site, avg(v) FROM iot.sensors GROUP BY site" ./sites

Killed or failed, the same command goes on where it was. Rows are counted and compared with the manifests; sizes too.`

// exportFlags are the flags of weir export as given.
type exportFlags struct {
	*flagSet
	endpoint, region, s3Endpoint string
	table, partitions            string
	from, until, slice           string
	o                            exporter.Options
}

func newExportFlags() *exportFlags {
	f := &exportFlags{flagSet: newFlagSet("export", exportSummary)}
	f.StringVar(&f.endpoint, "endpoint", defaultEndpoint(), "`URL` of the server")
	f.StringVar(&f.region, "region", "us-east-1", "region `name` to sign for")
	f.StringVar(&f.s3Endpoint, "s3-endpoint", "", "`URL` of the object store that the server writes to, or aws; by default the server's own")
	f.StringVar(&f.table, "table", "", "`database.table` to export")
	f.StringVar(&f.o.SQL, "query", "", "`SELECT` to export, instead of a table")
	f.StringVar(&f.o.Format, "format", "parquet", "parquet or csv")
	f.StringVar(&f.o.Compression, "compression", "gzip", "gzip or none")
	f.StringVar(&f.partitions, "partition-by", "", "`columns` whose values become folders, column=value; of a query its last ones")
	f.StringVar(&f.o.MaxFileSize, "max-file-size", "", "`size` at which another file begins, 16MB to 78GB (default 78GB)")
	f.BoolVar(&f.o.Header, "header", false, "write a header line in CSV")
	f.StringVar(&f.from, "from", "", "first `time` of a table, such as 2031-02-03 or 2031-02-03T04:05:06Z")
	f.StringVar(&f.until, "until", "", "`time` to end before")
	f.StringVar(&f.slice, "slice", "", "`length` of time of a table that is exported at once, such as 24h; by default about five million rows")
	f.BoolVar(&f.o.Restart, "restart", false, "remove what an earlier export left there, and begin anew")
	return f
}

func runExport(ctx context.Context, args []string) error {
	f := newExportFlags()
	if err := f.parse(args); err != nil {
		return err
	}
	if err := f.check(); err != nil {
		return err
	}
	var err error
	if f.o.Objects, err = objectStore(ctx, f.endpoint, f.s3Endpoint, f.region); err != nil {
		return err
	}
	f.o.Query, f.o.Write = queryClient(f.endpoint, f.region), writeClient(f.endpoint, f.region, 1, 10)
	meter := &exportMeter{importMeter{out: os.Stderr, bar: isTerminal(os.Stderr)}}
	f.o.Notice, f.o.Progress = meter.notice, meter.progress
	result, err := exporter.Run(ctx, f.o)
	meter.clear()
	return f.conclude(os.Stdout, os.Stderr, result, err)
}

func (f *exportFlags) check() error {
	if f.table != "" {
		var ok bool
		if f.o.Database, f.o.Table, ok = strings.Cut(f.table, "."); !ok || f.o.Database == "" || f.o.Table == "" {
			return usagef("--table: want database.table, got %q", f.table)
		}
	}
	switch {
	case (f.table == "") == (f.o.SQL == ""):
		return usagef("either --table or --query says what to export")
	case f.NArg() != 1:
		return usagef("want one destination, a folder or s3://bucket/prefix")
	}
	f.o.To, f.o.Endpoint, f.o.PartitionBy = f.Arg(0), f.endpoint, list(f.partitions)
	var err error
	if f.o.From, err = parseMoment(f.from); err != nil {
		return usagef("--from: %v", err)
	}
	if f.o.Until, err = parseMoment(f.until); err != nil {
		return usagef("--until: %v", err)
	}
	if f.slice != "" {
		if f.o.Slice, err = time.ParseDuration(f.slice); err != nil || f.o.Slice <= 0 {
			return usagef("--slice: want a length of time such as 24h, got %q", f.slice)
		}
	}
	return nil
}

// parseMoment reads a time or a day in UTC; nothing is the zero time.
func parseMoment(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339Nano, "2006-01-02 15:04:05.999999999"} {
		if t, err := time.ParseInLocation(layout, text, time.UTC); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("want a time such as 2031-02-03 or 2031-02-03T04:05:06Z, got %q", text)
}

// objectStore is a client of the store that a server's UNLOAD writes to.
func objectStore(ctx context.Context, endpoint, store, region string) (*s3client.Client, error) {
	o := s3client.Options{Endpoint: store, Region: region}
	switch store {
	case "":
		o.Endpoint, o.Credentials = endpoint, keys()
	case server.AmazonS3:
		o.Endpoint = ""
	}
	return s3client.New(ctx, o)
}

func (f *exportFlags) conclude(out, notes io.Writer, r exporter.Result, err error) error {
	if err != nil {
		if r.Slices > 0 {
			return fmt.Errorf("%w (%s rows are done; the same command goes on from there)", plain(err), thousands(int(r.Rows)))
		}
		return plain(err)
	}
	fmt.Fprintf(out, "%s rows exported to %s: %d files, %s bytes, counts as in the manifests\n", thousands(int(r.Rows)), f.o.To, r.Files, thousands(int(r.Bytes)))
	if r.Expected >= 0 && r.Expected != r.Rows {
		fmt.Fprintf(notes, "note: there were %s rows when the export began; rows came or expired meanwhile\n", thousands(int(r.Expected)))
	}
	return nil
}

// exportMeter shows the progress of an export.
type exportMeter struct{ importMeter }

func (m *exportMeter) progress(p exporter.Progress) {
	text := fmt.Sprintf("slice %d of %d  %s rows", min(p.Done+1, p.Slices), p.Slices, thousands(int(p.Rows)))
	if p.BytesFetched > 0 {
		text += fmt.Sprintf("  %s fetched", byteText(p.BytesFetched))
	}
	m.draw(p.Took, p.Percent/100, text)
}

func byteText(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%d KiB", n>>10)
}
