package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/weir-db/weir/internal/archive"
	"github.com/weir-db/weir/internal/server"
)

const backupSummary = `
weir backup [--endpoint URL] --to FILE

Writes a consistent backup of a running server's data folder to a new file, or to standard output with
--to -. Every record that the server acknowledged before the call is in it, and databases, tables, rules,
users, roles and the objects of buckets; writes go on meanwhile. What arrives is verified on the way: the file
gets its name, and the exit status is 0, only when it is whole. weir restore makes a data folder of it.

  weir backup --to monday.weir
  weir backup --to - | ssh elsewhere 'cat > monday.weir'

The file holds secret keys: keep it private. A server that verifies requests wants the account's root keys in
AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; one that does not gives backups to callers on its own machine only.`

func runBackup(ctx context.Context, args []string) error {
	f := newFlagSet("backup", backupSummary)
	endpoint := f.String("endpoint", defaultEndpoint(), "`URL` of the server")
	region := f.String("region", "us-east-1", "region `name` to sign for")
	to := f.String("to", "", "`file` to write, which must not exist; - for standard output")
	if err := f.parse(args); err != nil {
		return err
	}
	switch {
	case f.NArg() > 0:
		return usagef("weir backup takes no arguments, got %q; the file is given with --to", f.Arg(0))
	case *to == "":
		return usagef("weir backup wants --to FILE")
	}
	save := func(body io.Reader) (archive.Totals, error) { return saveBackup(ctx, body, *to) }
	if *to == "-" {
		save = func(body io.Reader) (archive.Totals, error) {
			return verifyBackup(ctx, io.TeeReader(body, os.Stdout), os.Stderr)
		}
	} else if _, err := os.Lstat(*to); err == nil {
		return fmt.Errorf("%s exists already", *to)
	}
	body, err := requestBackup(ctx, *endpoint, *region)
	if err != nil {
		return err
	}
	defer body.Close()
	totals, err := save(body)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "backup is whole: %d files, %d bytes\n", totals.Files, totals.Bytes)
	return nil
}

// requestBackup asks the server for an archive.
func requestBackup(ctx context.Context, endpoint, region string) (io.ReadCloser, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(endpoint, "/")+server.BackupPath, nil)
	if err != nil {
		return nil, usagef("--endpoint: %v", err)
	}
	who, err := keys().Retrieve(ctx)
	if err != nil {
		return nil, err
	}
	empty := sha256.Sum256(nil)
	if err := v4.NewSigner().SignHTTP(ctx, who, r, hex.EncodeToString(empty[:]), server.AdminService, region, time.Now()); err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		why, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
		return nil, fmt.Errorf("the server gives no backup: %s: %s", resp.Status, oneLine(string(why)))
	}
	if t := resp.Header.Get("Content-Type"); t != "application/zstd" {
		resp.Body.Close()
		return nil, fmt.Errorf("%s does not answer as a weir server: content type %q", endpoint, t)
	}
	return resp.Body, nil
}

// saveBackup writes a backup to a file that gets its name when it is whole and on disk.
func saveBackup(ctx context.Context, body io.Reader, name string) (archive.Totals, error) {
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*.part") // readable by the owner only
	if err != nil {
		return archive.Totals{}, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	totals, err := verifyBackup(ctx, io.TeeReader(body, f), os.Stderr)
	if err != nil {
		return totals, err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return totals, err
	}
	// A link, unlike a rename, takes no other file's place. Not every file system has links.
	if err := os.Link(f.Name(), name); errors.Is(err, fs.ErrExist) {
		return totals, err
	} else if err != nil {
		if err := os.Rename(f.Name(), name); err != nil {
			return totals, err
		}
	}
	d, err := os.Open(filepath.Dir(name))
	if err != nil {
		return totals, err
	}
	return totals, errors.Join(d.Sync(), d.Close())
}

// verifyBackup reads an archive to its end and tells how far it has come.
func verifyBackup(ctx context.Context, r io.Reader, progress io.Writer) (archive.Totals, error) {
	a, err := archive.NewReader(r)
	if err != nil {
		return archive.Totals{}, err
	}
	defer a.Close()
	told := time.Now()
	for {
		if err := ctx.Err(); err != nil {
			return a.Totals(), err
		}
		f, err := a.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return a.Totals(), err
		}
		if time.Since(told) >= progressEvery {
			told = time.Now()
			fmt.Fprintf(progress, "%d files, %d bytes so far; at %s\n", a.Totals().Files, a.Totals().Bytes, f.Name)
		}
	}
	// What is behind the archive must come too: the stream's last checksum.
	_, err = io.Copy(io.Discard, r)
	return a.Totals(), err
}

// progressEvery is how often a long backup tells how far it is.
const progressEvery = 2 * time.Second

const restoreSummary = `
weir restore FILE [--data FOLDER]

Makes a data folder of a backup: FILE is what weir backup wrote, or - for standard input; FOLDER must be empty
or new. The backup is verified as it is read, and the folder as weir check does. If anything is wrong, nothing
is left of it, and the exit status is 1.

  weir restore monday.weir --data ./weir-data && weir serve --data ./weir-data`

func runRestore(ctx context.Context, args []string) error {
	// The file may come before the flags.
	var names []string
	if len(args) > 0 && (args[0] == "-" || !strings.HasPrefix(args[0], "-")) {
		names, args = args[:1], args[1:]
	}
	f := newFlagSet("restore", restoreSummary)
	data := f.String("data", "./weir-data", "`folder` to make")
	if err := f.parse(args); err != nil {
		return err
	}
	if names = append(names, f.Args()...); len(names) != 1 {
		return usagef("weir restore wants one file, got %d", len(names))
	}
	in := os.Stdin
	if names[0] != "-" {
		var err error
		if in, err = os.Open(names[0]); err != nil {
			return err
		}
		defer in.Close()
	}
	if err := server.Restore(ctx, os.Stderr, in, *data); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "restored to %s: whole\n", *data)
	return nil
}
