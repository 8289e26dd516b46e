"""Compares answers of weir to random queries with DuckDB's.

Usage: compare.py FILE, where FILE is what the test TestExportRandomQueries wrote: a line
of JSON with the rows of the table d.r, then one per query with its seed, text and rows.
The queries stay in the subset that both engines share; the differences in spelling are
translated here. Ends with status 1 if an answer differs. A query that DuckDB refuses is
printed and does not count: it has faults of its own.
"""

import datetime
import json
import re
import sys

import duckdb

NOW = "TIMESTAMP '2031-02-03 12:00:00'"
UNITS = {"h": "hour", "m": "minute", "d": "day"}


def connect():
    con = duckdb.connect(config={"threads": 1})
    con.execute("CREATE SCHEMA d")
    con.execute(
        "CREATE TABLE d.r (a varchar, b varchar, measure_name varchar, time timestamp, i bigint, f double, s varchar, ok boolean)"
    )
    con.execute("CREATE MACRO bin(t, i) AS time_bucket(i, t, TIMESTAMP '1970-01-01 00:00:00')")
    con.execute(f"CREATE MACRO ago(i) AS {NOW} - i")
    con.execute("CREATE MACRO iff(c, x) AS CASE WHEN c THEN x END")
    return con


def translate(sql):
    sql = re.sub(r"\b(\d+)([hmd])\b", lambda m: f"INTERVAL '{m[1]} {UNITS[m[2]]}'", sql)
    sql = re.sub(r"\) (IGNORE|RESPECT) NULLS OVER", r" \1 NULLS) OVER", sql)
    return re.sub(r"\bif\(", "iff(", sql.replace("now()", NOW))


def ours(text):
    if re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.0{9}", text):
        return text[:19]
    return number(text)


def theirs(value):
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime.datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, datetime.date):
        return value.strftime("%Y-%m-%d 00:00:00")
    return number(str(value))


def number(text):
    if re.fullmatch(r"-?\d+(\.\d+)?([eE][-+]?\d+)?", text):
        return "%.6f" % (float(text) + 0.0 or 0.0)
    return text


def same(got, want):
    """Whether two values are the same. Averages of rounded averages may fall on either side of a half."""
    if got == want:
        return True
    try:
        return abs(float(got) - float(want)) < 2e-6
    except ValueError:
        return False


def same_rows(got, want):
    return len(got) == len(want) and all(len(g) == len(w) and all(map(same, g, w)) for g, w in zip(got, want))


def main(path):
    con = connect()
    asked = differ = refused = 0
    for line in open(path, encoding="utf-8"):
        case = json.loads(line)
        if "data" in case:
            for row in case["data"]:
                con.execute("INSERT INTO d.r VALUES (?, ?, ?, ?, ?, ?, ?, ?)", [None if v == "NULL" else v for v in row])
            continue
        asked += 1
        try:
            rows = con.execute(translate(case["sql"])).fetchall()
        except duckdb.Error as e:
            refused += 1
            print(f"-seed {case['seed']}: DuckDB: {str(e).splitlines()[0]}\n  {case['sql']}")
            continue
        want = sorted([theirs(v) for v in row] for row in rows)
        got = sorted([ours(v) for v in row] for row in case["rows"] or [])
        if not same_rows(got, want):
            differ += 1
            print(f"-seed {case['seed']}: {case['sql']}\n  weir   {len(got)} rows {got[:5]}\n  DuckDB {len(want)} rows {want[:5]}")
    print(f"{asked} random queries: {differ} answers differ from DuckDB {duckdb.__version__}, {refused} refused by it")
    return 1 if differ or not asked or refused * 100 > asked else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
