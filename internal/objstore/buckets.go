package objstore

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"hash/maphash"
	"io"
	"io/fs"
	"path"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/vfs"
)

// Buckets is named buckets of objects with attributes, as S3 has them, in a folder:
//
//	<bucket>/<key>          an object's content, as it is; see names
//	<bucket>/…/.<name>.meta its attributes, JSON
//	<bucket>/.bucket        the bucket's, JSON
//	.tmp/                   what is being written; emptied by OpenBuckets
//	.uploads/<id>/          multipart uploads
//
// An object appears whole or not at all, under its key with its attributes; after
// Commit returned it survives a crash. The attributes are written before the content is renamed, and name
// the content they belong to by size and time of modification; the last version's stay beside them, so
// that either content has its own. Files that somebody put there by hand are objects too.
//
// On a file system that does not tell upper from lower case, keys that differ
// in nothing else are one object.
//
// Buckets is safe for concurrent use.
type Buckets struct {
	fs  vfs.FS
	now func() time.Time

	seed    maphash.Seed
	stripes [64]sync.Mutex // one is held while an object of its keys is replaced or deleted; before names
	names   sync.RWMutex   // held while files and folders change their places, never while data is written

	tmp atomic.Uint64 // names of files in .tmp
}

// BucketInfo describes a bucket.
type BucketInfo struct {
	Name    string    `json:"-"`
	Region  string    `json:"region,omitempty"`
	Created time.Time `json:"created"`
}

// Attributes are what a writer says about an object.
type Attributes struct {
	ContentType string            `json:"contentType,omitempty"`
	Headers     map[string]string `json:"headers,omitempty"`   // Content-Encoding and its like, by canonical name
	User        map[string]string `json:"user,omitempty"`      // x-amz-meta-…, by what follows, lower case
	Checksums   map[string]string `json:"checksums,omitempty"` // base64 by lower-case algorithm
}

// ObjectInfo describes an object.
type ObjectInfo struct {
	Key       string    `json:"-"`
	SizeBytes int64     `json:"size"`
	ETag      string    `json:"etag"` // without quotes: MD5 in hex; with "-n" behind for an upload of n parts
	Modified  time.Time `json:"modified"`
	Attributes

	FileTimeNs int64 `json:"fileTime"` // of the content's file: tells which content this describes
}

// OpenBuckets opens the buckets in a folder of fsys (the folder itself is the root of fsys).
// now is the clock of Modified and Created; nil means time.Now.
func OpenBuckets(fsys vfs.FS, now func() time.Time) (*Buckets, error) {
	if now == nil {
		now = time.Now
	}
	b := &Buckets{fs: fsys, now: now, seed: maphash.MakeSeed()}
	for _, dir := range []string{tmpDir, uploadsDir} {
		if err := fsys.MkdirAll(dir); err != nil {
			return nil, err
		}
	}
	left, err := fsys.List(tmpDir)
	if err != nil {
		return nil, err
	}
	for _, n := range left {
		err = errors.Join(err, fsys.Remove(path.Join(tmpDir, n)))
	}
	return b, errors.Join(err, fsys.SyncDir("."))
}

const (
	tmpDir     = ".tmp"
	uploadsDir = ".uploads"
	bucketFile = ".bucket"
)

var bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

// ValidBucketName reports whether a bucket may have that name (S3 user guide, "Bucket naming rules").
func ValidBucketName(name string) bool {
	return bucketName.MatchString(name) && !strings.Contains(name, "..")
}

func noBucket(name string) error {
	return fault.Wrap(fault.NotFound, ErrNoBucket, "The specified bucket does not exist: %s", name)
}

// What the kinds of errors do not tell apart; use errors.Is.
var (
	ErrNoBucket  = errors.New("no such bucket")
	ErrNoKey     = errors.New("no such key")
	ErrNotEmpty  = errors.New("bucket not empty")
	ErrNoUpload  = errors.New("no such upload")
	ErrPart      = errors.New("invalid part")
	ErrPartOrder = errors.New("invalid part order")
	ErrPartSize  = errors.New("part too small")
)

// CreateBucket makes a bucket. The error is of kind Conflict if there is one of that name.
func (b *Buckets) CreateBucket(name, region string) error {
	if !ValidBucketName(name) {
		return fault.New(fault.Invalid, "The specified bucket is not valid: %.128s", name)
	}
	b.names.Lock()
	defer b.names.Unlock()
	if _, err := b.fs.Stat(name); err == nil {
		return fault.New(fault.Conflict, "The bucket %s exists already.", name)
	}
	doc, err := json.Marshal(BucketInfo{Region: region, Created: b.now().UTC()})
	if err != nil {
		return err
	}
	if err := b.fs.MkdirAll(name); err != nil {
		return err
	}
	if err := b.writeFile(path.Join(name, bucketFile), doc); err != nil {
		return err
	}
	return b.fs.SyncDir(".")
}

// DeleteBucket removes an empty bucket: errors are ErrNoBucket and ErrNotEmpty.
func (b *Buckets) DeleteBucket(ctx context.Context, name string) error {
	if _, err := b.Bucket(name); err != nil {
		return err
	}
	// What commits waits for the lock, so an empty bucket stays empty.
	b.names.Lock()
	defer b.names.Unlock()
	l, err := b.List(ctx, name, ListOptions{Limit: 1})
	if err != nil {
		return err
	}
	if len(l.Objects) > 0 {
		return fault.Wrap(fault.Conflict, ErrNotEmpty, "The bucket you tried to delete is not empty")
	}
	if err := b.sweep(name); err != nil {
		return err
	}
	return b.fs.SyncDir(".")
}

// sweep removes a folder without objects, and what crashes left in it.
func (b *Buckets) sweep(dir string) error {
	list, err := b.fs.List(dir)
	if err != nil {
		return err
	}
	for _, n := range list {
		name := path.Join(dir, n)
		info, err := b.fs.Stat(name)
		switch {
		case err != nil:
			return err
		case info.IsDir():
			err = b.sweep(name)
		case strings.HasPrefix(n, "."):
			err = b.fs.Remove(name)
		default:
			err = fault.Wrap(fault.Conflict, ErrNotEmpty, "The bucket holds the file %s, which is no object.", name)
		}
		if err != nil {
			return err
		}
	}
	return b.fs.Remove(dir)
}

// Bucket describes a bucket; the error is ErrNoBucket.
func (b *Buckets) Bucket(name string) (BucketInfo, error) {
	if !ValidBucketName(name) {
		return BucketInfo{}, noBucket(name)
	}
	info, err := b.fs.Stat(name)
	if err != nil && !notThere(err) {
		return BucketInfo{}, err
	}
	if err != nil || !info.IsDir() {
		return BucketInfo{}, noBucket(name)
	}
	out := BucketInfo{Created: info.ModTime().UTC()}
	if doc, err := vfs.ReadFile(b.fs, path.Join(name, bucketFile)); err == nil {
		_ = json.Unmarshal(doc, &out) // a folder made by hand is a bucket too
	}
	out.Name = name
	return out, nil
}

// Buckets lists the buckets by name.
func (b *Buckets) Buckets() ([]BucketInfo, error) {
	names, err := b.fs.List(".")
	if err != nil {
		return nil, err
	}
	var out []BucketInfo
	for _, n := range names {
		if info, err := b.Bucket(n); err == nil {
			out = append(out, info)
		} else if !errors.Is(err, ErrNoBucket) {
			return nil, err
		}
	}
	return out, nil
}

// notThere reports whether err says that a file, or a folder above it, does not exist.
func notThere(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// Writer writes one object. It is used by one goroutine, and ends with Commit or Abort.
type Writer struct {
	Attributes // may be changed until Commit

	// Condition, if set, decides at Commit whether the object may take the place of old; ok is
	// false if there is none. Nothing else changes the key meanwhile.
	Condition func(old ObjectInfo, ok bool) error

	b           *Buckets
	ctx         context.Context
	bucket, key string
	tmp         string
	file        vfs.File
	md5         hash.Hash
	size        int64
	etag        string // overrides the MD5
	done        bool
}

// Create begins an object. Nothing is seen of it before Commit; ctx ends its writes.
func (b *Buckets) Create(ctx context.Context, bucket, key string, a Attributes) (*Writer, error) {
	if _, err := b.Bucket(bucket); err != nil {
		return nil, err
	}
	if !validKey(key) {
		return nil, fault.New(fault.Invalid, "%.256q is not a key of an object.", key)
	}
	w := &Writer{Attributes: a, b: b, ctx: ctx, bucket: bucket, key: key, md5: md5.New()}
	w.tmp = b.tmpName()
	var err error
	w.file, err = b.fs.Create(w.tmp)
	return w, err
}

func (b *Buckets) tmpName() string {
	return path.Join(tmpDir, fmt.Sprintf("%d", b.tmp.Add(1)))
}

// Write appends to the object.
func (w *Writer) Write(p []byte) (int, error) {
	if err := context.Cause(w.ctx); err != nil {
		return 0, err
	}
	n, err := w.file.WriteAt(p, w.size)
	w.size += int64(n)
	w.md5.Write(p[:n])
	return n, err
}

// SizeBytes returns how much was written.
func (w *Writer) SizeBytes() int64 { return w.size }

// MD5 returns the MD5 of what was written.
func (w *Writer) MD5() []byte { return w.md5.Sum(nil) }

// Abort drops the object. After Commit it does nothing, so it can be deferred.
func (w *Writer) Abort() {
	if w.done {
		return
	}
	w.done = true
	w.file.Close()
	w.b.fs.Remove(w.tmp)
}

// Commit makes the object durable and visible, in place of one of that key.
func (w *Writer) Commit() (ObjectInfo, error) {
	if w.done {
		return ObjectInfo{}, errors.New("bug: Commit of a closed writer")
	}
	defer w.Abort()
	if err := context.Cause(w.ctx); err != nil {
		return ObjectInfo{}, err
	}
	if err := w.file.Sync(); err != nil {
		return ObjectInfo{}, err
	}
	stat, err := w.b.fs.Stat(w.tmp)
	if err != nil {
		return ObjectInfo{}, err
	}
	info := ObjectInfo{
		Key: w.key, SizeBytes: w.size, ETag: w.etag, Modified: w.b.now().UTC(), Attributes: w.Attributes,
		FileTimeNs: stat.ModTime().UnixNano(),
	}
	if info.ETag == "" {
		info.ETag = hex.EncodeToString(w.MD5())
	}
	if err := w.b.place(w.bucket, w.tmp, info, w.Condition); err != nil {
		return ObjectInfo{}, fmt.Errorf("store object %s/%s: %w", w.bucket, w.key, err)
	}
	w.done = true
	return info, w.file.Close()
}

func (b *Buckets) stripe(bucket, key string) *sync.Mutex {
	h := maphash.String(b.seed, bucket+"/"+key)
	return &b.stripes[h%uint64(len(b.stripes))]
}

// place moves a finished file to its key, its attributes first.
func (b *Buckets) place(bucket, tmp string, info ObjectInfo, condition func(ObjectInfo, bool) error) error {
	mu := b.stripe(bucket, info.Key)
	mu.Lock()
	defer mu.Unlock()
	file := b.locate(bucket, info.Key)
	versions := []ObjectInfo{info}
	old, ok := b.stored(file)
	if ok {
		versions = append(versions, old)
	}
	if condition != nil {
		if err := condition(old, ok); err != nil {
			return err
		}
	}
	doc, err := json.Marshal(versions)
	if err != nil {
		return err
	}
	meta := b.tmpName()
	if err := b.writeFile(meta, doc); err != nil {
		b.fs.Remove(meta)
		return err
	}
	made, err := b.move(&file, bucket, meta, tmp)
	if err != nil {
		b.fs.Remove(meta)
		return err
	}
	// From the folder up to where the new ones hang.
	for i, dir := 0, file.dir; i <= made; i, dir = i+1, path.Dir(dir) {
		if err := b.fs.SyncDir(dir); err != nil && !notThere(err) {
			return err
		}
	}
	return nil
}

// move brings content and attributes to their places and returns how many folders it made.
func (b *Buckets) move(file *place, bucket, meta, tmp string) (made int, err error) {
	b.names.Lock()
	defer b.names.Unlock()
	if _, err := b.Bucket(bucket); err != nil {
		return 0, err
	}
	if made, err = b.makeFolders(bucket, file.dir); err != nil {
		return made, err
	}
	if err := b.fs.Rename(meta, file.meta()); err != nil {
		return made, err
	}
	return made, b.fs.Rename(tmp, b.target(*file))
}

// makeFolders makes the folders of an object; a file in the way steps aside.
func (b *Buckets) makeFolders(bucket, dir string) (made int, err error) {
	at := bucket
	rest := strings.TrimPrefix(strings.TrimPrefix(dir, bucket), "/")
	if rest == "" {
		return 0, nil
	}
	for name := range strings.SplitSeq(rest, "/") {
		at = path.Join(at, name)
		info, err := b.fs.Stat(at)
		switch {
		case err == nil && info.IsDir():
			continue
		case err == nil:
			if err := b.fs.Rename(at, at+besideDir); err != nil {
				return made, err
			}
		case !notThere(err):
			return made, err
		}
		if err := b.fs.MkdirAll(at); err != nil {
			return made, err
		}
		made++
	}
	return made, nil
}

// place is where an object is stored.
type place struct{ dir, name string }

func (p place) plain() string  { return path.Join(p.dir, p.name) }
func (p place) beside() string { return path.Join(p.dir, p.name) + besideDir }
func (p place) meta() string   { return path.Join(p.dir, "."+p.name+".meta") }

func (b *Buckets) locate(bucket, key string) place {
	n := names(key)
	return place{path.Join(append([]string{bucket}, n[:len(n)-1]...)...), n[len(n)-1]}
}

// target is the file that a new version of an object replaces.
func (b *Buckets) target(p place) string {
	if info, err := b.fs.Stat(p.beside()); err == nil && !info.IsDir() {
		return p.beside()
	}
	if info, err := b.fs.Stat(p.plain()); err == nil && info.IsDir() {
		return p.beside()
	}
	return p.plain()
}

// find returns the file of an object.
func (b *Buckets) find(p place) (string, fs.FileInfo, error) {
	for _, name := range []string{p.plain(), p.beside()} {
		info, err := b.fs.Stat(name)
		if err == nil && !info.IsDir() {
			return name, info, nil
		}
		if err != nil && !notThere(err) {
			return "", nil, err
		}
	}
	return "", nil, fs.ErrNotExist
}

// stored returns what is known of the object at a place; ok is false if there is none.
func (b *Buckets) stored(p place) (info ObjectInfo, ok bool) {
	_, stat, err := b.find(p)
	if err != nil {
		return info, false
	}
	return b.describe(p, stat), true
}

// describe finds the attributes that belong to a file's content.
func (b *Buckets) describe(p place, stat fs.FileInfo) ObjectInfo {
	var versions []ObjectInfo
	if doc, err := vfs.ReadFile(b.fs, p.meta()); err == nil {
		_ = json.Unmarshal(doc, &versions) // what cannot be read describes nothing
	}
	at := stat.ModTime().UnixNano()
	for _, v := range versions {
		if v.SizeBytes == stat.Size() && v.FileTimeNs == at {
			return v
		}
	}
	// Put there by hand. Its MD5 would cost a whole read; a tag with a dash is none.
	sum := md5.Sum(fmt.Appendf(nil, "%d %d", stat.Size(), at))
	return ObjectInfo{SizeBytes: stat.Size(), ETag: hex.EncodeToString(sum[:]) + "-1", Modified: stat.ModTime().UTC(), FileTimeNs: at}
}

func noKey(key string) error {
	return fault.Wrap(fault.NotFound, ErrNoKey, "The specified key does not exist: %s", key)
}

// Stat describes an object; the error is ErrNoBucket or ErrNoKey.
func (b *Buckets) Stat(bucket, key string) (ObjectInfo, error) {
	if _, err := b.Bucket(bucket); err != nil {
		return ObjectInfo{}, err
	}
	if !validKey(key) {
		return ObjectInfo{}, noKey(key)
	}
	b.names.RLock()
	defer b.names.RUnlock()
	info, ok := b.stored(b.locate(bucket, key))
	if !ok {
		return ObjectInfo{}, noKey(key)
	}
	info.Key = key
	return info, nil
}

// Open opens an object for reading; the errors are Stat's. The content stays what it is
// while the object is open, whatever becomes of its key.
func (b *Buckets) Open(bucket, key string) (Object, ObjectInfo, error) {
	if _, err := b.Bucket(bucket); err != nil {
		return nil, ObjectInfo{}, err
	}
	if !validKey(key) {
		return nil, ObjectInfo{}, noKey(key)
	}
	b.names.RLock()
	defer b.names.RUnlock()
	p := b.locate(bucket, key)
	name, stat, err := b.find(p)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ObjectInfo{}, noKey(key)
	}
	if err != nil {
		return nil, ObjectInfo{}, err
	}
	f, err := b.fs.Open(name)
	if err != nil {
		return nil, ObjectInfo{}, err
	}
	info := b.describe(p, stat)
	info.Key = key
	return &object{f, info.SizeBytes}, info, nil
}

// Read returns the content of an object of at most limit bytes. A longer one is an error of kind Invalid.
func (b *Buckets) Read(bucket, key string, limit int64) ([]byte, error) {
	o, info, err := b.Open(bucket, key)
	if err != nil {
		return nil, err
	}
	defer o.Close()
	if info.SizeBytes > limit {
		return nil, fault.New(fault.Invalid, "The object %s/%s has %d bytes, more than %d.", bucket, key, info.SizeBytes, limit)
	}
	return io.ReadAll(io.NewSectionReader(o, 0, info.SizeBytes))
}

// Put stores what r gives, up to its end, as an object.
func (b *Buckets) Put(ctx context.Context, bucket, key string, r io.Reader, a Attributes) (ObjectInfo, error) {
	w, err := b.Create(ctx, bucket, key, a)
	if err != nil {
		return ObjectInfo{}, err
	}
	defer w.Abort()
	if _, err := io.CopyBuffer(onlyWriter{w}, onlyReader{r}, make([]byte, 256<<10)); err != nil {
		return ObjectInfo{}, err
	}
	return w.Commit()
}

type onlyWriter struct{ io.Writer }

// Delete removes an object; removing what is not there is not an error, but for the bucket.
func (b *Buckets) Delete(bucket, key string) error {
	if _, err := b.Bucket(bucket); err != nil {
		return err
	}
	if !validKey(key) {
		return nil
	}
	mu := b.stripe(bucket, key)
	mu.Lock()
	defer mu.Unlock()
	dir, err := b.remove(b.locate(bucket, key), bucket)
	if err != nil || dir == "" {
		return err
	}
	return b.fs.SyncDir(dir)
}

// remove deletes an object's files and the folders it leaves empty, and returns the lowest folder that
// is left, or "" if there was no object.
func (b *Buckets) remove(p place, bucket string) (string, error) {
	b.names.Lock()
	defer b.names.Unlock()
	name, _, err := b.find(p)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	if err := b.fs.Remove(name); err != nil {
		return "", err
	}
	if err := b.fs.Remove(p.meta()); err != nil && !notThere(err) {
		return "", err
	}
	dir := p.dir
	for dir != bucket && b.fs.Remove(dir) == nil {
		dir = path.Dir(dir)
	}
	return dir, nil
}

// writeFile writes a small file durably, but for its name.
func (b *Buckets) writeFile(name string, content []byte) error {
	f, err := b.fs.Create(name)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(content, 0)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil && !strings.HasPrefix(name, tmpDir) {
		err = b.fs.SyncDir(path.Dir(name))
	}
	return err
}
