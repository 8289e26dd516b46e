#!/bin/sh
# Asks weir and DuckDB the same random queries (QUERIES of them, from seed FIRST on) and compares.
set -eu
cd "$(dirname "$0")/../../.."
mkdir -p .e2e
test -x .e2e/duckdb/bin/python || { python3 -m venv .e2e/duckdb && .e2e/duckdb/bin/pip install -q duckdb; }
${GO:-go} test ./test/sql -count 1 -run '^TestExportRandomQueries$' -first "${FIRST:-1}" -queries "${QUERIES:-3000}" -export "$PWD/.e2e/random.jsonl"
exec .e2e/duckdb/bin/python test/sql/duckdb/compare.py .e2e/random.jsonl
