package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"regexp"
	"runtime/debug"
	"time"

	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/server"
)

const serveSummary = `
weir serve [flags]

Runs the server until SIGTERM or Ctrl-C, which drains and writes out what is in memory. Without flags
it keeps its data in ./weir-data and serves the AWS API on http://127.0.0.1:8470, MQTT on
127.0.0.1:1883 and psql and its like on 127.0.0.1:8471. An empty address ('') turns a door off, port 0 picks one; the log line "listening" says
which. GET /health answers 200 once requests are answered, /metrics is for Prometheus.

While all doors listen on loopback addresses, any credentials are taken. Elsewhere every request is
verified with the root keys in WEIR_ROOT_ACCESS_KEY_ID and WEIR_ROOT_SECRET_ACCESS_KEY and the keys that
IAM gave out; MQTT and Postgres clients then send an access key and its secret as user name and password.`

// serveFlags are the flags that make server.Options.
type serveFlags struct {
	*flagSet
	opts          server.Options
	auth          string
	memory        byteSize
	queryMemory   byteSize
	magneticCache byteSize
	spill         byteSize
	querySpill    byteSize
	cache         byteSize
	maxBody       byteSize
	clock         string
	limits        string
	logFormat     string
	console       bool
}

func newServeFlags(name, summary string) *serveFlags {
	f := &serveFlags{flagSet: newFlagSet(name, summary), memory: 4 << 30, queryMemory: 1 << 30, magneticCache: 1 << 30, spill: 32 << 30, querySpill: 16 << 30, maxBody: 4 << 20}
	o := &f.opts
	f.StringVar(&o.DataDir, "data", "./weir-data", "`folder` for everything the server keeps")
	f.StringVar(&o.Listen, "listen", "127.0.0.1:8470", "`address` of the AWS API")
	f.StringVar(&o.MQTTListen, "mqtt-listen", "127.0.0.1:1883", "`address` of the MQTT broker")
	f.StringVar(&o.PGListen, "pg-listen", "127.0.0.1:8471", "`address` of the Postgres door, for queries by psql and its like")
	f.IntVar(&o.PGMaxConnections, "pg-max-connections", 200, "`clients` that it serves at once")
	f.StringVar(&f.auth, "auth", "auto", "whose requests are taken: auto (anybody's while all doors are on loopback), iam (verified) or off (anybody's)")
	f.StringVar(&o.RootAccessKeyID, "root-access-key-id", "", "the account's root `key`; better given as WEIR_ROOT_ACCESS_KEY_ID")
	f.StringVar(&o.RootSecretAccessKey, "root-secret-access-key", "", "its `secret`; better given as WEIR_ROOT_SECRET_ACCESS_KEY")
	f.StringVar(&o.Region, "region", "us-east-1", "region `name` in ARNs")
	f.StringVar(&o.AccountID, "account-id", "000000000000", "twelve `digits` in ARNs")
	f.Var(&f.memory, "memory-limit", "memory that the server aims to stay within; rows beyond are written out early")
	f.Var(&f.cache, "cache-limit", "part of it for blocks of files that were read; 0: a 32nd")
	f.Var(&f.queryMemory, "query-memory-limit", "memory that one query's operators may hold; sorts, joins, groups and windows go on in temporary files")
	f.StringVar(&o.SpillDir, "spill-dir", "", "`folder` for temporary files of queries; default: tmp in the data folder")
	f.Var(&f.spill, "spill-limit", "temporary files of all queries together; 0: none, queries past their memory limit fail")
	f.Var(&f.querySpill, "query-spill-limit", "temporary files of one query")
	f.BoolVar(&o.AllowDelete, "allow-delete", false, "take DELETE FROM, which AWS does not have; without it it is a mistake in the query")
	f.StringVar(&o.MagneticStore, "magnetic-store", "", "`s3://bucket/prefix` that old data moves to, in the store of --s3-endpoint or else Amazon's; default: it stays in --data")
	f.Var(&f.magneticCache, "magnetic-cache", "disk for what was read from there")
	f.StringVar(&o.S3Endpoint, "s3-endpoint", "", "`URL` of an S3-compatible store, or aws for Amazon's, that UNLOAD, batch load and reports use instead of the buckets in --data; keys from AWS_ACCESS_KEY_ID and so on")
	f.StringVar(&o.S3Region, "s3-region", "", "its region `name`; by default AWS_REGION, else us-east-1")
	f.Var(&f.maxBody, "max-body", "largest request body")
	f.StringVar(&f.limits, "limits", "aws", "bounds of requests and results: aws (its quotas) or roomy, then `changes` such as aws,records=1000")
	f.StringVar(&o.PublicHost, "public-host", "", "`host[:port]` that DescribeEndpoints tells clients, behind a proxy")
	f.StringVar(&o.TLSCertFile, "tls-cert", "", "PEM `file` with the certificate for all doors; MQTT then takes certificates of devices (aws iot create-keys-and-certificate)")
	f.StringVar(&o.TLSKeyFile, "tls-key", "", "PEM `file` with its key")
	f.BoolVar(&f.console, "console", true, "serve the web console at /console/ of the AWS port")
	f.StringVar(&f.clock, "clock", "machine", "machine; controlled: the machine's time, until PUT /admin/clock changes it; or a `time` such as 2031-02-03T04:05:06Z: frozen there, and controlled")
	f.StringVar(&f.logFormat, "log-format", "text", "text or json, on standard error")
	f.withConfig()
	return f
}

// options reads args and returns the server's options.
func (f *serveFlags) options(args []string, log io.Writer) (server.Options, error) {
	if err := f.parse(args); err != nil {
		return server.Options{}, err
	}
	o := f.opts
	switch {
	case f.NArg() > 0:
		return o, usagef("%s takes no arguments, got %q", f.Name(), f.Arg(0))
	case o.PGMaxConnections < 1:
		return o, usagef("--pg-max-connections %d: want at least 1", o.PGMaxConnections)
	case o.Listen == "" && o.MQTTListen == "":
		return o, usagef("--listen and --mqtt-listen are both empty: nobody could reach the server")
	}
	if !accountID.MatchString(o.AccountID) {
		return o, usagef("--account-id %s: want twelve digits", o.AccountID)
	}
	if !regionName.MatchString(o.Region) {
		return o, usagef("--region %s: want a name such as us-east-1", o.Region)
	}
	switch o.Auth = server.AuthMode(f.auth); o.Auth {
	case server.AuthAuto, server.AuthIAM, server.AuthOff:
	default:
		return o, usagef("--auth %s: want auto, iam or off", f.auth)
	}
	if o.S3Endpoint != "" && o.S3Endpoint != server.AmazonS3 && !webURL(o.S3Endpoint) {
		return o, usagef("--s3-endpoint %s: want a URL such as http://127.0.0.1:9000, or aws", o.S3Endpoint)
	}
	var err error
	if o.MagneticStore != "" {
		if _, _, err := server.ParseMagneticStore(o.MagneticStore); err != nil {
			return o, usagef("--magnetic-store: %v", err)
		}
	}
	o.MagneticCacheBytes = int64(f.magneticCache)
	if o.Limits, err = server.ParseLimits(f.limits); err != nil {
		return o, usagef("--limits: %v", err)
	}
	switch f.clock {
	case "machine":
	case "controlled":
		o.ClockControl = true
	default:
		at, err := time.Parse(time.RFC3339Nano, f.clock)
		if err != nil {
			return o, usagef("--clock %s: want machine, controlled or a time such as 2031-02-03T04:05:06Z", f.clock)
		}
		o.Clock, o.ClockControl = clock.Manual(at), true
	}
	switch f.logFormat {
	case "text":
		o.Log = slog.New(slog.NewTextHandler(log, nil))
	case "json":
		o.Log = slog.New(slog.NewJSONHandler(log, nil))
	default:
		return o, usagef("--log-format %s: want text or json", f.logFormat)
	}
	// The limit is for the process: a quarter may be rows that wait to be flushed, half of it what
	// queries keep, the rest is for series and the collector's headroom.
	o.MemoryLimitBytes = int64(f.memory) / 4
	o.CacheBytes = int64(f.cache)
	if f.cache == 0 {
		o.CacheBytes = int64(f.memory) / 32
	}
	o.QueriesMemoryBytes = int64(f.memory) / 2
	o.QueryMemoryLimitBytes = int64(f.queryMemory)
	o.SpillLimitBytes, o.QuerySpillLimitBytes = int64(f.spill), int64(f.querySpill)
	if f.spill == 0 || f.querySpill == 0 {
		o.SpillLimitBytes = -1
	}
	o.MaxBodyBytes = int64(f.maxBody)
	o.NoConsole = !f.console
	debug.SetMemoryLimit(int64(f.memory))
	leastHeap(int64(f.memory) / 64)
	return o, nil
}

func webURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

// Both end up in ARNs, between colons.
var (
	accountID  = regexp.MustCompile(`^[0-9]{12}$`)
	regionName = regexp.MustCompile(`^[a-z0-9-]+$`)
)

func runServe(ctx context.Context, args []string) error {
	o, err := newServeFlags("serve", serveSummary).options(args, os.Stderr)
	if err != nil {
		return err
	}
	s, err := server.Start(ctx, o)
	if err != nil {
		return err
	}
	<-ctx.Done()
	o.Log.Info("draining")
	return closeWithin(s, 8*time.Second, time.Second, o.Log)
}

// closeWithin closes the server: calls that do not end in d are cancelled. What then takes
// longer than grace is abandoned, with a line in the log: a supervisor would kill the process, and
// every acknowledged record is in the store's log.
func closeWithin(s interface{ Close(context.Context) error }, d, grace time.Duration, log *slog.Logger) error {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	closed := make(chan error, 1)
	go func() { closed <- s.Close(ctx) }()
	select {
	case err := <-closed:
		if err != nil {
			return fmt.Errorf("shutdown: %w", err)
		}
	case <-time.After(d + grace):
		log.Error("shutdown abandoned: a call or a flush does not end", "dur", d+grace)
	}
	return nil
}
