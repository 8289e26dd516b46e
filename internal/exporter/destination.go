package exporter

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/weir-db/weir/internal/objstore"
	"github.com/weir-db/weir/internal/objstore/s3client"
	"github.com/weir-db/weir/internal/unloadfiles"
)

// destination is where an export goes: a folder or a bucket.
type destination interface {
	// bucket returns the name of the bucket that the server is to write to, "" for the destination itself; prepare makes it,
	// if it is not there.
	bucket(name string) string
	prepare(ctx context.Context, bucket string) error
	// uri is where the server writes a slice to.
	uri(bucket, path string) string
	// take brings what the server wrote to its place and checks it.
	take(ctx context.Context, r *run, s *slice) error
	// reset removes what an earlier attempt at a slice brought; tidy what is needed no longer once the slice is done.
	reset(s *slice) error
	tidy(ctx context.Context, r *run, s *slice) error
	// finish removes what is needed no longer.
	finish(ctx context.Context, r *run) error

	// empty returns an error if there is something.
	empty(ctx context.Context) error
	// clear removes an earlier export.
	clear(ctx context.Context, r *run, old *state) error
	// read returns a small file; fs.ErrNotExist if there is none.
	read(ctx context.Context, name string) ([]byte, error)
	// write makes a small file durable, in place of an older one.
	write(ctx context.Context, name string, content []byte) error
}

func destinationOf(o Options) destination {
	if rest, ok := strings.CutPrefix(o.To, "s3://"); ok {
		bucket, prefix, _ := strings.Cut(rest, "/")
		return &inBucket{o.Objects, bucket, strings.Trim(prefix, "/")}
	}
	return &inFolder{o.Objects, o.To}
}

// parseManifest reads the manifest of a slice and compares its counts with the answer.
func parseManifest(text []byte, s *slice) (*unloadfiles.Manifest, error) {
	m := new(unloadfiles.Manifest)
	if err := json.Unmarshal(text, m); err != nil {
		return nil, fmt.Errorf("%s: %w", s.Manifest, err)
	}
	if err := m.Check(); err != nil {
		return nil, fmt.Errorf("%s: %w", s.Manifest, err)
	}
	if m.QueryMetadata.Rows != s.Rows {
		return nil, fmt.Errorf("the answer tells %d rows, the manifest %d", s.Rows, m.QueryMetadata.Rows)
	}
	s.Bytes, s.Files = 0, len(m.ResultFiles)
	for _, f := range m.ResultFiles {
		s.Bytes += f.Metadata.Bytes
	}
	return m, nil
}

func readObject(ctx context.Context, c *s3client.Client, uri string) ([]byte, error) {
	bucket, key := s3client.SplitURI(uri)
	in, err := c.Open(ctx, bucket, key, 0)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	return io.ReadAll(in)
}

// removeBelow deletes the objects whose keys begin with prefix.
func removeBelow(ctx context.Context, c *s3client.Client, bucket, prefix string) error {
	var keys []string
	err := c.Each(ctx, bucket, prefix, func(o objstore.ObjectInfo) error {
		keys = append(keys, o.Key)
		return nil
	})
	if errors.Is(err, objstore.ErrNoBucket) {
		return nil
	}
	for _, k := range keys {
		err = errors.Join(err, c.Delete(ctx, bucket, k))
	}
	return err
}

// inBucket is an export that stays where the server writes it.
type inBucket struct {
	client      *s3client.Client
	box, prefix string
}

func (d *inBucket) key(name string) string { return path.Join(d.prefix, name) }

func (d *inBucket) bucket(string) string { return "" }

func (d *inBucket) prepare(ctx context.Context, _ string) error {
	return d.client.HeadBucket(ctx, d.box)
}

func (d *inBucket) uri(_, name string) string { return "s3://" + d.box + "/" + d.key(name) }

func (d *inBucket) take(ctx context.Context, r *run, s *slice) error {
	text, err := readObject(ctx, d.client, s.Manifest)
	if err != nil {
		return err
	}
	m, err := parseManifest(text, s)
	if err != nil {
		return err
	}
	for _, f := range m.ResultFiles {
		bucket, key := s3client.SplitURI(f.URL)
		info, err := d.client.Head(ctx, bucket, key)
		if err == nil && info.SizeBytes != f.Metadata.Bytes {
			err = fmt.Errorf("%s has %d bytes, the manifest says %d", f.URL, info.SizeBytes, f.Metadata.Bytes)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (d *inBucket) reset(*slice) error { return nil }

// tidy removes what earlier attempts left.
func (d *inBucket) tidy(ctx context.Context, _ *run, s *slice) error {
	for old := *s; old.Attempt > 1; {
		old.Attempt--
		if err := removeBelow(ctx, d.client, d.box, d.key(old.path())+"/"); err != nil {
			return err
		}
	}
	return nil
}

func (d *inBucket) finish(context.Context, *run) error { return nil }

func (d *inBucket) empty(ctx context.Context) error {
	below := d.prefix
	if below != "" {
		below += "/"
	}
	err := d.client.Each(ctx, d.box, below, func(o objstore.ObjectInfo) error {
		return fmt.Errorf("s3://%s/%s is there: the destination must be empty", d.box, o.Key)
	})
	return err
}

func (d *inBucket) clear(ctx context.Context, _ *run, old *state) error {
	for _, s := range old.Slices {
		for at := s; at.Attempt > 0; at.Attempt-- {
			if err := removeBelow(ctx, d.client, d.box, d.key(at.path())+"/"); err != nil {
				return err
			}
		}
	}
	return d.client.Delete(ctx, d.box, d.key(StateFile))
}

func (d *inBucket) read(ctx context.Context, name string) ([]byte, error) {
	text, err := readObject(ctx, d.client, d.uri("", name))
	if errors.Is(err, objstore.ErrNoKey) {
		return nil, fs.ErrNotExist
	}
	return text, err
}

func (d *inBucket) write(ctx context.Context, name string, content []byte) error {
	_, err := d.client.Put(ctx, d.box, d.key(name), bytes.NewReader(content), objstore.Attributes{ContentType: "application/json"})
	return err
}

// inFolder is an export that is fetched from a bucket of its own.
type inFolder struct {
	client *s3client.Client
	dir    string
}

func (d *inFolder) bucket(name string) string { return "weir-export-" + strings.ToLower(name) }

func (d *inFolder) prepare(ctx context.Context, bucket string) error {
	if err := d.client.HeadBucket(ctx, bucket); !errors.Is(err, objstore.ErrNoBucket) {
		return err
	}
	return d.client.CreateBucket(ctx, bucket)
}

func (d *inFolder) uri(bucket, name string) string { return "s3://" + bucket + "/" + name }

// take fetches a slice: its files, the metadata, and last the manifest.
func (d *inFolder) take(ctx context.Context, r *run, s *slice) error {
	local := filepath.Join(d.dir, s.Name)
	end := filepath.Join(local, path.Base(s.Manifest))
	if text, err := os.ReadFile(end); err == nil { // it was whole before
		_, err = parseManifest(text, s)
		return err
	}
	text, err := readObject(ctx, d.client, s.Manifest)
	if err != nil {
		return err
	}
	m, err := parseManifest(text, s)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(local, 0o755); err != nil {
		return err
	}
	for _, f := range m.ResultFiles {
		if err := d.fetch(ctx, r, s, f.URL, f.Metadata.Bytes); err != nil {
			return err
		}
		r.progress(s, 100)
	}
	meta := unloadfiles.MetadataOf(s.Manifest)
	if err := d.fetch(ctx, r, s, meta, -1); err != nil {
		return err
	}
	return replaceFile(end, text)
}

func (d *inFolder) reset(s *slice) error { return os.RemoveAll(filepath.Join(d.dir, s.Name)) }

func (d *inFolder) tidy(ctx context.Context, r *run, s *slice) error {
	return removeBelow(ctx, d.client, r.state.Bucket, s.Name)
}

// fetching ends the names of files that are not whole yet.
const fetching = ".part"

// fetch copies an object into the folder of its slice, unless that was done; size is -1 if it is not known.
func (d *inFolder) fetch(ctx context.Context, r *run, s *slice, uri string, size int64) error {
	bucket, key := s3client.SplitURI(uri)
	rel := strings.TrimPrefix(key, s.path()+"/")
	name := filepath.Join(d.dir, s.Name, filepath.FromSlash(rel))
	if !filepath.IsLocal(filepath.FromSlash(rel)) {
		return fmt.Errorf("%s is not below the slice", uri)
	}
	if info, err := os.Stat(name); err == nil && info.Size() == size {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	in, err := d.client.Open(ctx, bucket, key, 0)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(name + fetching)
	if err != nil {
		return err
	}
	n, err := io.CopyBuffer(struct{ io.Writer }{out}, struct{ io.Reader }{in}, make([]byte, 1<<20))
	r.bytes += n
	if err = errors.Join(err, out.Sync(), out.Close()); err != nil {
		return err
	}
	if size >= 0 && n != size {
		return fmt.Errorf("%s has %d bytes, the manifest says %d", uri, n, size)
	}
	return os.Rename(name+fetching, name)
}

func (d *inFolder) finish(ctx context.Context, r *run) error {
	if r.state.Bucket == "" {
		return nil
	}
	if err := removeBelow(ctx, d.client, r.state.Bucket, ""); err != nil {
		return err
	}
	// A run that was killed right here has removed it.
	if err := d.client.DeleteBucket(ctx, r.state.Bucket); !errors.Is(err, objstore.ErrNoBucket) {
		return err
	}
	return nil
}

func (d *inFolder) empty(context.Context) error {
	list, err := os.ReadDir(d.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range list {
		if e.Name() != StateFile+fetching { // of a run that was killed at its very beginning
			return fmt.Errorf("%s is not empty: the destination must be", d.dir)
		}
	}
	return err
}

func (d *inFolder) clear(ctx context.Context, r *run, old *state) error {
	if old.Bucket != "" {
		if err := d.finish(ctx, &run{o: r.o, state: old}); err != nil {
			return err
		}
	}
	for _, s := range old.Slices {
		if err := os.RemoveAll(filepath.Join(d.dir, s.Name)); err != nil {
			return err
		}
	}
	return os.Remove(filepath.Join(d.dir, StateFile))
}

func (d *inFolder) read(_ context.Context, name string) ([]byte, error) {
	return os.ReadFile(filepath.Join(d.dir, name))
}

func (d *inFolder) write(_ context.Context, name string, content []byte) error {
	if err := os.MkdirAll(d.dir, 0o755); err != nil {
		return err
	}
	return replaceFile(filepath.Join(d.dir, name), content)
}

// replaceFile writes a file as a whole; a crash leaves the old or the new one.
func replaceFile(name string, content []byte) error {
	f, err := os.Create(name + fetching)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(name+fetching, name)
}
