package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFlagBeatsEnvironmentBeatsFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "weir.conf")
	if err := os.WriteFile(file, []byte("# comment\none = file\ntwo = file\nthree = \"file\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	fs := newFlagSet("test", "")
	fs.withConfig()
	one, two, three := fs.String("one", "", ""), fs.String("two", "", ""), fs.String("three", "", "")
	env := map[string]string{"WEIR_ONE": "env", "WEIR_TWO": "env", "WEIR_CONFIG": file}
	fs.env = func(k string) (string, bool) { v, ok := env[k]; return v, ok }
	if err := fs.parse([]string{"--one", "flag"}); err != nil {
		t.Fatal(err)
	}
	if *one != "flag" || *two != "env" || *three != "file" {
		t.Fatalf("got %s, %s, %s", *one, *two, *three)
	}
}

func TestFlagsStandBeforeOrAfterArguments(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"SELECT --one x", "x [SELECT]"},
		{"--one x SELECT", "x [SELECT]"},
		{"a --one x b --one y c", "y [a b c]"},
		{"a -- --one x", " [a --one x]"},
		{"-- a --one", " [a --one]"},
		{"", " []"},
	} {
		fs := newFlagSet("test", "")
		fs.env = func(string) (string, bool) { return "", false }
		one := fs.String("one", "", "")
		if err := fs.parse(strings.Fields(c.args)); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(*one, " ", fs.Args()); got != c.want || fs.NArg() != len(fs.Args()) {
			t.Errorf("parse(%s) = %s, want %s", c.args, got, c.want)
		}
	}
}

func TestMistakesAreUsageErrorsThatNameTheirPlace(t *testing.T) {
	file := filepath.Join(t.TempDir(), "weir.conf")
	if err := os.WriteFile(file, []byte("\nsize = many\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	check := func(want string, args ...string) {
		t.Helper()
		fs := newFlagSet("test", "")
		fs.withConfig()
		var size byteSize
		fs.Var(&size, "size", "")
		err := fs.parse(args)
		var usage *usageError
		if !errors.As(err, &usage) || !strings.Contains(err.Error(), want) {
			t.Errorf("parse(%q) = %v, want a usage error with %q", args, err, want)
		}
	}
	check("weir.conf:2", "--config", file)
	check("-nonsense", "--nonsense")
	check("want a size", "--size", "4XB")
	check("no such file", "--config", file+".missing")
}

func TestByteSizesReadAndPrint(t *testing.T) {
	check := func(in string, want int64, text string) {
		t.Helper()
		var b byteSize
		if err := b.Set(in); err != nil || int64(b) != want || b.String() != text {
			t.Errorf("Set(%q) = %d, %q, %v; want %d, %q", in, b, b.String(), err, want, text)
		}
	}
	check("4GiB", 4<<30, "4GiB")
	check("1000", 1000, "1KB")
	check("1536MiB", 1536<<20, "1536MiB")
	check("7", 7, "7B")
}
