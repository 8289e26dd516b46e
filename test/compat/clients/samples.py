"""The flows of AWS's sample applications that article.py, scheduled.py and unload.py do not
have, with boto3: changes to databases and tables, upserts, a CSV file, the questions about
hosts, partition keys that are optional and required, and UNLOAD of a shop's events.

Usage: samples.py [--endpoint URL] [--database NAME]. Without --endpoint AWS_ENDPOINT_URL decides.
Works with every boto3 that has partition keys.
"""
import argparse
import csv
import io
import json
import statistics
import sys
import time

import boto3

args = argparse.ArgumentParser()
args.add_argument("--endpoint")
args.add_argument("--database", default="samples")
opt = args.parse_args()
DB = opt.database
NOW_MS = int(time.time() * 1000)


def client(name):
    extra = {"endpoint_url": opt.endpoint} if opt.endpoint else {}
    return boto3.client(name, region_name="us-east-1", **extra)


def check(what, got, want):
    if got != want:
        sys.exit("%s:\n  got  %r\n  want %r" % (what, got, want))
    print("ok   " + what)


write, query, s3 = client("timestream-write"), client("timestream-query"), client("s3")


def datum(info, d):
    """A value as the samples print it: by the type that its column tells."""
    kind = info["Type"]
    if d.get("NullValue", False):
        return None
    if "TimeSeriesMeasureValueColumnInfo" in kind:
        return [(p["Time"], datum(kind["TimeSeriesMeasureValueColumnInfo"], p["Value"])) for p in d["TimeSeriesValue"]]
    if "ArrayColumnInfo" in kind:
        return [datum(kind["ArrayColumnInfo"], e) for e in d["ArrayValue"]]
    if "RowColumnInfo" in kind:
        return [datum(i, e) for i, e in zip(kind["RowColumnInfo"], d["RowValue"]["Data"])]
    return d["ScalarValue"]


def rows(sql):
    out = []
    for page in query.get_paginator("query").paginate(QueryString=sql):
        out += [[datum(i, d) for i, d in zip(page["ColumnInfo"], r["Data"])] for r in page["Rows"]]
    return out


# Changes
write.create_database(DatabaseName=DB)
check("another key", write.update_database(DatabaseName=DB, KmsKeyId="alias/sample")["Database"]["KmsKeyId"], "alias/sample")
names, token = [], None
while True:
    page = write.list_databases(MaxResults=2, **({"NextToken": token} if token else {}))
    names += [d["DatabaseName"] for d in page["Databases"]]
    token = page.get("NextToken")
    if not token:
        break
check("the database is in the list", DB in names, True)


def create(name, **more):
    return write.create_table(
        DatabaseName=DB, TableName=name, RetentionProperties={"MemoryStoreRetentionPeriodInHours": 24, "MagneticStoreRetentionPeriodInDays": 7},
        MagneticStoreWriteProperties={"EnableMagneticStoreWrites": True, "MagneticStoreRejectedDataLocation": {"S3Configuration": {"BucketName": "rejected-records", "EncryptionOption": "SSE_S3"}}}, **more)


create("metrics")
check("another retention", write.update_table(DatabaseName=DB, TableName="metrics", RetentionProperties={
    "MemoryStoreRetentionPeriodInHours": 24, "MagneticStoreRetentionPeriodInDays": 365})["Table"]["RetentionProperties"]["MagneticStoreRetentionPeriodInDays"], 365)

# Upserts by version, with common attributes
host = [{"Name": n, "Value": v} for n, v in (("region", "us-east-1"), ("az", "az1"), ("hostname", "upserted"))]


def upsert(version, cpu):
    return write.write_records(DatabaseName=DB, TableName="metrics", CommonAttributes={"Dimensions": host, "MeasureValueType": "DOUBLE", "Time": str(NOW_MS), "Version": version},
                               Records=[{"MeasureName": "cpu_utilization", "MeasureValue": cpu}, {"MeasureName": "memory_utilization", "MeasureValue": "40"}])


def rejected(what, call, *indexes):
    try:
        call()
    except write.exceptions.RejectedRecordsException as e:
        check(what, [r["RecordIndex"] for r in e.response["RejectedRecords"]], list(indexes))
        return e.response["RejectedRecords"]
    sys.exit(what + ": nothing was rejected")


upsert(NOW_MS, "13.5")
upsert(NOW_MS, "13.5")
check("existing version", rejected("a lower version", lambda: upsert(NOW_MS - 1, "13.5"), 0, 1)[0]["ExistingVersion"], NOW_MS)
rejected("another value", lambda: upsert(NOW_MS, "14.5"), 0)
upsert(NOW_MS + 1, "14.5")
check("upserted", rows("SELECT measure_value::double FROM %s.metrics WHERE hostname = 'upserted' ORDER BY 1" % DB), [["14.5"], ["40.0"]])

# A CSV file of host metrics
HOSTS, EACH = 4, 300
values = {h: [10 * h + (k * 7) % 11 + 0.5 for k in range(EACH)] for h in range(HOSTS)}
file = io.StringIO()
for k in range(EACH):
    for h in range(HOSTS):
        csv.writer(file).writerow(["region", "us-east-1", "az", "us-east-1" + "abc"[h % 3], "hostname", "host-%d" % h, "cpu_utilization", values[h][k], "DOUBLE"])
file.seek(0)
end, batch, stored = NOW_MS // 30_000 * 30_000, [], 0
for i, f in enumerate(csv.reader(file)):
    batch.append({"Dimensions": [{"Name": f[n], "Value": f[n + 1]} for n in (0, 2, 4)], "MeasureName": f[6], "MeasureValue": f[7], "MeasureValueType": f[8],
                  "Time": str(end - i // HOSTS * 1000)})
    if len(batch) == 100 or i == HOSTS * EACH - 1:
        stored += write.write_records(DatabaseName=DB, TableName="metrics", Records=batch, CommonAttributes={})["RecordsIngested"]["Total"]
        batch = []
check("records of the file", stored, HOSTS * EACH)

# Questions
frm = "FROM %s.metrics WHERE measure_name = 'cpu_utilization' AND hostname LIKE 'host-%%' AND time > ago(2h)" % DB
mean = {h: statistics.fmean(v) for h, v in values.items()}
got = rows("SELECT hostname, ROUND(AVG(measure_value::double), 6), ROUND(MAX(measure_value::double), 2), COUNT(*) %s GROUP BY hostname ORDER BY hostname" % frm)
check("means", got, [["host-%d" % h, str(round(mean[h], 6)), str(round(max(values[h]), 2)), str(EACH)] for h in range(HOSTS)])
busy = rows("""WITH fleet AS (SELECT COUNT(DISTINCT hostname) AS n, AVG(measure_value::double) AS mean %s), host AS (SELECT hostname, AVG(measure_value::double) AS mean %s GROUP BY hostname)
    SELECT hostname FROM fleet, host WHERE host.mean > 1.1 * fleet.mean ORDER BY host.mean DESC""" % (frm, frm))
fleet = statistics.fmean(mean.values())
check("busier than the fleet", busy, [["host-%d" % h] for h in sorted(mean, key=mean.get, reverse=True) if mean[h] > 1.1 * fleet])
check("percentiles", rows("SELECT COUNT(*) FROM (SELECT BIN(time, 15s) AS t, APPROX_PERCENTILE(measure_value::double, 0.9) AS p90, APPROX_PERCENTILE(measure_value::double, 0.99) AS p99 %s GROUP BY BIN(time, 15s)) WHERE p99 >= p90" % frm), [["21"]])
series = rows("""WITH binned AS (SELECT hostname, BIN(time, 30s) AS t, ROUND(AVG(measure_value::double), 2) AS cpu %s GROUP BY hostname, BIN(time, 30s))
    SELECT hostname, INTERPOLATE_LINEAR(CREATE_TIME_SERIES(t, cpu), SEQUENCE(min(t), max(t), 15s)) AS series FROM binned GROUP BY hostname ORDER BY hostname""" % frm)
check("points of every series", [(r[0], len(r[1])) for r in series], [("host-%d" % h, 21) for h in range(HOSTS)])
first, middle, second = (float(series[0][1][k][1]) for k in (0, 1, 2))
check("a point in between", abs(middle - (first + second) / 2) < 1e-9, True)
[[above, count, fraction]] = rows("""WITH view AS (SELECT INTERPOLATE_LINEAR(CREATE_TIME_SERIES(time, measure_value::double), SEQUENCE(min(time), max(time), 1s)) AS cpu %s AND hostname = 'host-1' GROUP BY hostname)
    SELECT FILTER(cpu, x -> x.value > 18.0), REDUCE(FILTER(cpu, x -> x.value > 18.0), 0, (s, x) -> s + 1, s -> s),
    ROUND(REDUCE(cpu, CAST(ROW(0, 0) AS ROW(high BIGINT, total BIGINT)), (s, x) -> CAST(ROW(s.high + IF(x.value > 18.0, 1, 0), s.total + 1) AS ROW(high BIGINT, total BIGINT)),
        s -> IF(s.total = 0, NULL, CAST(s.high AS DOUBLE) / s.total)), 4) FROM view""" % frm)
high = sum(v > 18 for v in values[1])
check("above a threshold", (len(above), count, float(fraction)), (high, str(high), round(high / EACH, 4)))

# Partition keys
if "Schema" in write.meta.service_model.operation_model("CreateTable").input_shape.members:
    key = {"Type": "DIMENSION", "Name": "hostId", "EnforcementInRecord": "OPTIONAL"}
    create("by_dimension", Schema={"CompositePartitionKey": [key]})

    def one(table, dimension):
        write.write_records(DatabaseName=DB, TableName=table, CommonAttributes={"Dimensions": [{"Name": dimension, "Value": "host1"}], "Time": str(int(time.time() * 1000))},
                            Records=[{"MeasureName": "cpu_utilization", "MeasureValue": "13.5", "MeasureValueType": "DOUBLE"}])

    one("by_dimension", "other")
    key["EnforcementInRecord"] = "REQUIRED"
    write.update_table(DatabaseName=DB, TableName="by_dimension", Schema={"CompositePartitionKey": [key]})
    check("the key", write.describe_table(DatabaseName=DB, TableName="by_dimension")["Table"]["Schema"], {"CompositePartitionKey": [key]})
    one("by_dimension", "hostId")
    rejected("without the required key", lambda: one("by_dimension", "other"), 0)
    check("by key", rows("""SELECT measure_value::double FROM "%s"."by_dimension" WHERE "hostId"='host1'""" % DB), [["13.5"]])
    create("by_measure", Schema={"CompositePartitionKey": [{"Type": "MEASURE"}]})
    one("by_measure", "hostId")

# UNLOAD
create("shopping")
events = [{"Dimensions": [{"Name": "channel", "Value": ("Referral", "Social media")[i % 2]}, {"Name": "user_id", "Value": str(i % 9)}], "Time": str(NOW_MS - i * 50), "MeasureName": "metrics", "MeasureValueType": "MULTI",
           "MeasureValues": [{"Name": "product", "Value": 'Blade "%d", 2/32GB' % i, "Type": "VARCHAR"}] + ([{"Name": "quantity", "Value": str(i), "Type": "DOUBLE"}] if i % 3 else [])} for i in range(100)]
write.write_records(DatabaseName=DB, TableName="shopping", Records=events, CommonAttributes={})
bucket = DB.lower().replace("_", "-") + "-exports"
s3.create_bucket(Bucket=bucket)


def read(uri):
    return s3.get_object(Bucket=bucket, Key=uri.split("/", 3)[3])["Body"].read()


[[n, metadata, manifest]] = rows("UNLOAD (SELECT user_id, product, quantity, time, channel FROM %s.shopping WHERE time BETWEEN ago(2h) AND now()) TO 's3://%s/shop' "
                                 "WITH (partitioned_by = ARRAY['channel'], format='CSV', compression='NONE', include_header='true', escaped_by='\"')" % (DB, bucket))
check("unloaded", n, "100")
check("columns", [c["Name"] for c in json.loads(read(metadata))["ColumnInfo"]], ["user_id", "product", "quantity", "time", "channel"])
files = [f["url"] for f in json.loads(read(manifest))["result_files"]]
check("partitions", sorted({u.split("/results/")[1].split("/")[0] for u in files}), ["channel=Referral", "channel=Social%20media"] if any("%20" in u for u in files) else ["channel=Referral", "channel=Social media"])
lines = [line for u in files for line in csv.DictReader(io.StringIO(read(u).decode()))]
check("products", sorted(line["product"] for line in lines), sorted(e["MeasureValues"][0]["Value"] for e in events))
check("nulls", sum(line["quantity"] == "" for line in lines), 34)

# The end
for name in [t["TableName"] for t in write.list_tables(DatabaseName=DB)["Tables"]]:
    write.delete_table(DatabaseName=DB, TableName=name)
write.delete_database(DatabaseName=DB)
try:
    write.describe_database(DatabaseName=DB)
    sys.exit("a deleted database is described")
except write.exceptions.ResourceNotFoundException:
    print("ok   deleted")
print("passed with boto3 " + boto3.__version__)
