"""Runs an in-process engine for the benchmark: one JSON request a line in, one answer out.

Arguments: duckdb or chdb, data folder. A request is {"op": "query", "sql": ...}; an answer
{"Rows": n, "Seconds": s} or {"Error": text}. With {"op": "drain"} rows are counted batch by batch and
dropped (DuckDB alone). The clock covers the statement and the transfer of
its result to columns (Arrow for DuckDB, which needs the module pyarrow, JSONCompact bytes for chDB).
"""
import json
import os
import sys
import time

name, folder = sys.argv[1], sys.argv[2]

if name == "duckdb":
    import duckdb

    connection = duckdb.connect(os.path.join(folder, "bench.duckdb"))
    connection.execute("SET threads = 2")
    connection.execute("SET enable_progress_bar = false")  # it goes to stdout, as answers do

    def run(sql):
        # A relation, whose result goes to Arrow without another copy; statements give none.
        relation = connection.sql(sql)
        return len(relation.to_arrow_table()) if relation is not None else 0

    def drain(sql):
        reader = connection.sql(sql).to_arrow_reader(100_000)
        return sum(batch.num_rows for batch in reader)
else:
    from chdb.session import Session

    session = Session(folder)
    session.query("SET max_threads = 2")

    def run(sql):
        form = "JSONCompact" if sql.lstrip().upper().startswith(("SELECT", "WITH")) else "Null"
        return session.query(sql, form).bytes().count(b"\n\t\t[") if form != "Null" else (session.query(sql), 0)[1]

for line in sys.stdin:
    request = json.loads(line)
    sql = request["sql"]
    began = time.perf_counter()
    try:
        rows = drain(sql) if request["op"] == "drain" else run(sql)
        answer = {"Rows": rows, "Seconds": time.perf_counter() - began}
    except Exception as problem:  # the benchmark prints it
        answer = {"Error": str(problem)[:500]}
    print(json.dumps(answer), flush=True)
