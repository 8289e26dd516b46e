package server

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/weir-db/weir/internal/archive"
	"github.com/weir-db/weir/internal/fault"
)

// The parts of a data folder.
const (
	documentsFile = "meta.db"
	storeFolder   = "store"
	objectsFolder = "objects"
	spillFolder   = "tmp" // not part of a backup

	// unfinishedFile is in a folder while a restore fills it. No server opens such a folder, so
	// removing the file, once all else is on disk and verified, is what makes the folder one.
	unfinishedFile = "restore.unfinished"
)

// refuseUnfinished refuses a folder that a restore has not completed.
func refuseUnfinished(dir string) error {
	_, err := os.Lstat(filepath.Join(dir, unfinishedFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	return fault.New(fault.Conflict, "A restore into %s has not finished; if none is running, delete the folder's content and restore again.", dir)
}

// Restore makes a data folder of an archive: dir must be empty, or it is made. Progress is told to w.
// The archive is checked as it is read and the folder as [CheckFolder] does. If anything
// is wrong, or ctx ends, what was written is removed again.
func Restore(ctx context.Context, w io.Writer, r io.Reader, dir string) (err error) {
	in, err := archive.NewReader(r)
	if err != nil {
		return err
	}
	defer in.Close()
	made, err := claimFolder(dir)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, clearFolder(dir, made))
		}
	}()
	info := in.Info()
	fmt.Fprintf(w, "backup of %s, region %s, account %s\n", info.Created.Format("2006-01-02 15:04:05 MST"), info.Region, info.Account)
	if err := unpack(ctx, in, dir); err != nil {
		return err
	}
	fmt.Fprintf(w, "unpacked %d files, %d bytes\n", in.Totals().Files, in.Totals().Bytes)
	stuck, err := checkFolder(ctx, w, dir, nil)
	if err != nil {
		return fmt.Errorf("the backup's content is damaged: %w", err)
	}
	for _, s := range stuck { // as it was where the backup is from
		fmt.Fprintln(w, s)
	}
	if err := syncTree(dir); err != nil { // the check has made files too
		return err
	}
	if err := os.Remove(filepath.Join(dir, unfinishedFile)); err != nil {
		return err
	}
	return syncFolder(dir)
}

// claimFolder makes an empty folder this restore's. made says that it was not there.
func claimFolder(dir string) (made bool, err error) {
	if err := refuseUnfinished(dir); err != nil {
		return false, err
	}
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return false, err
		}
		made = true
	case err != nil:
		return false, err
	case len(entries) > 0:
		return false, fault.New(fault.Conflict, "The folder %s is not empty (it has %s); a backup is restored into an empty or new one.", dir, entries[0].Name())
	}
	f, err := os.OpenFile(filepath.Join(dir, unfinishedFile), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return false, err
	}
	return made, errors.Join(f.Close(), syncFolder(dir), syncFolder(filepath.Dir(dir)))
}

// clearFolder removes what a failed restore wrote. The mark goes last.
func clearFolder(dir string, made bool) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() != unfinishedFile {
			err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
		}
	}
	if err == nil {
		err = os.Remove(filepath.Join(dir, unfinishedFile))
	}
	if err == nil && made {
		err = os.Remove(dir)
	}
	return err
}

// unpack writes the files of an archive durably, but for their names.
func unpack(ctx context.Context, in *archive.Reader, dir string) error {
	seen := map[string]bool{}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		f, err := in.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		part, _, _ := strings.Cut(f.Name, "/")
		seen[part] = true
		if f.Name != documentsFile && (part == f.Name || part != storeFolder && part != objectsFolder) {
			return fault.New(fault.Corrupt, "The backup has a file %q, which is no part of a data folder.", f.Name)
		}
		if err := unpackFile(ctx, in, filepath.Join(dir, filepath.FromSlash(f.Name)), f); err != nil {
			return fmt.Errorf("restore %s: %w", f.Name, err)
		}
	}
	if !seen[documentsFile] || !seen[storeFolder] {
		return fault.New(fault.Corrupt, "The backup has no documents or no store.")
	}
	return nil
}

func unpackFile(ctx context.Context, in io.Reader, name string, f archive.File) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	mode := fs.FileMode(0o644)
	if f.Name == documentsFile {
		mode = 0o600 // secrets
	}
	out, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	defer out.Close()
	buffered := bufio.NewWriterSize(out, 256<<10)
	if _, err := io.Copy(buffered, &contextReader{ctx, in}); err != nil {
		return err
	}
	if err := buffered.Flush(); err != nil {
		return err
	}
	// An object's attributes name its content by this time.
	if err := os.Chtimes(name, f.Modified, f.Modified); err != nil {
		return err
	}
	return errors.Join(out.Sync(), out.Close())
}

// contextReader ends with ctx.
type contextReader struct {
	ctx context.Context
	io.Reader
}

func (r *contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}

// syncTree makes the names in all folders below dir durable.
func syncTree(dir string) error {
	return filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		return syncFolder(name)
	})
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
