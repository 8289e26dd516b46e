package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// flagSet is a command's flags, each of which can also be given as an environment
// variable WEIR_<FLAG> and, where the command has --config, as a line of that file.
// A flag beats the environment, which beats the file.
type flagSet struct {
	*flag.FlagSet
	summary string // printed by --help before the flags
	env     func(string) (string, bool)
	config  *string
}

func newFlagSet(name, summary string) *flagSet {
	fs := &flagSet{FlagSet: flag.NewFlagSet("weir "+name, flag.ContinueOnError), summary: summary, env: os.LookupEnv}
	fs.SetOutput(io.Discard)
	return fs
}

// withConfig adds --config.
func (fs *flagSet) withConfig() {
	fs.config = fs.String("config", "", "`file` with lines of the form flag = value")
}

// parse reads args, in which flags stand before or after arguments, then the environment and the
// configuration file for what args leave out. It returns [flag.ErrHelp] after printing the help.
func (fs *flagSet) parse(args []string) error {
	if err := fs.parseMixed(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fs.printHelp(os.Stdout)
			return err
		}
		return usagef("%v; %s --help lists the flags", err, fs.Name())
	}
	given := map[string]bool{}
	fs.Visit(func(f *flag.Flag) { given[f.Name] = true })
	if err := fs.fromEnvironment(given); err != nil {
		return err
	}
	if fs.config == nil || *fs.config == "" {
		return nil
	}
	return fs.fromFile(*fs.config, given)
}

// parseMixed is FlagSet.Parse for flags anywhere; what follows -- are arguments.
func (fs *flagSet) parseMixed(args []string) error {
	var arguments []string
	for {
		if err := fs.FlagSet.Parse(args); err != nil {
			return err
		}
		rest := fs.Args()
		if len(rest) == 0 || len(rest) < len(args) && args[len(args)-len(rest)-1] == "--" {
			arguments = append(arguments, rest...)
			return fs.FlagSet.Parse(append([]string{"--"}, arguments...))
		}
		arguments, args = append(arguments, rest[0]), rest[1:]
	}
}

func (fs *flagSet) fromEnvironment(given map[string]bool) error {
	var first error
	fs.VisitAll(func(f *flag.Flag) {
		value, ok := fs.env(envName(f.Name))
		if !ok || given[f.Name] {
			return
		}
		given[f.Name] = true
		if err := f.Value.Set(value); err != nil && first == nil {
			first = usagef("environment variable %s: %v", envName(f.Name), err)
		}
	})
	return first
}

func envName(flagName string) string {
	return "WEIR_" + strings.ToUpper(strings.ReplaceAll(flagName, "-", "_"))
}

func (fs *flagSet) fromFile(name string, given map[string]bool) error {
	file, err := os.Open(name)
	if err != nil {
		return usagef("--config: %v", err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		if f := fs.Lookup(key); !ok || f == nil || key == "config" {
			return usagef("%s:%d: want a line of the form flag = value with a flag of %s, got %q", name, n, fs.Name(), line)
		}
		if given[key] {
			continue
		}
		if unquoted, err := strconv.Unquote(value); err == nil {
			value = unquoted
		}
		if err := fs.Set(key, value); err != nil {
			return usagef("%s:%d: %s: %v", name, n, key, err)
		}
	}
	return lines.Err()
}

func (fs *flagSet) printHelp(w io.Writer) {
	fmt.Fprintf(w, "%s\n\nFlags (each also as environment variable, --listen as WEIR_LISTEN):\n\n", strings.TrimSpace(fs.summary))
	fs.VisitAll(func(f *flag.Flag) {
		arg, usage := flag.UnquoteUsage(f)
		def := ""
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "0" {
			def = fmt.Sprintf(" (default %s)", f.DefValue)
		}
		fmt.Fprintf(w, "  --%s %s\n        %s%s\n", f.Name, arg, usage, def)
	})
}

// byteSize is a flag value such as 4GiB, 512MiB or 1000000.
type byteSize int64

func (b *byteSize) String() string {
	for _, u := range byteUnits {
		if v := int64(*b); v != 0 && v%u.size == 0 {
			return strconv.FormatInt(v/u.size, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(*b), 10)
}

func (b *byteSize) Set(s string) error {
	text, size := s, int64(1)
	for _, u := range byteUnits {
		if t, ok := strings.CutSuffix(text, u.name); ok {
			text, size = t, u.size
			break
		}
	}
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil || n < 0 || n > (1<<62)/size {
		return fmt.Errorf("want a size such as 4GiB or 512MiB, got %q", s)
	}
	*b = byteSize(n * size)
	return nil
}

var byteUnits = []struct {
	name string
	size int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3}, {"B", 1}}
