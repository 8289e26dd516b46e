package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/weir-db/weir/internal/meta"
	"github.com/weir-db/weir/internal/server"
)

const inspectSummary = `
weir inspect FILE…

Prints what a file of the data folder holds, and checks its checksums: a segment (.seg), a log file
(.wal), the copy of a record that could not be applied (.poison, .passed), the store's manifest, or the documents
(meta.db, while no server has it open). Exit status 1 if one is damaged; the message says where.`

func runInspect(_ context.Context, args []string) error {
	f := newFlagSet("inspect", inspectSummary)
	if err := f.parse(args); err != nil {
		return err
	}
	if f.NArg() == 0 {
		return usagef("weir inspect: which file?")
	}
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	var errs []error
	for _, name := range f.Args() {
		info, err := os.Stat(name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			err = fmt.Errorf("%s: no such file", name)
		case err != nil:
		case info.IsDir():
			err = usagef("%s is a folder; name a file in it", name)
		case info.Name() == "lock":
			_, err = fmt.Fprintln(out, "the lock of a store: empty, held by the server that has the folder open")
		case strings.HasSuffix(name, ".db"):
			err = meta.Dump(out, name)
		default:
			err = server.InspectStoreFile(out, filepath.Dir(name), filepath.Base(name))
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
