// Package unload writes the rows of a query to objects, as UNLOAD does: CSV or Parquet,
// split by partition columns and by size, with a metadata file and a manifest.
//
//	<prefix>/results/[<column>=<value>/…]<query id>_<uuid>.csv | .gz | .parquet
//	<prefix>/<query id>_<uuid>_metadata.json
//	<prefix>/<query id>_<uuid>_manifest.json
//
// The manifest is written last, once all that it lists is durable: where there is a manifest, there
// is a whole result. What fails or is cancelled removes what it wrote (AWS leaves it); what is killed has a [Journal]
// remove it.
//
// Rows are streamed. Memory is bounded by the number of open files, each with a compressor or a part on its way, and
// a budget for the row groups of all Parquet files together. A file is open per partition; where that may be
// many, rows come sorted by partition ([Job.Sorted]), and one is.
//
// A job belongs to one goroutine; jobs are independent of each other.
package unload

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/klauspost/compress/gzip"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/objstore"
	"github.com/weir-db/weir/internal/sql/plan"
	"github.com/weir-db/weir/internal/unloadfiles"
	"github.com/weir-db/weir/internal/vec"
)

// Columns are those of the one row that UNLOAD answers.
var Columns = []plan.OutputColumn{
	{Name: "rows", Type: vec.BigintType}, {Name: "metadataFile", Type: vec.VarcharType}, {Name: "manifestFile", Type: vec.VarcharType},
}

// rowGroupBytes and groupBudget bound what Parquet files hold in memory: one row group, and those of all
// files of a job. They are raw bytes, which take a few times as much in the writer.
const (
	rowGroupBytes = 16 << 20
	groupBudget   = 32 << 20
)

// Job is one UNLOAD.
type Job struct {
	objects Objects
	spec    *Spec
	queryID string
	columns []plan.OutputColumn // all; the partition columns are the last
	data    int                 // how many are not partition columns

	// Sorted says that the rows of a partition come one after the other, so that its file can be finished when the next
	// one begins.
	Sorted        bool
	MaxPartitions int      // 100 (Timestream quotas)
	Journal       *Journal // nil: what a killed job wrote stays

	files   map[string]*file // open, by partition
	bytes   int64            // raw, in open Parquet files
	result  []unloadfiles.ResultFile
	written []string        // keys of objects that are there
	parts   map[string]bool // partitions so far
	csv     csvWriter
	line    []byte
	key     []byte
}

// New checks that an UNLOAD can be done: that its columns fit the spec, its keys S3's limits, and that the bucket
// exists. Errors are of kind fault.Invalid.
func New(ctx context.Context, objects Objects, spec *Spec, queryID string, columns []plan.OutputColumn) (*Job, error) {
	if err := spec.check(columns); err != nil {
		return nil, err
	}
	if err := objects.CheckBucket(ctx, spec.Bucket); errors.Is(err, objstore.ErrNoBucket) {
		return nil, fault.New(fault.Invalid, "The S3 bucket %s of the UNLOAD destination does not exist.", spec.Bucket)
	} else if err != nil {
		return nil, err
	}
	j := &Job{
		objects: objects, spec: spec, queryID: queryID, columns: columns, data: len(columns) - len(spec.PartitionedBy),
		MaxPartitions: 100, files: map[string]*file{}, parts: map[string]bool{}, csv: csvWriter{delimiter: spec.Delimiter, escape: spec.Escape},
	}
	return j, j.checkKeys()
}

// checkKeys finds out before the query runs whether the keys will be too long.
func (j *Job) checkKeys() error {
	const refused = "UNLOAD result file key when using %s will exceed the S3 allowed key length. See documentation for more details."
	names, list := 0, strings.Join(j.spec.PartitionedBy, ",")
	for _, p := range j.spec.PartitionedBy {
		names += len(p) + len("=/")
	}
	_, metadata := unloadfiles.Names(j.name())
	rest := max(len("results/")+len(j.name())+len(j.suffix()), len(metadata))
	prefix := len(j.spec.Prefix) + 1
	switch {
	case prefix+rest > objstore.MaxKeyBytes:
		return fault.New(fault.Invalid, refused, "the S3 prefix ["+j.spec.Prefix+"] provided in the destination")
	case names+rest > objstore.MaxKeyBytes:
		return fault.New(fault.Invalid, refused, "partitioned_by ["+list+"]")
	case prefix+names+rest > objstore.MaxKeyBytes:
		return fault.New(fault.Invalid, refused, "the S3 prefix ["+j.spec.Prefix+"] along with the partitioned_by ["+list+"]")
	}
	return nil
}

// name begins the name of a new object.
func (j *Job) name() string {
	var u [16]byte
	rand.Read(u[:])
	u[6], u[8] = u[6]&0x0f|0x40, u[8]&0x3f|0x80 // RFC 9562, version 4
	return fmt.Sprintf("%s_%x-%x-%x-%x-%x", j.queryID, u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}

func (j *Job) suffix() string {
	switch {
	case j.spec.Format == Parquet:
		return ".parquet"
	case j.spec.Gzip:
		return ".gz"
	}
	return ".csv"
}

func (j *Job) path(name string) string {
	if j.spec.Prefix == "" {
		return name
	}
	return j.spec.Prefix + "/" + name
}

func (j *Job) uri(key string) string { return "s3://" + j.spec.Bucket + "/" + key }

// Run writes all rows that next gives, until it gives nil, and returns the row of [Columns]. It ends early
// when ctx is done. Errors are next's, or of kind fault.Execution for what goes wrong with the objects.
func (j *Job) Run(ctx context.Context, next func(context.Context) (*vec.Batch, error)) (*vec.Batch, error) {
	if j.Journal != nil {
		if err := j.Journal.begin(j.queryID, j.spec); err != nil {
			return nil, err
		}
	}
	row, err := j.run(ctx, next)
	left := error(nil)
	if err != nil {
		left = j.undo(context.WithoutCancel(ctx))
	}
	if j.Journal != nil && left == nil {
		left = j.Journal.end(j.queryID)
	}
	if left != nil && j.Journal != nil {
		j.Journal.log.Warn("UNLOAD: the next start removes what is left", "query", j.queryID, "err", left)
	}
	return row, err
}

func (j *Job) run(ctx context.Context, next func(context.Context) (*vec.Batch, error)) (*vec.Batch, error) {
	rows := int64(0)
	for {
		b, err := next(ctx)
		if err != nil {
			return nil, err
		}
		if b == nil {
			break
		}
		if err := j.write(ctx, b); err != nil {
			return nil, explain(err)
		}
		rows += int64(b.Len)
	}
	if err := j.finishAll(); err != nil {
		return nil, explain(err)
	}
	meta, manifest, err := j.describe(ctx)
	if err != nil {
		return nil, explain(err)
	}
	return &vec.Batch{Len: 1, Columns: []*vec.Vector{
		vec.OfInts(vec.BigintType, []int64{rows}, nil), vec.OfStrs([]string{j.uri(meta)}, nil), vec.OfStrs([]string{j.uri(manifest)}, nil),
	}}, nil
}

// explain gives an error without a kind the one of a query that fails while running.
func explain(err error) error {
	switch fault.KindOf(err) {
	case fault.Throttled:
		return fault.Wrap(fault.Execution, err, "We have detected that Amazon S3 is throttling the writes from UNLOAD command. See Amazon Timestream documentation for more information")
	case fault.Internal, fault.NotFound, fault.Conflict:
		if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
			return err
		}
		return fault.Wrap(fault.Execution, err, "UNLOAD could not write its result to S3.")
	}
	return err
}

// describe writes metadata and manifest.
func (j *Job) describe(ctx context.Context) (meta, manifest string, err error) {
	name := j.path(j.name())
	manifest, meta = unloadfiles.Names(name)
	doc, err := metadataOf(j.columns)
	if err == nil {
		err = j.put(ctx, meta, doc)
	}
	if err != nil {
		return "", "", err
	}
	if doc, err = manifestOf(j.spec.Format, j.result); err == nil {
		err = j.put(ctx, manifest, doc)
	}
	return meta, manifest, err
}

func (j *Job) put(ctx context.Context, key string, doc []byte) error {
	w, err := j.objects.Create(ctx, j.spec.Bucket, key, j.attributes("application/json"))
	if err != nil {
		return err
	}
	defer w.Abort()
	if _, err := w.Write(doc); err != nil {
		return err
	}
	if _, err = w.Commit(); err == nil {
		j.written = append(j.written, key)
	}
	return err
}

func (j *Job) attributes(contentType string) objstore.Attributes {
	a := objstore.Attributes{ContentType: contentType, Headers: map[string]string{"X-Amz-Server-Side-Encryption": "AES256"}}
	if j.spec.Encryption == "SSE_KMS" {
		a.Headers["X-Amz-Server-Side-Encryption"] = "aws:kms"
		if j.spec.KMSKey != "" {
			a.Headers["X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id"] = j.spec.KMSKey
		}
	}
	return a
}

// write takes one batch apart by partition.
func (j *Job) write(ctx context.Context, b *vec.Batch) error {
	if j.data == len(b.Columns) {
		all := make([]int32, b.Len)
		for i := range all {
			all[i] = int32(i)
		}
		return j.append(ctx, "", b.Columns, all)
	}
	rows := map[string][]int32{}
	var order []string
	for i := range b.Len {
		key, err := j.partition(b.Columns[j.data:], i)
		if err != nil {
			return err
		}
		if rows[string(key)] == nil {
			order = append(order, string(key))
		}
		rows[string(key)] = append(rows[string(key)], int32(i))
	}
	for _, key := range order {
		if err := j.append(ctx, key, b.Columns[:j.data], rows[key]); err != nil {
			return err
		}
	}
	return nil
}

// partition is the part of a key that row i's partition columns make; it is valid until the next call.
func (j *Job) partition(columns []*vec.Vector, i int) ([]byte, error) {
	j.key = j.key[:0]
	for k, c := range columns {
		j.key = appendEscaped(j.key, []byte(columnName(j.columns[j.data+k], j.data+k)))
		j.key = append(j.key, '=')
		if c.IsNull(i) {
			j.key = append(j.key, "__HIVE_DEFAULT_PARTITION__"...)
		} else {
			j.line = vec.AppendText(j.line[:0], c, i)
			for _, b := range j.line {
				if b >= 0x80 {
					return nil, fault.New(fault.Execution, "The value '%.128s' of the partitioned_by column '%s' is not ASCII.", j.line, j.spec.PartitionedBy[k])
				}
			}
			j.key = appendEscaped(j.key, j.line)
		}
		j.key = append(j.key, '/')
	}
	return j.key, nil
}

// appendEscaped escapes what has a meaning in paths of partitions, as Hive does; readers undo it.
func appendEscaped(dst, text []byte) []byte {
	for _, c := range text {
		if c < 0x20 || c == 0x7f || strings.IndexByte("\"#%'*/:=?\\{}[]^", c) >= 0 {
			dst = fmt.Appendf(dst, "%%%02X", c)
			continue
		}
		dst = append(dst, c)
	}
	return dst
}

// file is an open data file.
type file struct {
	object  Writer
	key     string
	rows    int64
	buf     *bufio.Writer  // CSV
	gzip    *gzip.Writer   // CSV, nil without compression
	parquet *parquetWriter // nil for CSV
}

// append writes rows to the file of a partition.
func (j *Job) append(ctx context.Context, partition string, columns []*vec.Vector, rows []int32) error {
	f := j.files[partition]
	if f == nil {
		var err error
		if j.Sorted {
			err = j.finishAll()
		}
		if err != nil {
			return err
		}
		if f, err = j.open(ctx, partition); err != nil {
			return err
		}
		j.files[partition] = f
	}
	if err := j.encode(f, columns, rows); err != nil {
		return err
	}
	f.rows += int64(len(rows))
	if f.object.SizeBytes() >= j.spec.MaxFileBytes {
		return j.finish(partition, f)
	}
	return nil
}

func (j *Job) open(ctx context.Context, partition string) (*file, error) {
	if j.parts[partition] = true; len(j.parts) > j.MaxPartitions {
		return nil, fault.New(fault.Execution, "UNLOAD exceeds the limit of %d partitions per query.", j.MaxPartitions)
	}
	f := &file{key: j.path("results/" + partition + j.name() + j.suffix())}
	if len(f.key) > objstore.MaxKeyBytes {
		return nil, fault.New(fault.Execution, "The generated S3 object key: %s is too long. See documentation for more details.", f.key)
	}
	contentType := "text/csv"
	switch j.suffix() {
	case ".gz":
		contentType = "application/gzip"
	case ".parquet":
		contentType = "application/vnd.apache.parquet"
	}
	var err error
	if f.object, err = j.objects.Create(ctx, j.spec.Bucket, f.key, j.attributes(contentType)); err != nil {
		return nil, err
	}
	if j.spec.Format == Parquet {
		f.buf = bufio.NewWriterSize(f.object, 64<<10)
		f.parquet = newParquetWriter(f.buf, j.columns[:j.data], j.spec.Gzip)
		return f, nil
	}
	out := io.Writer(f.object)
	if j.spec.Gzip {
		f.gzip = gzip.NewWriter(f.object)
		out = f.gzip
	}
	f.buf = bufio.NewWriterSize(out, 64<<10)
	if j.spec.Header {
		names := make([]string, j.data)
		for i := range names {
			names[i] = columnName(j.columns[i], i)
		}
		_, err = f.buf.Write(j.csv.appendHeader(nil, names))
	}
	return f, err
}

func (j *Job) encode(f *file, columns []*vec.Vector, rows []int32) error {
	if f.parquet == nil {
		for _, i := range rows {
			j.line = j.csv.appendRow(j.line[:0], columns, int(i))
			if _, err := f.buf.Write(j.line); err != nil {
				return err
			}
		}
		return nil
	}
	before := f.parquet.raw
	if err := f.parquet.write(columns, rows); err != nil {
		return err
	}
	j.bytes += f.parquet.raw - before
	if f.parquet.raw >= rowGroupBytes {
		if err := j.flush(f); err != nil {
			return err
		}
	}
	for j.bytes > groupBudget {
		largest := f
		for _, other := range j.files {
			if other.parquet.raw > largest.parquet.raw {
				largest = other
			}
		}
		if err := j.flush(largest); err != nil {
			return err
		}
	}
	return nil
}

func (j *Job) flush(f *file) error {
	j.bytes -= f.parquet.raw
	return f.parquet.flush()
}

// finishAll makes all open files durable.
func (j *Job) finishAll() error {
	for _, key := range slices.Sorted(maps.Keys(j.files)) {
		if err := j.finish(key, j.files[key]); err != nil {
			return err
		}
	}
	return nil
}

// finish makes a file durable and lists it.
func (j *Job) finish(partition string, f *file) error {
	delete(j.files, partition)
	defer f.object.Abort()
	if f.parquet != nil {
		j.bytes -= f.parquet.raw
		if err := f.parquet.Close(); err != nil {
			return err
		}
	}
	if err := f.buf.Flush(); err != nil {
		return err
	}
	if f.gzip != nil {
		if err := f.gzip.Close(); err != nil {
			return err
		}
	}
	info, err := f.object.Commit()
	if err != nil {
		return err
	}
	j.written = append(j.written, f.key)
	j.result = append(j.result, unloadfiles.ResultFile{URL: j.uri(f.key), Metadata: unloadfiles.FileMetadata{Bytes: info.SizeBytes, Rows: f.rows}})
	return nil
}

// undo removes all that was written.
func (j *Job) undo(ctx context.Context) error {
	for _, f := range j.files {
		f.object.Abort()
	}
	clear(j.files)
	var err error
	for _, key := range j.written {
		err = errors.Join(err, j.objects.Delete(ctx, j.spec.Bucket, key))
	}
	return err
}
