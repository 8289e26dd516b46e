package main

import (
	"context"
	"fmt"
	"os"

	"github.com/weir-db/weir/internal/server"
)

const checkSummary = `
weir check [--data FOLDER] [--magnetic-store s3://bucket/prefix [--s3-endpoint URL]]

Verifies a data folder that no server has open: the documents, the manifest, every frame and record of the log
and every checksum of every segment. Prints what it looked at; exit status 1 and one line per damaged
place if something is wrong.

A record of the log that is whole and cannot be applied is such a place too. A server starts with it, but its table
takes no records; the line says what can be done: rename store/wal/POSITION.poison, the record's copy, to
POSITION.passed to go on without it.`

func runCheck(ctx context.Context, args []string) error {
	f := newFlagSet("check", checkSummary)
	data := f.String("data", "./weir-data", "`folder` to verify")
	o := server.Options{}
	f.StringVar(&o.MagneticStore, "magnetic-store", "", "`s3://bucket/prefix` of the server, if it has one: its segments are verified too")
	f.StringVar(&o.S3Endpoint, "s3-endpoint", "", "`URL` of the store that the bucket is in, or aws")
	f.StringVar(&o.S3Region, "s3-region", "", "its region `name`")
	if err := f.parse(args); err != nil {
		return err
	}
	if f.NArg() > 0 {
		return usagef("weir check takes no arguments, got %q; the folder is given with --data", f.Arg(0))
	}
	o.DataDir = *data
	if err := server.CheckFolder(ctx, os.Stdout, o); err != nil {
		return err
	}
	fmt.Println("whole")
	return nil
}
