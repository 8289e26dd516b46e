package objstore

import (
	"cmp"
	"context"
	"crypto/md5"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/vfs"
)

// Upload is a multipart upload: an object that arrives in parts, which may come in any
// order, more than once and before and after a restart. It takes room until it is completed or aborted.
type Upload struct {
	ID         string     `json:"-"`
	Bucket     string     `json:"bucket"`
	Key        string     `json:"key"`
	Initiated  time.Time  `json:"initiated"`
	Attributes Attributes `json:"attributes"`
}

// Part is a part of an upload.
type Part struct {
	Number    int    // 1 to MaxParts
	ETag      string // MD5 in hex
	SizeBytes int64
	Modified  time.Time

	file string
}

// Limits of uploads (S3 user guide, "Amazon S3 multipart upload limits").
const (
	MaxParts    = 10_000
	MinPartSize = 5 << 20 // of all parts but the last
)

const uploadFile = "upload.json"

// CreateUpload begins a multipart upload.
func (b *Buckets) CreateUpload(bucket, key string, a Attributes) (Upload, error) {
	if _, err := b.Bucket(bucket); err != nil {
		return Upload{}, err
	}
	if !validKey(key) {
		return Upload{}, fault.New(fault.Invalid, "%.256q is not a key of an object.", key)
	}
	var id [16]byte
	rand.Read(id[:])
	u := Upload{ID: hex.EncodeToString(id[:]), Bucket: bucket, Key: key, Initiated: b.now().UTC(), Attributes: a}
	doc, err := json.Marshal(u)
	if err != nil {
		return Upload{}, err
	}
	dir := path.Join(uploadsDir, u.ID)
	if err := b.fs.MkdirAll(dir); err != nil {
		return Upload{}, err
	}
	if err := b.writeFile(path.Join(dir, uploadFile), doc); err != nil {
		return Upload{}, err
	}
	return u, b.fs.SyncDir(uploadsDir)
}

func noUpload() error {
	return fault.Wrap(fault.NotFound, ErrNoUpload, "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed.")
}

// Upload finds an upload of an object; the error is ErrNoUpload.
func (b *Buckets) Upload(bucket, key, id string) (Upload, error) {
	u, err := b.upload(id)
	if err == nil && (u.Bucket != bucket || u.Key != key) {
		err = noUpload()
	}
	return u, err
}

func (b *Buckets) upload(id string) (Upload, error) {
	if raw, err := hex.DecodeString(id); err != nil || len(raw) != 16 {
		return Upload{}, noUpload()
	}
	doc, err := vfs.ReadFile(b.fs, path.Join(uploadsDir, id, uploadFile))
	if notThere(err) {
		return Upload{}, noUpload()
	}
	u := Upload{ID: id}
	if err == nil {
		err = json.Unmarshal(doc, &u)
	}
	return u, err
}

// Uploads lists a bucket's unfinished uploads by key and age.
func (b *Buckets) Uploads(bucket string) ([]Upload, error) {
	if _, err := b.Bucket(bucket); err != nil {
		return nil, err
	}
	ids, err := b.fs.List(uploadsDir)
	if err != nil {
		return nil, err
	}
	var out []Upload
	for _, id := range ids {
		u, err := b.upload(id)
		if errors.Is(err, ErrNoUpload) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if u.Bucket == bucket {
			out = append(out, u)
		}
	}
	slices.SortFunc(out, func(a, b Upload) int {
		return cmp.Or(strings.Compare(a.Key, b.Key), a.Initiated.Compare(b.Initiated), strings.Compare(a.ID, b.ID))
	})
	return out, nil
}

// CreatePart begins a part of an upload; use [PartWriter.Commit] to keep it.
func (b *Buckets) CreatePart(ctx context.Context, u Upload, number int) (*PartWriter, error) {
	if number < 1 || number > MaxParts {
		return nil, fault.New(fault.Invalid, "Part number must be an integer between 1 and %d, inclusive", MaxParts)
	}
	w := &Writer{b: b, ctx: ctx, bucket: u.Bucket, key: u.Key, md5: md5.New(), tmp: b.tmpName()}
	var err error
	w.file, err = b.fs.Create(w.tmp)
	return &PartWriter{Writer: w, upload: u, number: number}, err
}

// PartWriter writes one part.
type PartWriter struct {
	*Writer
	upload Upload
	number int
}

// Commit makes the part durable, in place of one of that number. The part's MD5 is in the name of
// its file.
func (w *PartWriter) Commit() (Part, error) {
	defer w.Abort()
	if err := w.file.Sync(); err != nil {
		return Part{}, err
	}
	b, dir := w.b, path.Join(uploadsDir, w.upload.ID)
	etag := hex.EncodeToString(w.MD5())
	file := fmt.Sprintf("%05d-%s", w.number, etag)
	mu := b.stripe(w.upload.ID, strconv.Itoa(w.number))
	mu.Lock()
	defer mu.Unlock()
	old, err := b.fs.List(dir)
	if notThere(err) {
		return Part{}, noUpload()
	}
	if err != nil {
		return Part{}, err
	}
	if err := b.fs.Rename(w.tmp, path.Join(dir, file)); err != nil {
		if notThere(err) {
			return Part{}, noUpload()
		}
		return Part{}, err
	}
	w.done = true
	err = w.file.Close()
	for _, n := range old {
		if n != file && strings.HasPrefix(n, file[:6]) {
			err = errors.Join(err, b.fs.Remove(path.Join(dir, n)))
		}
	}
	return Part{Number: w.number, ETag: etag, SizeBytes: w.size}, errors.Join(err, b.fs.SyncDir(dir))
}

// Parts lists the parts that are there, by number.
func (b *Buckets) Parts(u Upload) ([]Part, error) {
	dir := path.Join(uploadsDir, u.ID)
	list, err := b.fs.List(dir)
	if notThere(err) {
		return nil, noUpload()
	}
	if err != nil {
		return nil, err
	}
	var out []Part
	for _, n := range list {
		digits, etag, ok := strings.Cut(n, "-")
		number, err := strconv.Atoi(digits)
		if !ok || err != nil {
			continue
		}
		stat, err := b.fs.Stat(path.Join(dir, n))
		if errors.Is(err, fs.ErrNotExist) {
			continue // replaced meanwhile
		}
		if err != nil {
			return nil, err
		}
		out = append(out, Part{Number: number, ETag: etag, SizeBytes: stat.Size(), Modified: stat.ModTime().UTC(), file: path.Join(dir, n)})
	}
	return out, nil
}

// CompleteUpload makes the object of the named parts (Number and ETag count), in that order, and ends the upload.
// The condition is that of [Writer], or nil. Errors: ErrPartOrder, ErrPart, ErrPartSize, of kind Invalid.
func (b *Buckets) CompleteUpload(ctx context.Context, u Upload, named []Part, condition func(ObjectInfo, bool) error) (ObjectInfo, error) {
	have, err := b.Parts(u)
	if err != nil {
		return ObjectInfo{}, err
	}
	chosen, err := choose(have, named)
	if err != nil {
		return ObjectInfo{}, err
	}
	w, err := b.Create(ctx, u.Bucket, u.Key, u.Attributes)
	if err != nil {
		return ObjectInfo{}, err
	}
	defer w.Abort()
	w.Condition = condition
	sums := md5.New()
	buf := make([]byte, 256<<10)
	for _, p := range chosen {
		sum, err := hex.DecodeString(p.ETag)
		if err != nil {
			return ObjectInfo{}, err
		}
		sums.Write(sum)
		if err := b.appendPart(w, p, buf); err != nil {
			return ObjectInfo{}, err
		}
	}
	w.etag = fmt.Sprintf("%x-%d", sums.Sum(nil), len(chosen))
	info, err := w.Commit()
	if err != nil {
		return info, err
	}
	return info, b.AbortUpload(u)
}

func (b *Buckets) appendPart(w *Writer, p Part, buf []byte) error {
	f, err := b.fs.Open(p.file)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.CopyBuffer(onlyWriter{w}, onlyReader{io.NewSectionReader(f, 0, p.SizeBytes)}, buf)
	return err
}

func choose(have, named []Part) ([]Part, error) {
	if len(named) == 0 {
		return nil, fault.Wrap(fault.Invalid, ErrPart, "You must specify at least one part")
	}
	if !slices.IsSortedFunc(named, func(a, b Part) int { return cmp.Or(cmp.Compare(a.Number, b.Number), -1) }) {
		return nil, fault.Wrap(fault.Invalid, ErrPartOrder, "The list of parts was not in ascending order. Parts must be ordered by part number.")
	}
	var out []Part
	for i, n := range named {
		at := slices.IndexFunc(have, func(p Part) bool { return p.Number == n.Number && p.ETag == n.ETag })
		if at < 0 {
			return nil, fault.Wrap(fault.Invalid, ErrPart, "One or more of the specified parts could not be found. The part may not have been uploaded, or the specified entity tag may not match the part's entity tag.")
		}
		if i < len(named)-1 && have[at].SizeBytes < MinPartSize {
			return nil, fault.Wrap(fault.Invalid, ErrPartSize, "Your proposed upload is smaller than the minimum allowed size")
		}
		out = append(out, have[at])
	}
	return out, nil
}

// AbortUpload removes an upload and its parts.
func (b *Buckets) AbortUpload(u Upload) error {
	dir := path.Join(uploadsDir, u.ID)
	list, err := b.fs.List(dir)
	if notThere(err) {
		return nil
	}
	if err != nil {
		return err
	}
	// The description goes first: what a crash leaves is then no upload any more.
	for _, n := range append([]string{uploadFile}, list...) {
		if e := b.fs.Remove(path.Join(dir, n)); !notThere(e) {
			err = errors.Join(err, e)
		}
	}
	return errors.Join(err, b.fs.Remove(dir), b.fs.SyncDir(uploadsDir))
}
