// Package server opens every part of weir in order, joins them, and owns the
// listeners and the shutdown. It is the parts list of the product: reading [Start] from
// top to bottom tells what there is.
//
// Beside the AWS API its HTTP port serves /health (200 once requests are answered), /metrics
// (Prometheus), /console/ (the web console), /admin/backup (see [BackupPath]) and, where [Options.ClockControl] allows it, /admin/clock.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/weir-db/weir/internal/awsapi"
	"github.com/weir-db/weir/internal/awsapi/iamsts"
	"github.com/weir-db/weir/internal/awsapi/iot"
	"github.com/weir-db/weir/internal/awsapi/monitoring"
	"github.com/weir-db/weir/internal/awsapi/s3"
	"github.com/weir-db/weir/internal/awsapi/sns"
	"github.com/weir-db/weir/internal/awsapi/sqs"
	"github.com/weir-db/weir/internal/awsapi/timestream"
	"github.com/weir-db/weir/internal/awsapi/wire"
	"github.com/weir-db/weir/internal/batchload"
	"github.com/weir-db/weir/internal/catalog"
	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/http1"
	"github.com/weir-db/weir/internal/iam"
	"github.com/weir-db/weir/internal/ingest"
	"github.com/weir-db/weir/internal/iotrule"
	"github.com/weir-db/weir/internal/messaging"
	"github.com/weir-db/weir/internal/meta"
	"github.com/weir-db/weir/internal/mqtt"
	"github.com/weir-db/weir/internal/objstore"
	"github.com/weir-db/weir/internal/pgwire"
	"github.com/weir-db/weir/internal/query"
	"github.com/weir-db/weir/internal/registry"
	"github.com/weir-db/weir/internal/schedule"
	"github.com/weir-db/weir/internal/sql/exec/spill"
	"github.com/weir-db/weir/internal/sql/fn"
	"github.com/weir-db/weir/internal/storage/embedded"
	"github.com/weir-db/weir/internal/telemetry"
	"github.com/weir-db/weir/internal/unload"
	"github.com/weir-db/weir/internal/vfs"
)

// AuthMode says whose requests are taken.
type AuthMode string

const (
	// AuthAuto takes everybody while all doors listen on loopback addresses, and is
	// AuthIAM otherwise.
	AuthAuto AuthMode = "auto"
	// AuthOff takes everybody, whatever the keys, as the account's root.
	AuthOff AuthMode = "off"
	// AuthIAM verifies the signature of every request, and keys of MQTT clients.
	AuthIAM AuthMode = "iam"
)

// Options of a server. DataDir is required; an empty address turns its door off.
type Options struct {
	DataDir    string
	Listen     string // of the AWS API, host:port; ":0" picks a port
	MQTTListen string
	PGListen   string // of the Postgres door

	PGMaxConnections int // logged in; default 200

	Auth                                 AuthMode // default AuthAuto
	RootAccessKeyID, RootSecretAccessKey string
	Region                               string // default "us-east-1"
	AccountID                            string // default "000000000000"

	TLSCertFile, TLSKeyFile string // PEM; of all doors; both or none

	MemoryLimitBytes      int64 // of rows in memory; default 1 GiB
	CacheBytes            int64 // of blocks of segments that were read; default an eighth of MemoryLimitBytes
	QueryMemoryLimitBytes int64 // of one query; default 1 GiB
	QueriesMemoryBytes    int64 // of all queries together; default 2 GiB
	// Temporary files of queries that need more memory. SpillLimitBytes is for all of them together, default
	// 32 GiB, negative: no query writes any; QuerySpillLimitBytes for one query, default 16 GiB.
	SpillDir             string // default DataDir/tmp
	SpillLimitBytes      int64
	QuerySpillLimitBytes int64

	MaxBodyBytes int64  // of a request; default 4 MiB
	PublicHost   string // host[:port] that DescribeEndpoints tells; default: the one the caller used

	AllowDelete bool // DELETE FROM is a statement

	// MagneticStore is where segments go that the memory store's retention has outlived, "s3://bucket/prefix" in the store
	// of S3Endpoint or, without one, in Amazon's; empty: they stay in DataDir. MagneticCacheBytes is how much
	// disk what is read from there may take; default 1 GiB.
	MagneticStore      string
	MagneticCacheBytes int64

	// S3Endpoint is the URL of an S3-compatible store, or [AmazonS3], that UNLOAD, batch load and reports use in place
	// of the buckets in DataDir, with the credentials of AWS's usual variables and files; empty: those.
	S3Endpoint    string
	S3Region      string                  // default: the one of AWS's usual variables and files
	S3Credentials aws.CredentialsProvider // the same

	Limits Limits // zero fields: the service's quotas

	Clock        *clock.Clock // default: the machine's
	ClockControl bool         // serve /admin/clock
	NoConsole    bool         // do not serve the web console

	Log *slog.Logger // nil: discard
}

func (o Options) withDefaults() Options {
	set(&o.Auth, AuthAuto)
	set(&o.Region, "us-east-1")
	set(&o.AccountID, "000000000000")
	set(&o.MemoryLimitBytes, 1<<30)
	set(&o.QueryMemoryLimitBytes, 1<<30)
	set(&o.QueriesMemoryBytes, 2<<30)
	set(&o.SpillDir, filepath.Join(o.DataDir, spillFolder))
	set(&o.SpillLimitBytes, 32<<30)
	set(&o.QuerySpillLimitBytes, 16<<30)
	if o.Clock == nil {
		o.Clock = clock.New()
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

func set[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Server is a running server. See [Start].
type Server struct {
	opts    Options
	doors   map[string]net.Listener // by name: "aws", "mqtt", "pg"
	store   *embedded.Store
	meta    *meta.Store
	spill   *spill.Space // nil: no temporary files
	queries *query.Service
	broker  *mqtt.Broker
	pg      *pgwire.Server
	loads   *batchload.Service
	late    *lateReports
	backups *backups
	root    *rootOnly // nil where requests are not verified

	scheduled *schedule.Service
	messages  *messaging.Service
	http      *http1.Server
	serving   sync.WaitGroup
}

// Start opens the data folder and the listeners and begins to serve. When it returns,
// requests are answered. The context ends the start only; see [Server.Close].
func Start(ctx context.Context, o Options) (_ *Server, err error) {
	o = o.withDefaults()
	began := time.Now()
	s := &Server{opts: o, doors: map[string]net.Listener{}}
	defer func() {
		if err != nil {
			s.abandon()
		}
	}()
	// Addresses come first: a busy port should not cost a recovery.
	if err := s.listen(); err != nil {
		return nil, err
	}
	signed, err := s.signed()
	if err != nil {
		return nil, err
	}

	if err := refuseUnfinished(o.DataDir); err != nil {
		return nil, err
	}
	if _, err := vfs.Real(o.DataDir); err != nil { // makes it, durably
		return nil, fmt.Errorf("data folder: %w", err)
	}
	remote, err := openMagnetic(ctx, o)
	if err != nil {
		return nil, err
	}
	s.store, err = embedded.Open(ctx, embedded.Options{
		Remote: remote,
		Dir:    filepath.Join(o.DataDir, storeFolder), Clock: o.Clock, MemoryLimitBytes: o.MemoryLimitBytes, CacheBytes: o.CacheBytes, Log: o.Log.With("part", "store"),
	})
	if err != nil {
		return nil, err
	}
	if s.meta, err = meta.Open(filepath.Join(o.DataDir, documentsFile)); err != nil {
		return nil, err
	}
	buckets, err := openBuckets(o)
	if err != nil {
		return nil, err
	}
	if s.spill, err = openSpill(o); err != nil {
		return nil, err
	}
	files, err := openObjects(ctx, o, buckets)
	if err != nil {
		return nil, err
	}
	journal, err := unload.OpenJournal(s.meta.Bucket("unload"), files, o.Log.With("part", "query"))
	if err != nil {
		return nil, err
	}
	reg := telemetry.New(telemetry.Options{Now: o.Clock.Now})
	cat, err := catalog.Open(ctx, catalog.Options{
		Documents: s.meta.Bucket("catalog"), Backend: s.store, Clock: o.Clock, Region: o.Region, Account: o.AccountID,
		MaxDatabases: o.Limits.Databases, MaxTables: o.Limits.Tables,
	})
	if err != nil {
		return nil, err
	}
	principals, err := iam.Open(iam.Options{
		Store: s.meta, AccountID: o.AccountID, Now: o.Clock.Now,
		RootAccessKeyID: o.RootAccessKeyID, RootSecretAccessKey: o.RootSecretAccessKey,
	})
	if err != nil {
		return nil, err
	}
	counts, late := newCounts(reg), &schedule.Watch{}
	if remote != nil {
		counts.magneticStore(s.store.RemoteStatus)
	}
	counts.cached(s.store.CacheStats)
	counts.troubled(s.store.Trouble, s.store.Panics)
	observe := func(o *ingest.Observation) {
		counts.ingested(o)
		late.Observe(o)
	}
	s.late = newLateReports(files, o.Clock, reg, o.Log.With("part", "ingest"))
	records := ingest.New(ingest.Options{Catalog: cat, Limits: o.Limits.Ingest, Observe: observe, ReportLate: s.late.report, Log: o.Log.With("part", "ingest")})
	asked := askPolicies(signed, principals, o)
	s.queries = query.New(query.Options{
		Catalog: cat, Functions: fn.New(), Clock: o.Clock, Render: timestream.AppendRows, Objects: files, Journal: journal, SortUnloads: o.S3Endpoint != "", Limits: o.Limits.Query, Observe: counts.queried,
		Authorize: asked.tables, AuthorizeObject: asked.object, AllowDelete: o.AllowDelete,
		MemoryLimitBytes: o.QueryMemoryLimitBytes, TotalMemoryBytes: o.QueriesMemoryBytes, Spill: s.spill, Log: o.Log.With("part", "query"),
	})
	if s.pg, err = s.openPostgres(signed, principals, reg); err != nil {
		return nil, err
	}
	rules, err := iotrule.Open(iotrule.Options{
		Writer: records, Documents: s.meta.Bucket("iot.rule"), Clock: o.Clock,
		Region: o.Region, AccountID: o.AccountID, Authorize: asked.rule, Telemetry: reg, Log: o.Log.With("part", "rules"),
	})
	if err != nil {
		return nil, err
	}
	devices, err := registry.Open(registry.Options{
		Documents: s.meta.Bucket("iot.registry"), Now: o.Clock.Now, Region: o.Region, AccountID: o.AccountID, Judge: principals.AllowedBy,
	})
	if err != nil {
		return nil, err
	}
	s.broker, err = mqtt.New(mqtt.Options{
		// Its error means that the server could not store, and keeps the message from being
		// acknowledged; a rule's own trouble is no error there.
		OnMessage: rules.Publish, Documents: s.meta.Bucket("mqtt"), Authenticate: mqttAuth(signed, principals, devices), Authorize: asked.devices(devices, o.Region, o.AccountID), Telemetry: reg, Log: o.Log.With("part", "mqtt"),
	})
	if err != nil {
		return nil, err
	}
	rules.SetDeliver(s.broker.Deliver)
	devices.SetEnded(s.broker.DisconnectPrincipal)

	// Batch load and scheduled queries write larger requests than a client may.
	bulkLimits := o.Limits.Ingest
	bulkLimits.Records = max(2000, bulkLimits.Records)
	bulk := ingest.New(ingest.Options{Catalog: cat, Limits: bulkLimits, Observe: observe, ReportLate: s.late.report, Log: o.Log.With("part", "ingest")})
	s.messages, err = messaging.Open(messaging.Options{
		Documents: s.meta.Bucket("messaging"), Clock: o.Clock, Region: o.Region, AccountID: o.AccountID, URL: s.URL,
		MQTT: func(ctx context.Context, topic string, payload []byte) error {
			return s.broker.Publish(ctx, &iotrule.Message{Topic: topic, Payload: payload, QoS: 1})
		},
		Log: o.Log.With("part", "messages"),
	})
	if err != nil {
		return nil, err
	}
	s.scheduled, err = schedule.Open(schedule.Options{
		Catalog: cat, Queries: s.queries, Ingest: bulk, Documents: s.meta.Bucket("schedule"), Clock: o.Clock,
		Region: o.Region, AccountID: o.AccountID, AssumeRole: asked.scheduledRole, Authorize: asked.asRole, Reports: files, Notify: s.messages, Watch: late, MaxQueries: o.Limits.ScheduledQueries, Observe: counts.ran, Log: o.Log.With("part", "schedule"),
	})
	if err != nil {
		return nil, err
	}
	// After the scheduled queries, which watch what it writes.
	s.loads, err = batchload.Open(batchload.Options{
		Documents: s.meta.Bucket("batchload"), Objects: files, Writer: bulk, Catalog: cat, Clock: o.Clock,
		FilesPerTask: o.Limits.LoadFiles, FileBytes: o.Limits.LoadFileBytes, ActiveTasks: o.Limits.LoadTasks, TasksPerTable: o.Limits.LoadTasksPerTable, Log: o.Log.With("part", "batchload"),
	})
	if err != nil {
		return nil, err
	}

	services := []*wire.Service{
		timestream.New(timestream.Options{Catalog: cat, Ingest: records, Queries: s.queries, Loads: s.loads, Scheduled: s.scheduled, PublicHost: o.PublicHost}),
		sns.New(s.messages),
		sqs.New(s.messages, o.AccountID),
		monitoring.Service(reg),
		iamsts.IAM(iamsts.Options{Directory: principals, AccountID: o.AccountID, AnyAccount: !signed}),
		iamsts.STS(iamsts.Options{Directory: principals, AccountID: o.AccountID, AnyAccount: !signed}),
	}
	services = append(services, iot.New(iot.Options{Rules: rules, Broker: s.broker, Registry: devices, AccountID: o.AccountID})...)
	objects := s3.Options{
		Buckets: buckets, AccountID: o.AccountID, Region: o.Region, PublicHost: o.PublicHost, Authorize: asked.objects, Telemetry: reg, Log: o.Log.With("part", "s3"),
	}
	if signed {
		objects.Keys = principals
	}
	api, err := awsapi.New(awsapi.Options{
		Services: services, Objects: s3.New(objects), Auth: authenticator(signed, o.AccountID, principals), Authorize: asked.api(tagsOf(cat, s.scheduled)), Region: o.Region, AccountID: o.AccountID,
		MaxBodyBytes: o.MaxBodyBytes, AnyOrigin: signed, Telemetry: reg, Log: o.Log.With("part", "aws"),
	})
	if err != nil {
		return nil, err
	}
	if signed {
		s.root = &rootOnly{keys: principals}
	}
	s.backups = &backups{opts: o, root: s.root, catalog: cat, copyMeta: s.meta.Copy, store: s.store, buckets: buckets}
	s.serve(s.handler(api, reg))
	o.Log.Info("ready", "dur", time.Since(began).Round(time.Microsecond), "data", o.DataDir, "auth", authName(signed))
	return s, nil
}

// openBuckets opens the objects that clients, UNLOAD and reports put into the data folder.
func openBuckets(o Options) (*objstore.Buckets, error) {
	fsys, err := vfs.Real(filepath.Join(o.DataDir, objectsFolder))
	if err != nil {
		return nil, fmt.Errorf("objects: %w", err)
	}
	return objstore.OpenBuckets(fsys, o.Clock.Now)
}

// openSpill takes the folder of temporary files, which are gone with the process that wrote them. The store's
// lock is held by now, so that the default folder is nobody else's.
func openSpill(o Options) (*spill.Space, error) {
	if o.SpillLimitBytes < 0 {
		return nil, nil
	}
	fsys, err := vfs.Real(o.SpillDir)
	if err != nil {
		return nil, fmt.Errorf("folder for temporary files: %w", err)
	}
	space, err := spill.Open(fsys, spill.Options{
		LimitBytes: o.SpillLimitBytes, Setting: "--spill-limit", QueryBytes: o.QuerySpillLimitBytes, QuerySetting: "--query-spill-limit",
	})
	if err != nil {
		return nil, fmt.Errorf("folder for temporary files %s: %w", o.SpillDir, err)
	}
	return space, nil
}

func authName(signed bool) string {
	if signed {
		return "every request is verified"
	}
	return "any credentials act as the account's root"
}

// serve starts the doors and says where they are.
func (s *Server) serve(h http.Handler) {
	if ln := s.doors["aws"]; ln != nil {
		s.http = http1.New(&http.Server{
			Handler:           h,
			ReadHeaderTimeout: 10 * time.Second, // half-open connections end
			IdleTimeout:       5 * time.Minute,
			MaxHeaderBytes:    64 << 10,
			ErrorLog:          slog.NewLogLogger(s.opts.Log.Handler(), slog.LevelDebug),
		})
		s.serving.Go(func() {
			if err := s.http.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
				s.opts.Log.Error("the AWS door closed", "err", err)
			}
		})
	}
	if ln := s.doors["mqtt"]; ln != nil {
		s.serving.Go(func() {
			if err := s.broker.Serve(ln); err != nil {
				s.opts.Log.Error("the MQTT door closed", "err", err)
			}
		})
	}
	if ln := s.doors["pg"]; ln != nil {
		s.serving.Go(func() {
			if err := s.pg.Serve(ln); err != nil {
				s.opts.Log.Error("the Postgres door closed", "err", err)
			}
		})
	}
	for _, name := range []string{"aws", "mqtt", "pg"} {
		if ln := s.doors[name]; ln != nil {
			s.opts.Log.Info("listening", "door", name, "addr", ln.Addr().String(), "tls", s.opts.TLSCertFile != "")
		}
	}
}

// Addr returns the address of a door ("aws", "mqtt" or "pg") as host:port, or "" if it is off.
func (s *Server) Addr(door string) string {
	if ln := s.doors[door]; ln != nil {
		return ln.Addr().String()
	}
	return ""
}

// URL returns the endpoint of the AWS API.
func (s *Server) URL() string {
	scheme := "http://"
	if s.opts.TLSCertFile != "" {
		scheme = "https://"
	}
	return scheme + s.Addr("aws")
}

// Clock returns the clock that the server lives by.
func (s *Server) Clock() *clock.Clock { return s.opts.Clock }

// Settle blocks until no scheduled query is due or running at the clock's present time, or
// ctx is done.
func (s *Server) Settle(ctx context.Context) error { return s.scheduled.Settle(ctx) }

// Close drains and stops: no new connections, calls in flight end, what is in memory is written out. If ctx has
// a deadline, calls are cancelled after two thirds of the time, and what is not written out at its end stays in the store's log.
// Close returns once nothing runs.
func (s *Server) Close(ctx context.Context) error {
	draining := ctx
	if end, ok := ctx.Deadline(); ok {
		var stop context.CancelFunc
		draining, stop = context.WithDeadline(ctx, end.Add(-time.Until(end)/3))
		defer stop()
	}
	var errs []error
	drain := func(name string, f func(context.Context) error) {
		if err := f(draining); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			errs = append(errs, fmt.Errorf("close %s: %w", name, err))
		}
	}
	s.messages.Stop()   // long polls end
	s.scheduled.Close() // before the topics that its runs tell
	drain("mqtt", s.broker.Close)
	drain("pg", s.pg.Close)
	if s.http != nil {
		drain("aws", s.http.Shutdown)
		s.http.Close() // whoever is left after the deadline
	}
	s.backups.close()
	s.messages.Close()
	s.loads.Close()
	s.queries.Close()
	s.serving.Wait()
	s.late.close()
	if s.spill != nil {
		errs = append(errs, s.spill.Close())
	}
	errs = append(errs, s.store.Shutdown(ctx), s.meta.Close())
	return errors.Join(errs...)
}

// abandon gives back what a failed start took.
func (s *Server) abandon() {
	for _, ln := range s.doors {
		ln.Close()
	}
	if s.broker != nil {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		s.broker.Close(ctx)
	}
	if s.pg != nil {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		s.pg.Close(ctx)
	}
	if s.scheduled != nil {
		s.scheduled.Close()
	}
	if s.messages != nil {
		s.messages.Close()
	}
	if s.loads != nil {
		s.loads.Close()
	}
	if s.queries != nil {
		s.queries.Close()
	}
	if s.late != nil {
		s.late.close()
	}
	if s.spill != nil {
		s.spill.Close()
	}
	if s.store != nil {
		s.store.Close()
	}
	if s.meta != nil {
		s.meta.Close()
	}
}
