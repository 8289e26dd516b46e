#!/bin/sh
# Runs every fuzz target of the module for $FUZZTIME each (default 30s).
set -e
: "${GO:=go}" "${FUZZTIME:=30s}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for dir in $(grep -rl --include='*_test.go' '^func Fuzz' . | grep -v '^./bench/' | xargs -n1 dirname | sort -u); do
	for target in $(grep -h '^func Fuzz' "$dir"/*_test.go | sed 's/^func \(Fuzz[A-Za-z0-9_]*\).*/\1/'); do
		echo "fuzz $dir $target"
		"$GO" test "$dir" -fuzzminimizetime 1x -run '^$' -fuzz "^$target\$" -fuzztime "$FUZZTIME" >"$log" 2>&1 || { cat "$log"; exit 1; }
	done
done
