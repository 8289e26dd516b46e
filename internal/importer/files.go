package importer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/weir-db/weir/internal/objstore"
	"github.com/weir-db/weir/internal/objstore/s3client"
)

// file is a file of a tree.
type file struct {
	name     string // as given and found; of an object its URI
	size     int64
	modified int64 // ns since 1970
}

// tree is where files are: the disk, or buckets. A missing file is fs.ErrNotExist.
type tree interface {
	// find returns the file of that name, or, if it is a folder, all files below it, in order.
	find(name string) (found file, below []file, folder bool, err error)
	open(f file) (content, error)
	// rel is the slash-separated path of a file below a folder, join its reverse.
	rel(folder, name string) string
	join(folder, rel string) string
}

// content is an open file.
type content interface {
	io.Reader
	io.ReaderAt
	io.Closer
}

// treeOf returns where a path is. ctx ends what is read from there.
func (o *Options) treeOf(ctx context.Context, name string) (tree, error) {
	if !isObject(name) {
		return disk{}, nil
	}
	if o.Objects == nil {
		return nil, fmt.Errorf("%s: no object store is given", name)
	}
	return &bucket{ctx, o.Objects}, nil
}

func isObject(name string) bool { return strings.HasPrefix(name, "s3://") }

// identity names a source in the state, whatever the working folder.
func (s *source) identity() (string, error) {
	if s.window != nil || isObject(s.name) {
		return s.name, nil
	}
	return filepath.Abs(s.name)
}

// disk is the machine's file system.
type disk struct{}

func (disk) find(name string) (found file, below []file, folder bool, err error) {
	info, err := os.Stat(name)
	if err != nil {
		return file{}, nil, false, err
	}
	if !info.IsDir() {
		return fileOf(name, info), nil, false, nil
	}
	err = filepath.WalkDir(name, func(at string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := os.Stat(at) // follows links
		if err == nil && info.Mode().IsRegular() {
			below = append(below, fileOf(at, info))
		}
		return err
	})
	return file{}, below, true, err
}

func fileOf(name string, info fs.FileInfo) file {
	return file{name, info.Size(), info.ModTime().UnixNano()}
}

func (disk) open(f file) (content, error) {
	in, err := os.Open(f.name)
	if err != nil {
		return nil, err
	}
	return in, nil
}

func (disk) rel(folder, name string) string {
	rel, err := filepath.Rel(folder, name)
	if err != nil {
		return name
	}
	return filepath.ToSlash(rel)
}

func (disk) join(folder, rel string) string { return filepath.Join(folder, filepath.FromSlash(rel)) }

// bucket is the objects of an S3-compatible store, by URIs.
type bucket struct {
	ctx    context.Context // of the import
	client *s3client.Client
}

func (b *bucket) find(name string) (found file, below []file, folder bool, err error) {
	box, key := s3client.SplitURI(name)
	if key != "" && !strings.HasSuffix(key, "/") {
		info, err := b.client.Head(b.ctx, box, key)
		if err == nil {
			return objectFile(box, info), nil, false, nil
		}
		if !errors.Is(err, objstore.ErrNoKey) {
			return file{}, nil, false, err
		}
		key += "/"
	}
	err = b.client.Each(b.ctx, box, key, func(o objstore.ObjectInfo) error {
		if !strings.HasSuffix(o.Key, "/") { // what some tools put there for a folder
			below = append(below, objectFile(box, o))
		}
		return nil
	})
	if err == nil && len(below) == 0 {
		err = fmt.Errorf("%s: no object has a key that begins so: %w", name, fs.ErrNotExist)
	}
	return file{}, below, true, err
}

func objectFile(bucket string, o objstore.ObjectInfo) file {
	return file{"s3://" + bucket + "/" + o.Key, o.SizeBytes, o.Modified.UnixNano()}
}

func (b *bucket) open(f file) (content, error) {
	box, key := s3client.SplitURI(f.name)
	r := &blocks{size: f.size, at: func(p []byte, off int64) (int, error) { return b.client.ReadAt(b.ctx, box, key, p, off) }}
	return struct {
		io.Reader
		io.ReaderAt
		io.Closer
	}{io.NewSectionReader(r, 0, f.size), r, io.NopCloser(nil)}, nil
}

func (b *bucket) rel(folder, name string) string {
	return strings.TrimPrefix(strings.TrimPrefix(name, strings.TrimSuffix(folder, "/")), "/")
}

func (b *bucket) join(folder, rel string) string {
	box, key := s3client.SplitURI(folder)
	return "s3://" + box + "/" + path.Join(key, rel)
}

// Readers of Parquet jump between the columns of a row group; each goes forward.
const (
	blockBytes = 1 << 20
	maxBlocks  = 48
)

// blocks reads an object in blocks, the latest of which are kept. It belongs to one goroutine.
type blocks struct {
	at   func(p []byte, off int64) (int, error)
	size int64
	kept []block // latest used last
}

type block struct {
	number int64
	bytes  []byte
}

func (r *blocks) ReadAt(p []byte, off int64) (n int, err error) {
	for n < len(p) && off+int64(n) < r.size {
		b, err := r.block((off + int64(n)) / blockBytes)
		if err != nil {
			return n, err
		}
		n += copy(p[n:], b[(off+int64(n))%blockBytes:])
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (r *blocks) block(number int64) ([]byte, error) {
	if i := slices.IndexFunc(r.kept, func(b block) bool { return b.number == number }); i >= 0 {
		b := r.kept[i]
		r.kept = append(slices.Delete(r.kept, i, i+1), b)
		return b.bytes, nil
	}
	off := number * blockBytes
	p := make([]byte, min(blockBytes, r.size-off))
	if n, err := r.at(p, off); n < len(p) {
		if err == nil || err == io.EOF {
			err = errors.New("the object has become shorter")
		}
		return nil, err
	}
	if len(r.kept) == maxBlocks {
		r.kept = slices.Delete(r.kept, 0, 1)
	}
	r.kept = append(r.kept, block{number, p})
	return p, nil
}
