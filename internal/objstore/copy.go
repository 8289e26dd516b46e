package objstore

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/weir-db/weir/internal/vfs"
)

// StoredFile is a file of the buckets' folder, to be copied.
type StoredFile struct {
	Name      string    // below the folder
	SizeBytes int64     // of Content
	Modified  time.Time // must be kept, to the nanosecond: attributes name their content by it
	Content   io.Reader // valid during the call
}

// copyPage is how many objects are listed at a time.
const copyPage = 1000

// EachFile calls each for the files of every bucket and every object that is there from the
// call to its end, so that their copies are these buckets: every object is copied whole, with the
// attributes of that content. Objects that come, go or are replaced meanwhile may be copied as they
// were at any moment of the call. Unfinished writes and uploads are left out.
func (b *Buckets) EachFile(ctx context.Context, each func(StoredFile) error) error {
	buckets, err := b.Buckets()
	if err != nil {
		return err
	}
	for _, info := range buckets {
		if err := b.copyBucket(ctx, info, each); err != nil && !errors.Is(err, ErrNoBucket) {
			return err
		}
	}
	return nil
}

func (b *Buckets) copyBucket(ctx context.Context, info BucketInfo, each func(StoredFile) error) error {
	doc, err := json.Marshal(info)
	if err != nil {
		return err
	}
	if err := each(memoryFile(path.Join(info.Name, bucketFile), doc, info.Created)); err != nil {
		return err
	}
	var files openNames
	for after := ""; ; {
		page, err := b.List(ctx, info.Name, ListOptions{After: after, Limit: copyPage})
		if err != nil {
			return err
		}
		for _, o := range page.Objects {
			if err := ctx.Err(); err != nil {
				return err
			}
			if files.below(o.Key) {
				continue
			}
			name, err := b.copyObject(info.Name, o.Key, each)
			if err != nil && !errors.Is(err, ErrNoKey) {
				return err
			}
			if err == nil && !strings.HasSuffix(name, besideDir) {
				files.add(o.Key)
			}
		}
		if after = page.Next; after == "" {
			return nil
		}
	}
}

// copyObject shows an object's attributes and content and returns the content's name.
func (b *Buckets) copyObject(bucket, key string, each func(StoredFile) error) (string, error) {
	c, err := b.openToCopy(bucket, key)
	if err != nil {
		return "", err
	}
	defer c.content.Close()
	if c.attributes != nil {
		if err := each(memoryFile(c.attributesName, c.attributes, c.info.ModTime())); err != nil {
			return "", err
		}
	}
	size := c.info.Size()
	return c.name, each(StoredFile{c.name, size, c.info.ModTime(), io.NewSectionReader(c.content, 0, size)})
}

// toCopy is an object's files at one moment.
type toCopy struct {
	name, attributesName string
	info                 fs.FileInfo
	content              vfs.File
	attributes           []byte // nil: it has none
}

func memoryFile(name string, content []byte, modified time.Time) StoredFile {
	return StoredFile{name, int64(len(content)), modified, bytes.NewReader(content)}
}

// openToCopy opens an object's content, which stays what it is, and reads the attributes
// while no other content can take its place.
func (b *Buckets) openToCopy(bucket, key string) (*toCopy, error) {
	b.names.RLock()
	defer b.names.RUnlock()
	p := b.locate(bucket, key)
	name, info, err := b.find(p)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, noKey(key)
	}
	if err != nil {
		return nil, err
	}
	c := &toCopy{name: name, attributesName: p.meta(), info: info}
	if c.attributes, err = vfs.ReadFile(b.fs, p.meta()); err != nil && !notThere(err) {
		return nil, err
	}
	c.content, err = b.fs.Open(name)
	return c, err
}

// openNames is the keys, of those copied so far under their plain names, below which later keys
// can lie, in order. Keys come in order.
type openNames []string

func (n *openNames) add(key string) { *n = append(*n, key) }

// below reports whether key lies below a copied one, as a/b below a. The objects cannot have been
// there at one time under these names: this one came later, and both files cannot be in one copy.
func (n *openNames) below(key string) bool {
	kept := (*n)[:0]
	found := false
	for _, k := range *n {
		if key < k+"0" { // "0" follows the slash
			kept = append(kept, k)
			found = found || strings.HasPrefix(key, k+"/")
		}
	}
	*n = kept
	return found
}
