package server

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"path"
	"sync"
	"time"

	"github.com/weir-db/weir/internal/archive"
	"github.com/weir-db/weir/internal/catalog"
	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/objstore"
	"github.com/weir-db/weir/internal/storage/embedded"
)

// BackupPath takes a POST without a body and answers with an archive of the data folder.
const BackupPath = "/admin/backup"

// backups makes archives of the data folder, one at a time.
//
// An archive has secret keys in it. So where requests are verified only the account's root keys get
// one, whatever policies say, and elsewhere only callers on this machine; never a web page.
type backups struct {
	opts     Options
	root     *rootOnly // nil where requests are not verified
	catalog  *catalog.Catalog
	copyMeta func() ([]byte, error)
	store    *embedded.Store
	buckets  *objstore.Buckets

	running sync.Mutex // held while an archive is made, and once the server has closed
}

// ServeHTTP answers with an archive of everything that was acknowledged before the call. Once
// the answer has begun, an error is told at the archive's end, or cuts the connection.
func (b *backups) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := b.mayCall(r); err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	if r.ContentLength != 0 {
		http.Error(w, "want no body", http.StatusBadRequest)
		return
	}
	if !b.running.TryLock() {
		http.Error(w, "another backup is being made", http.StatusConflict)
		return
	}
	defer b.running.Unlock()
	began := time.Now()
	c, err := b.capture(r.Context())
	if err != nil {
		b.opts.Log.Error("backup not begun", "err", err)
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	defer c.store.Close()
	w.Header().Set("Content-Type", "application/zstd")
	w.Header().Set("Connection", "close") // the deadlines of stallWriter would outlive the answer
	totals, err := b.send(r.Context(), w, c, began)
	if err != nil {
		b.opts.Log.Error("backup not completed", "err", err, "dur", time.Since(began))
		return
	}
	b.opts.Log.Info("backup sent", "files", totals.Files, "bytes", totals.Bytes, "dur", time.Since(began))
}

// mayCall refuses whom the folder's secrets are not for.
func (b *backups) mayCall(r *http.Request) error {
	if r.Header.Get("Origin") != "" {
		return fault.New(fault.Denied, "A web page gets no backup.")
	}
	if b.root == nil {
		host, _, _ := net.SplitHostPort(r.RemoteAddr)
		if ip, err := netip.ParseAddr(host); err != nil || !ip.Unmap().IsLoopback() {
			return fault.New(fault.Denied, "This server does not verify requests, so it gives a backup only to callers on its own machine, by a loopback address.")
		}
		return nil
	}
	return b.root.check(r, nil, "make a backup, which holds everybody's secret keys")
}

// captured is the state of one moment.
type captured struct {
	documents []byte
	store     *embedded.Snapshot
}

// capture takes documents and store while the catalog makes no change, so that they agree on the
// tables. The documents come first: what they say was written (by a batch load, a scheduled
// query) is then in the log.
func (b *backups) capture(ctx context.Context) (c captured, err error) {
	err = b.catalog.Hold(ctx, func() error {
		if c.documents, err = b.copyMeta(); err != nil {
			return fmt.Errorf("copy the documents: %w", err)
		}
		c.store, err = b.store.Snapshot()
		return err
	})
	return c, err
}

// stallLimit is how long a client may take none of the archive.
const stallLimit = time.Minute

// stallWriter ends with an error when the client stalls, so that segments are not kept for ever.
type stallWriter struct {
	http.ResponseWriter
	control *http.ResponseController
}

func (w stallWriter) Write(p []byte) (int, error) {
	if err := w.control.SetWriteDeadline(time.Now().Add(stallLimit)); err != nil {
		return 0, err
	}
	return w.ResponseWriter.Write(p)
}

// send writes the archive. What ends it early is told to the reader, if there still is one.
func (b *backups) send(ctx context.Context, w http.ResponseWriter, c captured, began time.Time) (archive.Totals, error) {
	out := stallWriter{w, http.NewResponseController(w)}
	a, err := archive.NewWriter(out, archive.Info{Created: began.UTC(), Region: b.opts.Region, Account: b.opts.AccountID})
	if err != nil {
		panic(http.ErrAbortHandler) // an answer without error must not look like a whole one
	}
	err = b.fill(ctx, a, c, began)
	if err == nil {
		err = a.Finish()
	} else if a.Fail(err.Error()) != nil {
		b.opts.Log.Error("backup not completed", "err", err)
		panic(http.ErrAbortHandler)
	}
	return a.Totals(), err
}

func (b *backups) fill(ctx context.Context, a *archive.Writer, c captured, began time.Time) error {
	documents := archive.File{Name: documentsFile, SizeBytes: int64(len(c.documents)), Modified: began}
	if err := a.Add(documents, bytes.NewReader(c.documents)); err != nil {
		return err
	}
	err := c.store.Each(ctx, func(name string, size int64, content io.Reader) error {
		return a.Add(archive.File{Name: path.Join(storeFolder, name), SizeBytes: size, Modified: began}, content)
	})
	if err != nil {
		return err
	}
	return b.buckets.EachFile(ctx, func(f objstore.StoredFile) error {
		return a.Add(archive.File{Name: path.Join(objectsFolder, f.Name), SizeBytes: f.SizeBytes, Modified: f.Modified}, f.Content)
	})
}

// close waits for the backup that runs, if one does, and lets none begin.
func (b *backups) close() { b.running.Lock() }
