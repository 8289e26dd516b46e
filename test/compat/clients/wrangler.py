"""Every Timestream function of awswrangler (AWS SDK for pandas) but UNLOAD, which unload.py has: databases
and tables, frames written and read back, also in chunks, rejected records, batch load of a frame and of files.

The endpoint comes from AWS_ENDPOINT_URL.
"""
import datetime
import time

import awswrangler as wr
import boto3
import pandas as pd

DB, BUCKET = "wrangler", "wrangler-loads"
boto3.setup_default_session(region_name="us-east-1")


def check(what, got, want):
    assert got == want, "%s:\n  got  %r\n  want %r" % (what, got, want)
    print("ok   " + what)


check("database", wr.timestream.create_database(DB, tags={"a": "b"}), "arn:aws:timestream:us-east-1:000000000000:database/" + DB)
for t in ("frames", "single", "loads"):
    wr.timestream.create_table(DB, t, memory_retention_hours=24, magnetic_retention_days=30, timestream_additional_kwargs={"MagneticStoreWriteProperties": {"EnableMagneticStoreWrites": True}})
check("databases", DB in wr.timestream.list_databases(), True)
check("tables", sorted(wr.timestream.list_tables(database=DB)), ["frames", "loads", "single"])
check("tables of all databases", {"frames", "loads", "single"} <= set(wr.timestream.list_tables()), True)

# A frame of several measures, in chunks of 100 records in threads
NOW = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0, tzinfo=None)
N = 1234
frame = pd.DataFrame({
    "time": [NOW - datetime.timedelta(seconds=i) for i in range(N)], "room": ["room-%d" % (i % 5) for i in range(N)], "floor": [i % 3 for i in range(N)],
    "temperature": [20 + i / 8 for i in range(N)], "count": list(range(N)), "ok": [i % 2 == 0 for i in range(N)], "note": ["grün %d" % i if i % 4 else None for i in range(N)]})
check("written", wr.timestream.write(df=frame, database=DB, table="frames", time_col="time", measure_col=["temperature", "count", "ok", "note"], dimensions_cols=["room", "floor"], measure_name="readings"), [])
back = wr.timestream.query('SELECT time, room, floor, temperature, "count", ok, note FROM "%s"."frames" ORDER BY time DESC' % DB)
check("rows", len(back), N)
check("times", list(back["time"]), list(frame["time"]))
for name in ("temperature", "count", "ok", "room"):
    check(name, list(back[name]), list(frame[name]))
check("nulls", int(back["note"].isna().sum()), int(frame["note"].isna().sum()))
check("types", "".join(back[c].dtype.kind for c in ("time", "temperature", "count", "ok")), "Mfib")
chunks = list(wr.timestream.query('SELECT * FROM "%s"."frames"' % DB, chunked=True, pagination_config={"PageSize": 300}))
check("chunks", [len(c) for c in chunks], [300, 300, 300, 300, 34])
check("no rows", len(wr.timestream.query('SELECT * FROM "%s"."frames" WHERE room = \'none\'' % DB)), 0)

# One measure, with common attributes; then another value with the same version
single = pd.DataFrame({"time": [NOW, NOW], "host": ["a", "b"], "v": [1.0, 2.0]})
check("single", wr.timestream.write(df=single, database=DB, table="single", time_col="time", measure_col="v", dimensions_cols=["host"], common_attributes={"Dimensions": [{"Name": "site", "Value": "x"}]}), [])
single["v"] = [1.0, 3.0]
rejected = wr.timestream.write(df=single, use_threads=False, database=DB, table="single", time_col="time", measure_col="v", dimensions_cols=["host"], common_attributes={"Dimensions": [{"Name": "site", "Value": "x"}]})
check("rejected", [(r["RecordIndex"], r["Reason"][:23]) for r in rejected], [(1, "A record already exists")])
check("a higher version", wr.timestream.write(df=single, database=DB, table="single", time_col="time", measure_col="v", dimensions_cols=["host"], version=2, common_attributes={"Dimensions": [{"Name": "site", "Value": "x"}]}), [])
check("upserted", wr.timestream.query('SELECT host, measure_value::double AS v FROM "%s"."single" ORDER BY host' % DB).values.tolist(), [["a", 1.0], ["b", 3.0]])

# Batch load
boto3.client("s3").create_bucket(Bucket=BUCKET)
now = int(time.time() * 1000)
load = pd.DataFrame({"time": [now - i * 1000 for i in range(500)], "room": ["room-%d" % (i % 5) for i in range(500)], "kind": ["load"] * 500, "temperature": [i / 4 for i in range(500)], "count": list(range(500))})
done = wr.timestream.batch_load(df=load, path="s3://%s/frame/" % BUCKET, database=DB, table="loads", time_col="time", dimensions_cols=["room"], measure_cols=["temperature", "count"], measure_name_col="kind",
                                report_s3_configuration={"BucketName": BUCKET, "ObjectKeyPrefix": "reports"}, timestream_batch_load_wait_polling_delay=0.1)
task = done.get("BatchLoadTaskDescription", done)
check("batch load", (task["TaskStatus"], task["ProgressReport"]["RecordsIngested"]), ("SUCCEEDED", 500))
check("loaded", wr.timestream.query('SELECT count(*) AS n, sum("count") AS s, max(temperature) AS t FROM "%s"."loads" WHERE measure_name = \'load\'' % DB).values.tolist(), [[500, 124750, 124.75]])
wr.s3.to_csv(load.assign(kind="files"), "s3://%s/files/1.csv" % BUCKET, index=False)
wr.timestream.batch_load_from_files(path="s3://%s/files/" % BUCKET, database=DB, table="loads", time_col="time", dimensions_cols=["room"], measure_cols=["temperature", "count"], measure_types=["DOUBLE", "BIGINT"],
                                    measure_name_col="kind", report_s3_configuration={"BucketName": BUCKET, "ObjectKeyPrefix": "reports"}, timestream_batch_load_wait_polling_delay=0.1)
check("loaded from files", wr.timestream.query('SELECT count(*) AS n FROM "%s"."loads" WHERE measure_name = \'files\'' % DB)["n"][0], 500)
wr.s3.to_csv(load.assign(temperature="hot"), "s3://%s/bad/1.csv" % BUCKET, index=False)
try:
    wr.timestream.batch_load_from_files(path="s3://%s/bad/" % BUCKET, database=DB, table="loads", time_col="time", dimensions_cols=["room"], measure_cols=["temperature", "count"], measure_types=["DOUBLE", "BIGINT"],
                                        measure_name_col="kind", report_s3_configuration={"BucketName": BUCKET, "ObjectKeyPrefix": "reports"}, timestream_batch_load_wait_polling_delay=0.1)
    raise AssertionError("a load of bad rows did not fail")
except wr.exceptions.TimestreamLoadError as e:
    print("ok   a load of bad rows fails: %s" % str(e)[:80])

for t in ("frames", "single", "loads"):
    wr.timestream.delete_table(DB, t)
wr.timestream.delete_database(DB)
check("deleted", DB in wr.timestream.list_databases(), False)
print("passed with awswrangler " + wr.__version__)
