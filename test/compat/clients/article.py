"""The main job, end to end, with boto3 as a user would write it.

Usage: article.py [--endpoint URL] [--mqtt HOST:PORT]. Without --endpoint the clients are
made without any setting, so AWS_ENDPOINT_URL decides. Known data go in by WriteRecords and
(with --mqtt) by mosquitto_pub through a topic rule; each answer is compared with one computed
here. Works with every boto3 since 1.26.
"""
import argparse
import json
import math
import subprocess
import sys
import time

import boto3

args = argparse.ArgumentParser()
args.add_argument("--endpoint")
args.add_argument("--mqtt")
args.add_argument("--database", default="plant")
opt = args.parse_args()
TABLE = "readings"
NOW_MS = int(time.time() * 1000)


def client(name):
    extra = {"endpoint_url": opt.endpoint} if opt.endpoint else {}
    return boto3.client(name, region_name="us-east-1", **extra)


def check(what, got, want):
    if got != want:
        sys.exit("%s:\n  got  %r\n  want %r" % (what, got, want))
    print("ok   " + what)


def near(what, got, want, rel=1e-9):
    if not math.isclose(got, want, rel_tol=rel, abs_tol=1e-12):
        sys.exit("%s: got %r, want %r" % (what, got, want))


def fails(what, code, text, call, **kw):
    try:
        call(**kw)
    except Exception as e:  # botocore.exceptions.ClientError, by duck typing for old versions
        err = e.response["Error"]
        check(what + ": code", err["Code"], code)
        if text not in err["Message"]:
            sys.exit("%s: message %r lacks %r" % (what, err["Message"], text))
        return e
    sys.exit(what + ": no error")


write, query = client("timestream-write"), client("timestream-query")

# Databases and tables
made = write.create_database(DatabaseName=opt.database, Tags=[{"Key": "stage", "Value": "test"}])["Database"]
check("create database", made["DatabaseName"], opt.database)
fails("create it again", "ConflictException", opt.database, write.create_database, DatabaseName=opt.database)
table = write.create_table(
    DatabaseName=opt.database, TableName=TABLE,
    RetentionProperties={"MemoryStoreRetentionPeriodInHours": 24, "MagneticStoreRetentionPeriodInDays": 365},
    MagneticStoreWriteProperties={"EnableMagneticStoreWrites": True},
    Tags=[{"Key": "kind", "Value": "readings"}])["Table"]
check("table status", table["TableStatus"], "ACTIVE")
check("partition key", table["Schema"]["CompositePartitionKey"] if "Schema" in table else [{"Type": "MEASURE"}], [{"Type": "MEASURE"}])
check("tags", write.list_tags_for_resource(ResourceARN=table["Arn"])["Tags"], [{"Key": "kind", "Value": "readings"}])
write.tag_resource(ResourceARN=table["Arn"], Tags=[{"Key": "more", "Value": "1"}])
write.untag_resource(ResourceARN=table["Arn"], TagKeys=["kind"])
check("tags after untag", write.list_tags_for_resource(ResourceARN=table["Arn"])["Tags"], [{"Key": "more", "Value": "1"}])
for i in range(3):
    write.create_table(DatabaseName=opt.database, TableName="spare%d" % i)
seen, token = [], None
while True:
    page = write.list_tables(DatabaseName=opt.database, MaxResults=2, **({"NextToken": token} if token else {}))
    seen += [t["TableName"] for t in page["Tables"]]
    token = page.get("NextToken")
    if not token:
        break
check("list tables in pages", seen, ["readings", "spare0", "spare1", "spare2"])
updated = write.update_table(DatabaseName=opt.database, TableName="spare0", RetentionProperties={
    "MemoryStoreRetentionPeriodInHours": 2, "MagneticStoreRetentionPeriodInDays": 3})["Table"]
check("update table", updated["RetentionProperties"], {"MemoryStoreRetentionPeriodInHours": 2, "MagneticStoreRetentionPeriodInDays": 3})
write.delete_table(DatabaseName=opt.database, TableName="spare2")
fails("describe a deleted table", "ResourceNotFoundException", "The table spare2 does not exist.",
      write.describe_table, DatabaseName=opt.database, TableName="spare2")
fails("delete a database with tables", "ValidationException", "", write.delete_database, DatabaseName=opt.database)


# Records: five devices, one reading every five minutes for 23 hours, the last one now.
def reading(device, k):
    """Reading k steps before now. Device 4 turns hot at the end, device 2's battery runs out."""
    temperature = 20 + device + (k * 7 + device) % 5 * 0.25
    if device == 4 and k < 2:
        temperature = 55.5
    battery = 90 - device - (276 - k) * (0.25 if device == 2 else 0.0625)
    return {"temperature": temperature, "humidity": 40.5 + device + k % 3, "battery": battery}


DEVICES, STEPS = 5, 277
rows = [(d, k, reading(d, k)) for d in range(DEVICES) for k in range(STEPS)]


def record(device, k, r):
    return {
        "Dimensions": [{"Name": "device_id", "Value": "dev-%d" % device, "DimensionValueType": "VARCHAR"},
                       {"Name": "location", "Value": "hall-%d" % (device % 2), "DimensionValueType": "VARCHAR"}],
        "MeasureName": "metrics", "MeasureValueType": "MULTI",
        "MeasureValues": [{"Name": n, "Value": str(v), "Type": "DOUBLE"} for n, v in r.items()],
        "Time": str(NOW_MS - k * 300_000), "TimeUnit": "MILLISECONDS"}


stored = 0
for i in range(0, len(rows), 100):
    answer = write.write_records(DatabaseName=opt.database, TableName=TABLE, CommonAttributes={},
                                 Records=[record(*r) for r in rows[i:i + 100]])
    stored += answer["RecordsIngested"]["Total"]
check("records stored", stored, len(rows))
again = write.write_records(DatabaseName=opt.database, TableName=TABLE, Records=[record(*rows[0])])
check("the same record again", again["RecordsIngested"]["Total"], 1)
late = dict(record(0, 0, {"temperature": 1.5}), Time=str(NOW_MS - 30 * 86_400_000))
check("late data goes to the magnetic store",
      write.write_records(DatabaseName=opt.database, TableName=TABLE, Records=[late])["RecordsIngested"],
      {"Total": 1, "MemoryStore": 0, "MagneticStore": 1})
changed = record(0, 0, {"temperature": 1.0, "humidity": 1.0, "battery": 1.0})
future = dict(record(0, 0, {"temperature": 1.0}), Time=str(NOW_MS + 3_600_000))
e = fails("a changed and a future record", "RejectedRecordsException", "One or more records have been rejected.",
          write.write_records, DatabaseName=opt.database, TableName=TABLE, Records=[changed, record(*rows[1]), future])
reasons = {r["RecordIndex"]: r["Reason"] for r in e.response["RejectedRecords"]}
check("rejected indexes", sorted(reasons), [0, 2])
check("reason of the changed one", reasons[0].startswith("A record already exists with the same time, dimensions, measure name, and record version."), True)
check("reason of the future one", reasons[2].startswith("The record timestamp is outside the time range ["), True)
fails("101 records", "ValidationException", "Member must have length less than or equal to 100",
      write.write_records, DatabaseName=opt.database, TableName=TABLE, Records=[record(*rows[0])] * 101)
fails("an unknown table", "ResourceNotFoundException", "The table none does not exist.",
      write.write_records, DatabaseName=opt.database, TableName="none", Records=[record(*rows[0])])

# Single-measure records of every type, units and common attributes
types = [("DOUBLE", "1.5"), ("BIGINT", "-7"), ("VARCHAR", "grün"), ("BOOLEAN", "true")]
units = [("SECONDS", 1000), ("MILLISECONDS", 1), ("MICROSECONDS", 0.001), ("NANOSECONDS", 0.000001)]
for (t, v), (unit, ms) in zip(types, units):
    at = NOW_MS // 1000 * 1000
    write.write_records(
        DatabaseName=opt.database, TableName="spare1",
        CommonAttributes={"Dimensions": [{"Name": "d", "Value": "x"}], "Time": str(int(round(at / ms))), "TimeUnit": unit},
        Records=[{"MeasureName": "m_" + t.lower(), "MeasureValue": v, "MeasureValueType": t, "Version": 3}])


def ask(sql, page_size=None, **kw):
    """All rows of sql by the paginator, as lists of text or None."""
    config = {"PageSize": page_size} if page_size else {}
    out = []
    for page in query.get_paginator("query").paginate(QueryString=sql, PaginationConfig=config, **kw):
        for row in page["Rows"]:
            out.append([None if d.get("NullValue") else d.get("ScalarValue", d) for d in row["Data"]])
    return out


check("select 1", ask("SELECT 1"), [["1"]])
check("every type", ask('SELECT measure_name, measure_value::double, measure_value::bigint, measure_value::varchar, measure_value::boolean FROM "%s".spare1 ORDER BY 1' % opt.database),
      [["m_bigint", None, "-7", None, None], ["m_boolean", None, None, None, "true"],
       ["m_double", "1.5", None, None, None], ["m_varchar", None, None, "grün", None]])
check("one time in four units", ask('SELECT count(DISTINCT time) FROM "%s".spare1' % opt.database), [["1"]])
check("show tables", ask('SHOW TABLES FROM "%s"' % opt.database), [["readings"], ["spare0"], ["spare1"]])
check("describe", ask('DESCRIBE "%s"."readings"' % opt.database), [
    ["device_id", "varchar", "DIMENSION"], ["location", "varchar", "DIMENSION"], ["measure_name", "varchar", "MEASURE_NAME"],
    ["time", "timestamp", "TIMESTAMP"], ["temperature", "double", "MULTI"], ["humidity", "double", "MULTI"], ["battery", "double", "MULTI"]])

source = '"%s"."%s"' % (opt.database, TABLE)
latest = ask("""SELECT device_id, location, MAX_BY(temperature, time) AS t, MAX_BY(humidity, time) AS h, MAX_BY(battery, time) AS b
FROM %s WHERE time > ago(1h) GROUP BY device_id, location ORDER BY device_id""" % source)
check("latest reading per device", [[r[0], r[1]] + [float(x) for x in r[2:]] for r in latest],
      [["dev-%d" % d, "hall-%d" % (d % 2)] + list(reading(d, 0).values()) for d in range(DEVICES)])

bins = {}
for d, k, r in rows:
    at = NOW_MS - k * 300_000
    bins.setdefault((d, at // 900_000 * 900_000), []).append(r["temperature"])
want = sorted(bins.items(), key=lambda e: (e[0][0], -e[0][1]))
got = ask("""SELECT device_id, BIN(time, 15m) AS interval, AVG(temperature) AS a, MIN(temperature) AS lo, MAX(temperature) AS hi
FROM %s WHERE time > ago(24h) AND measure_name = 'metrics' GROUP BY device_id, BIN(time, 15m) ORDER BY device_id, interval DESC""" % source, page_size=100)
check("number of 15-minute bins, in pages", len(got), len(want))
for g, ((d, at), temps) in zip(got, want):
    text = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at // 1000)) + ".000000000"
    if g[:2] != ["dev-%d" % d, text]:
        sys.exit("bin: got %r, want dev-%d %s" % (g, d, text))
    near("average", float(g[2]), sum(temps) / len(temps))
    if [float(g[3]), float(g[4])] != [min(temps), max(temps)]:
        sys.exit("bin %r: want %r" % (g, temps))
print("ok   15-minute averages")

stats = {}
for d in range(DEVICES):
    xs = [reading(d, k)["temperature"] for k in range(STEPS)]
    mean = sum(xs) / len(xs)
    stats[d] = (mean, math.sqrt(sum((x - mean) ** 2 for x in xs) / (len(xs) - 1)))
odd = [(abs(r["temperature"] - stats[d][0]) / stats[d][1], d, k) for d, k, r in rows
       if k < 12 and abs(r["temperature"] - stats[d][0]) > 2 * stats[d][1]]
got = ask("""WITH s AS (SELECT device_id, AVG(temperature) AS mean, STDDEV(temperature) AS dev FROM %s WHERE time > ago(7d) GROUP BY device_id)
SELECT r.device_id, r.time, r.temperature, s.mean, s.dev, ABS(r.temperature - s.mean) / s.dev AS z_score
FROM %s r JOIN s ON r.device_id = s.device_id
WHERE r.time > ago(1h) AND ABS(r.temperature - s.mean) > 2 * s.dev ORDER BY z_score DESC""" % (source, source))
check("number of anomalies", len(got), len(odd))
for g, (z, d, k) in zip(got, sorted(odd, reverse=True)):
    near("z score of %r" % g, float(g[5]), z)
print("ok   anomalies")

drain = ask("""SELECT device_id, location, MAX_BY(battery, time) AS now, MIN_BY(battery, time) AS before,
MAX_BY(battery, time) - MIN_BY(battery, time) AS drain
FROM %s WHERE time > ago(24h) GROUP BY device_id, location HAVING MAX_BY(battery, time) < 20 ORDER BY drain DESC""" % source)
first, last = reading(2, STEPS - 1)["battery"], reading(2, 0)["battery"]
check("battery drain", [[r[0]] + [float(x) for x in r[2:]] for r in drain], [["dev-2", last, first, last - first]])
check("hot devices", ask("""SELECT device_id, location, MAX(temperature) AS hottest FROM %s
WHERE time > ago(1h) AND temperature > 40 GROUP BY device_id, location ORDER BY hottest DESC""" % source), [["dev-4", "hall-0", "55.5"]])
fails("an unknown column", "ValidationException", "line 1:8: Column 'nothing' does not exist",
      query.query, QueryString="SELECT nothing FROM " + source)

# A topic rule, and a device over MQTT
iam, iot, sts = client("iam"), client("iot"), client("sts")
if opt.mqtt:
    trust = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "iot.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
    allow = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["timestream:WriteRecords", "timestream:DescribeEndpoints"], "Resource": "*"}]}
    name = opt.database.replace("-", "_") + "_rule"
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
    iam.put_role_policy(RoleName=name, PolicyName="write", PolicyDocument=json.dumps(allow))
    check("the stored policy", iam.get_role_policy(RoleName=name, PolicyName="write")["PolicyDocument"], allow)
    iot.create_topic_rule(ruleName=name, topicRulePayload={
        "sql": "SELECT * FROM '%s/+/data'" % opt.database,
        "actions": [{"timestream": {
            "roleArn": "arn:aws:iam::123456789012:role/" + name, "databaseName": opt.database, "tableName": TABLE,
            "dimensions": [{"name": "device_id", "value": "${device_id}"}, {"name": "location", "value": "${location}"}]}}]})
    check("the rule", iot.get_topic_rule(ruleName=name)["rule"]["sql"], "SELECT * FROM '%s/+/data'" % opt.database)
    host, port = opt.mqtt.rsplit(":", 1)
    for version, qos in (("mqttv311", "1"), ("mqttv311", "0"), ("mqttv5", "1")):
        payload = {"temperature": 21.5, "count": 3, "on": True, "note": version + qos}
        subprocess.run(["mosquitto_pub", "-V", version, "-h", host, "-p", port, "-q", qos, "-t", opt.database + "/x/data", "-m",
                        json.dumps(dict(payload, device_id="mqtt-" + version + qos, location="roof"))], check=True)
        sql = """SELECT measure_name, measure_value::double, measure_value::bigint, measure_value::boolean, measure_value::varchar
FROM %s WHERE device_id = 'mqtt-%s%s' AND location = 'roof' AND measure_name NOT IN ('device_id', 'location') ORDER BY 1""" % (source, version, qos)
        got = ask(sql)
        for _ in range(100):  # QoS 0 has no acknowledgement to wait for
            if got or qos == "1":
                break
            time.sleep(0.05)
            got = ask(sql)
        check("a message by %s, QoS %s" % (version, qos), got, [
            ["count", None, "3", None, None], ["note", None, None, None, version + qos],
            ["on", None, None, "true", None], ["temperature", "21.5", None, None, None]])
check("who am I", sts.get_caller_identity()["Arn"][:13], "arn:aws:iam::")

# Metrics
watch = client("cloudwatch")
points = watch.get_metric_statistics(
    Namespace="AWS/Timestream", MetricName="SuccessfulRequestCount", Period=300, Statistics=["Sum"],
    Dimensions=[{"Name": "DatabaseName", "Value": opt.database}, {"Name": "TableName", "Value": TABLE}, {"Name": "Operation", "Value": "WriteRecords"}],
    StartTime=time.time() - 3600, EndTime=time.time() + 60)["Datapoints"]
check("successful writes are counted", sum(p["Sum"] for p in points) >= stored // 100, True)
listed = watch.list_metrics(Namespace="AWS/Timestream")["Metrics"]
check("metrics are listed", any(m["MetricName"] == "SuccessfulRequestLatency" for m in listed), True)

for t in ("readings", "spare0", "spare1"):
    write.delete_table(DatabaseName=opt.database, TableName=t)
write.delete_database(DatabaseName=opt.database)
fails("describe a deleted database", "ResourceNotFoundException", "", write.describe_database, DatabaseName=opt.database)
print("passed with boto3 " + boto3.__version__)
