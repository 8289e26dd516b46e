// Command weir is a time-series database that speaks the API and SQL of Amazon
// Timestream for LiveAnalytics, with an MQTT door and topic rules.
//
// This package reads flags, environment and configuration file, and nothing else
// does. Exit status: 0 done, 1 it could not be done, 2 it was asked wrongly.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
)

// version is set by the linker of a release; otherwise the build's revision is shown.
var version = ""

// command is one subcommand of weir.
type command struct {
	name    string
	summary string
	run     func(ctx context.Context, args []string) error
}

var commands = []command{
	{"serve", "run the server", runServe},
	{"demo", "a server, simulated devices, the usual questions and their answers", runDemo},
	{"sql", "ask a server in SQL, as a shell or with one statement", runSQL},
	{"import", "write files, buckets or another endpoint's tables into a table", runImport},
	{"export", "write a table or a query's result to files or a bucket: Parquet, CSV", runExport},
	{"backup", "write a consistent backup of a running server to a file", runBackup},
	{"restore", "make a data folder of a backup", runRestore},
	{"inspect", "print a file that the server wrote, and check it", runInspect},
	{"check", "verify every checksum of a data folder", runCheck},
	{"bench", "measure a running server: writes and questions", runBench},
	{"version", "print the version", runVersion},
}

func main() {
	// The first signal ends the work in order, the second at once.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	err := run(ctx, os.Args[1:])
	stop()
	os.Exit(report(os.Stderr, err))
}

// usageError is a mistake in how weir was called: exit status 2.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func usagef(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		printUsage(os.Stderr)
		return usagef("no command given")
	}
	name := args[0]
	switch name {
	case "help", "-h", "-help", "--help":
		if len(args) > 1 {
			return run(ctx, []string{args[1], "--help"})
		}
		printUsage(os.Stdout)
		return nil
	case "-version", "--version":
		name = "version"
	}
	for _, c := range commands {
		if c.name == name {
			return c.run(ctx, args[1:])
		}
	}
	return usagef("unknown command %q; weir help lists the commands", name)
}

// report prints err, if it is one, and returns the exit status.
func report(w io.Writer, err error) int {
	var usage *usageError
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.As(err, &usage):
		fmt.Fprintln(w, "weir:", usage.text)
		return 2
	}
	fmt.Fprintln(w, "weir:", oneLine(err.Error()))
	return 1
}

func oneLine(s string) string { return strings.ReplaceAll(strings.TrimSpace(s), "\n", " ") }

func printUsage(w io.Writer) {
	fmt.Fprint(w, `weir is a time-series database that speaks the API and SQL of Amazon Timestream.

Usage: weir COMMAND [flags]

`)
	for _, c := range commands {
		fmt.Fprintf(w, "  %-9s %s\n", c.name, c.summary)
	}
	fmt.Fprint(w, `
weir serve needs no flags: it keeps its data in ./weir-data, serves the AWS API on
http://127.0.0.1:8470 and MQTT on 127.0.0.1:1883. Point any AWS client at it with

  export AWS_ENDPOINT_URL=http://127.0.0.1:8470 AWS_REGION=us-east-1 AWS_DEFAULT_REGION=us-east-1 \
         AWS_ACCESS_KEY_ID=any AWS_SECRET_ACCESS_KEY=any

weir help COMMAND tells more.
`)
}

func runVersion(_ context.Context, _ []string) error {
	fmt.Println("weir", versionText())
	return nil
}

func versionText() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return "dev-" + s.Value[:min(12, len(s.Value))]
		}
	}
	return "dev"
}
