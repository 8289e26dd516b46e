"""UNLOAD and S3 through boto3, read back by DuckDB and pyarrow; awswrangler's Timestream functions."""

import argparse
import datetime
import io
import json
import os
import tempfile
import time

import awswrangler as wr
import boto3
import duckdb
import pyarrow.parquet as pq

parser = argparse.ArgumentParser()
parser.add_argument("--database", default="unload")
args = parser.parse_args()  # the endpoint comes from AWS_ENDPOINT_URL
DB, BUCKET = args.database, args.database + "-bucket"

boto3.setup_default_session(region_name="us-east-1")  # not every boto3 reads AWS_REGION
path = os.path.join(tempfile.mkdtemp(), "file")
write, query, s3 = boto3.client("timestream-write"), boto3.client("timestream-query"), boto3.client("s3")
write.create_database(DatabaseName=DB)
write.create_table(DatabaseName=DB, TableName="t")
s3.create_bucket(Bucket=BUCKET)

START = int(time.time()) * 10**9 - 600 * 10**9 + 123456789
ROWS = 240
texts = ["plain", 'say "hi"', "a,b", "back\\slash", "two\nlines", "Grüße", "", "a\tb"]
for first in range(0, ROWS, 80):
    write.write_records(
        DatabaseName=DB,
        TableName="t",
        CommonAttributes={"MeasureName": "m", "TimeUnit": "NANOSECONDS"},
        Records=[
            {
                "Dimensions": [{"Name": "device", "Value": f"d{i % 4}"}],
                "Time": str(START + i * 10**9),
                "MeasureValueType": "MULTI",
                "MeasureValues": [
                    {"Name": "temperature", "Type": "DOUBLE", "Value": str(20 + i / 8)},
                    {"Name": "note", "Type": "VARCHAR", "Value": texts[i % len(texts)] or " "},
                    {"Name": "n", "Type": "BIGINT", "Value": str(i)},
                    {"Name": "ok", "Type": "BOOLEAN", "Value": "true" if i % 2 else "false"},
                ],
            }
            for i in range(first, first + 80)
        ],
    )


def run(sql):
    """Runs a statement to its end and returns the texts of its rows."""
    rows, token = [], None
    while True:
        page = query.query(QueryString=sql, **({"NextToken": token} if token else {}))
        rows += [[d.get("ScalarValue") for d in r["Data"]] for r in page["Rows"]]
        token = page.get("NextToken")
        if not token:
            return rows


def fetch(uri):
    bucket, key = uri.removeprefix("s3://").split("/", 1)
    return s3.get_object(Bucket=bucket, Key=key)["Body"].read()


def unload(select, prefix, options):
    """Unloads and returns the manifest, the metadata and the files, checked against each other."""
    [[rows, metadata, manifest]] = run(f"UNLOAD ({select}) TO 's3://{BUCKET}/{prefix}' WITH ({options})")
    m, info = json.loads(fetch(manifest)), json.loads(fetch(metadata))
    files = {f["url"]: fetch(f["url"]) for f in m["result_files"]}
    assert m["query_metadata"]["total_row_count"] == int(rows), m
    assert all(len(files[f["url"]]) == f["file_metadata"]["content_length_in_bytes"] for f in m["result_files"]), m
    return m, [c["Name"] for c in info["ColumnInfo"]], files


COLUMNS = "device, temperature, note, n, ok, time"

# Parquet, read by pyarrow and by DuckDB, to the nanosecond.
m, names, files = unload(f"SELECT {COLUMNS} FROM {DB}.t ORDER BY time", "parquet/", "format='PARQUET', compression='GZIP'")
[(url, content)] = files.items()
assert url.startswith(f"s3://{BUCKET}/parquet/results/") and url.endswith(".parquet"), url
table = pq.read_table(io.BytesIO(content), coerce_int96_timestamp_unit="ns")
assert table.column_names == names == COLUMNS.split(", "), table.schema
got = table.to_pydict()
assert got["n"] == list(range(ROWS)) and got["note"][1] == 'say "hi"' and got["temperature"][3] == 20.375
assert [t.value for t in table.column("time").to_pandas()] == [START + i * 10**9 for i in range(ROWS)]
path += ".parquet"  # what DuckDB goes by
with open(path, "wb") as f:
    f.write(content)
count, total, first = duckdb.sql(f"SELECT count(*), sum(n), min(time) FROM '{path}'").fetchall()[0]
assert (count, total) == (ROWS, ROWS * (ROWS - 1) // 2), (count, total)
at = datetime.datetime.fromtimestamp(START // 10**9, datetime.timezone.utc).replace(tzinfo=None)
assert first.replace(microsecond=0, tzinfo=None) == at, (first, at)

# Nested types.
m, names, files = unload(
    f"SELECT device, create_time_series(time, temperature) AS series, array_agg(n) AS all_n, row(1, 'x') AS r FROM {DB}.t GROUP BY device ORDER BY device",
    "nested", "format='PARQUET', compression='NONE'")
with open(path, "wb") as f:
    f.write(next(iter(files.values())))
rows = duckdb.sql(f"SELECT device, len(series), series[1].value, len(all_n), r FROM '{path}' ORDER BY device").fetchall()
assert [r[:4] for r in rows] == [(f"d{d}", ROWS // 4, 20 + d / 8, ROWS // 4) for d in range(4)], rows
m, names, files = unload(
    f"SELECT device, create_time_series(time, n) AS series FROM {DB}.t WHERE n < 8 GROUP BY device ORDER BY device", "nested-csv", "compression='NONE', include_header='true'")
with open(path, "wb") as f:
    f.write(next(iter(files.values())))
rows = duckdb.sql(f"SELECT * FROM read_csv('{path}', header=true, quote='\"', escape='\\')").fetchall()
assert [[p["value"] for p in json.loads(r[1])] for r in rows] == [[d, d + 4] for d in range(4)], rows
assert json.loads(rows[0][1])[0]["time"].endswith(".123456789Z"), rows[0]

# CSV with everything that must be quoted, by DuckDB.
for options, suffix in (("compression='NONE'", ".csv"), ("compression='GZIP'", ".gz"), ("compression='NONE', field_delimiter='|', escaped_by='\"'", ".csv")):
    m, names, files = unload(f"SELECT {COLUMNS} FROM {DB}.t ORDER BY time", "csv", "format='CSV', include_header='true', " + options)
    [(url, content)] = files.items()
    assert url.endswith(suffix), url
    with open(path, "wb") as f:
        f.write(content)
    delimiter, escape = ("|", '"') if "|" in options else (",", "\\")
    rows = duckdb.sql(f"SELECT n, note FROM read_csv('{path}', header=true, delim='{delimiter}', quote='\"', escape='{escape}', compression='{'gzip' if suffix == '.gz' else 'none'}')").fetchall()
    assert [r[1] for r in rows] == [texts[i % len(texts)] or " " for i in range(ROWS)], rows[:9]

# Partitions.
m, names, files = unload(f"SELECT temperature, n, device, bin(time, 1m) AS part FROM {DB}.t", "parts", "partitioned_by=ARRAY['device', 'part'], format='PARQUET'")
assert all("/results/device=d" in u and "/part=" in u for u in files) and len(files) >= 16, list(files)
assert sum(pq.read_table(io.BytesIO(c)).num_rows for c in files.values()) == ROWS
assert all(pq.read_table(io.BytesIO(c)).column_names == ["temperature", "n"] for c in files.values())

# awswrangler, as its documentation shows it.
out = f"s3://{BUCKET}/wrangler/"
frame = wr.timestream.unload(sql=f"SELECT {COLUMNS} FROM {DB}.t", path=out, unload_format="PARQUET")
assert len(frame) == ROWS and sorted(frame["n"]) == list(range(ROWS)), frame
assert wr.s3.list_objects(out) == [], "keep_files=False leaves nothing"
frame = wr.timestream.unload(sql=f"SELECT temperature, n, device FROM {DB}.t", path=out, unload_format="PARQUET", partition_cols=["device"])
assert sorted(set(frame["device"])) == ["d0", "d1", "d2", "d3"] and len(frame) == ROWS, frame
frame = wr.timestream.unload(sql=f"SELECT n, temperature, device FROM {DB}.t", path=out, unload_format="CSV", keep_files=True, partition_cols=["device"])
assert sorted(frame["n"]) == list(range(ROWS)) and frame["temperature"].min() == 20.0, frame
wr.s3.delete_objects(out)
wr.timestream.unload_to_files(sql=f"SELECT n FROM {DB}.t", path=out, unload_format="CSV", compression="NONE", encryption="SSE_KMS", kms_key_id="alias/any")
kinds = sorted(k.rsplit("_", 1)[-1].rsplit(".", 1)[-1] for k in wr.s3.list_objects(out))
assert kinds == ["csv", "json", "json"], kinds
frame = wr.timestream.query(f"SELECT count(*) AS c FROM {DB}.t")
assert frame["c"][0] == ROWS

# What is refused.
for sql, text in (
    (f"UNLOAD (SELECT 1) TO 's3://{BUCKET}/x' WITH (color='red')", "Unknown UNLOAD option: color"),
    (f"UNLOAD (SELECT null AS x) TO 's3://{BUCKET}/x'", "does not support the data type unknown"),
    (f"UNLOAD (SELECT 1) TO 's3://no-such-bucket/x'", "does not exist"),
    (f"UNLOAD (SELECT device, n FROM {DB}.t) TO 's3://{BUCKET}/x' WITH (partitioned_by=ARRAY['device'])", "must be the last columns"),
    (f"UNLOAD (SELECT device, n FROM {DB}.t) TO 's3://{BUCKET}/x' WITH (partitioned_by=ARRAY['n'])", "100 partitions"),
):
    try:
        run(sql)
        raise AssertionError(f"accepted: {sql}")
    except query.exceptions.ClientError as e:
        assert text in str(e), e
assert not [k for k in wr.s3.list_objects(f"s3://{BUCKET}/x/") if k.endswith("_manifest.json")], "a failure has no manifest"
wr.s3.delete_objects(f"s3://{BUCKET}/")
s3.delete_bucket(Bucket=BUCKET)
print("unload: all as expected")
