"""A scheduled query with notifications and an error report, as AWS's sample sets it up, with
boto3: a topic, a queue that subscribes to it, a bucket, roles, a query; then a run that
succeeds, a run that fails with a report, and the end of it all.

Usage: scheduled.py [--endpoint URL] [--database NAME]. Without --endpoint AWS_ENDPOINT_URL decides.
Works with every boto3 since 1.26.
"""
import argparse
import json
import sys
import time

import boto3

args = argparse.ArgumentParser()
args.add_argument("--endpoint")
args.add_argument("--database", default="plant")
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


write, query, sns, sqs, s3, iam = (client(n) for n in ("timestream-write", "timestream-query", "sns", "sqs", "s3", "iam"))

# Where notifications and reports go
topic = sns.create_topic(Name=DB + "_topic")["TopicArn"]
queue = sqs.create_queue(QueueName=DB + "_queue", Attributes={"VisibilityTimeout": "60"})["QueueUrl"]
check("the queue is found", sqs.get_queue_url(QueueName=DB + "_queue")["QueueUrl"], queue)
queue_arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": json.dumps({"Version": "2012-10-17", "Statement": [{
    "Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": queue_arn}]})})
subscription = sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue_arn)["SubscriptionArn"]
check("the subscription", [s["SubscriptionArn"] for s in sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]], [subscription])
bucket = DB.lower().replace("_", "-") + "-reports"
s3.create_bucket(Bucket=bucket)
role = iam.create_role(RoleName=DB + "_scheduled", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [{
    "Effect": "Allow", "Principal": {"Service": "timestream.amazonaws.com"}, "Action": "sts:AssumeRole"}]}))["Role"]["Arn"]
iam.put_role_policy(RoleName=DB + "_scheduled", PolicyName="all", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [{
    "Effect": "Allow", "Action": ["timestream:Select", "timestream:SelectValues", "timestream:WriteRecords", "timestream:DescribeEndpoints", "sns:Publish", "s3:PutObject", "s3:GetBucketAcl"], "Resource": "*"}]}))

# Source and target
write.create_database(DatabaseName=DB)
for t in ("raw", "hourly"):
    write.create_table(DatabaseName=DB, TableName=t, RetentionProperties={"MemoryStoreRetentionPeriodInHours": 24, "MagneticStoreRetentionPeriodInDays": 30})
hour = NOW_MS // 3_600_000 * 3_600_000
write.write_records(DatabaseName=DB, TableName="raw", CommonAttributes={"MeasureName": "temperature", "MeasureValueType": "DOUBLE"}, Records=[
    {"Dimensions": [{"Name": "device", "Value": "dev-%d" % d}], "MeasureValue": str(20 + d + k), "Time": str(hour - (k + 1) * 60_000)} for d in range(3) for k in range(5)])

sql = """SELECT device, BIN(time, 1h) AS hour, AVG(measure_value::double) AS mean, COUNT(*) AS samples
FROM "%s".raw WHERE time BETWEEN bin(@scheduled_runtime - 1h, 1h) AND @scheduled_runtime GROUP BY device, BIN(time, 1h)""" % DB
target = {"DatabaseName": DB, "TableName": "hourly", "TimeColumn": "hour", "DimensionMappings": [{"Name": "device", "DimensionValueType": "VARCHAR"}],
          "MultiMeasureMappings": {"TargetMultiMeasureName": "stats", "MultiMeasureAttributeMappings": [
              {"SourceColumn": "mean", "MeasureValueType": "DOUBLE"}, {"SourceColumn": "samples", "TargetMultiMeasureAttributeName": "n", "MeasureValueType": "BIGINT"}]}}


def create(name, sql, target):
    return query.create_scheduled_query(
        Name=name, QueryString=sql, ScheduleConfiguration={"ScheduleExpression": "cron(0/5 * * * ? 2199)"},
        NotificationConfiguration={"SnsConfiguration": {"TopicArn": topic}}, TargetConfiguration={"TimestreamConfiguration": target},
        ScheduledQueryExecutionRoleArn=role, ErrorReportConfiguration={"S3Configuration": {"BucketName": bucket, "ObjectKeyPrefix": "errors"}},
        Tags=[{"Key": "stage", "Value": "test"}])["Arn"]


def notification(kind, arn):
    """The next message of the queue, which must be of that kind and about that query."""
    for _ in range(10):
        for m in sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=10, MessageAttributeNames=["All"]).get("Messages", []):
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=m["ReceiptHandle"])
            envelope = json.loads(m["Body"])
            attributes = envelope["MessageAttributes"]
            check("notification", (envelope["Type"], envelope["TopicArn"], attributes["notificationType"], attributes["queryArn"]),
                  ("Notification", topic, {"Type": "String", "Value": kind}, {"Type": "String", "Value": arn}))
            body = json.loads(envelope["Message"])
            check("its body", (body["type"], body["arn"]), (kind, arn))
            return body
    sys.exit("no notification " + kind)


def rows(sql):
    return [[d.get("ScalarValue") for d in r["Data"]] for r in query.query(QueryString=sql)["Rows"]]


arn = create("hourly_" + DB, sql, target)
notification("SCHEDULED_QUERY_CREATING", arn)
notification("SCHEDULED_QUERY_CREATED", arn)
described = query.describe_scheduled_query(ScheduledQueryArn=arn)["ScheduledQuery"]
check("described", (described["Name"], described["State"], described["QueryString"], described["TargetConfiguration"]["TimestreamConfiguration"], described["NextInvocationTime"].year),
      ("hourly_" + DB, "ENABLED", sql, target, 2199))
check("listed", [q["Arn"] for q in query.list_scheduled_queries()["ScheduledQueries"] if q["Name"] == "hourly_" + DB], [arn])
check("tags", query.list_tags_for_resource(ResourceARN=arn)["Tags"], [{"Key": "stage", "Value": "test"}])

# A run
query.execute_scheduled_query(ScheduledQueryArn=arn, InvocationTime=hour // 1000)
summary = notification("MANUAL_TRIGGER_SUCCESS", arn)["scheduledQueryRunSummary"]
check("summary", (summary["invocationEpochSecond"], summary["runStatus"], summary["executionStats"]["recordsIngested"], summary["executionStats"]["queryResultRows"]),
      (hour // 1000, "MANUAL_TRIGGER_SUCCESS", 3, 3))
last = query.describe_scheduled_query(ScheduledQueryArn=arn)["ScheduledQuery"]["LastRunSummary"]
check("last run", (last["RunStatus"], int(last["InvocationTime"].timestamp()), last["ExecutionStats"]["DataWrites"]), ("MANUAL_TRIGGER_SUCCESS", hour // 1000, 1024))
select = 'SELECT device, mean, n FROM "%s".hourly ORDER BY device' % DB
check("derived", rows(select), [["dev-%d" % d, "%.1f" % (22 + d), "5"] for d in range(3)])

# The same window again, with late data
write.write_records(DatabaseName=DB, TableName="raw", Records=[{
    "Dimensions": [{"Name": "device", "Value": "dev-0"}], "MeasureName": "temperature", "MeasureValue": "28", "Time": str(hour - 600_000)}])
query.execute_scheduled_query(ScheduledQueryArn=arn, InvocationTime=hour // 1000)
notification("MANUAL_TRIGGER_SUCCESS", arn)
check("derived again", rows(select)[0], ["dev-0", "23.0", "6"])

query.update_scheduled_query(ScheduledQueryArn=arn, State="DISABLED")
check("state told", notification("SCHEDULED_QUERY_UPDATED", arn)["state"], "DISABLED")
check("state", query.describe_scheduled_query(ScheduledQueryArn=arn)["ScheduledQuery"]["State"], "DISABLED")

# A run that fails: two of three rows are too old for the target
bad = create("bad_" + DB, "SELECT device, CASE WHEN device = 'dev-0' THEN hour ELSE hour - 1000d END AS hour, mean, samples FROM (%s)" % sql, target)
notification("SCHEDULED_QUERY_CREATING", bad)
notification("SCHEDULED_QUERY_CREATED", bad)
query.execute_scheduled_query(ScheduledQueryArn=bad, InvocationTime=hour // 1000)
summary = notification("MANUAL_TRIGGER_FAILURE", bad)["scheduledQueryRunSummary"]
check("reason", summary["failureReason"], "Schedule encountered some errors and is incomplete. Please take a look at error report for further details")
at = summary["errorReportLocation"]["s3ReportLocation"]
check("place of the report", (at["bucketName"], at["objectKey"].startswith("errors/%s/%d/MANUAL/%d/" % (bad.split("/")[-1], hour // 1000, summary["triggerTimeMillis"]))), (bucket, True))
report = json.loads(s3.get_object(Bucket=at["bucketName"], Key=at["objectKey"])["Body"].read())
check("reported devices", sorted(r["dimensions"][0]["value"] for e in report["errors"] for r in e["records"]), ["dev-1", "dev-2"])
check("reported reason", report["errors"][0]["reason"].startswith("The record timestamp is outside the time range ["), True)
failed = query.describe_scheduled_query(ScheduledQueryArn=bad)["ScheduledQuery"]["RecentlyFailedRuns"]
check("failed runs", [(r["RunStatus"], r["ErrorReportLocation"]["S3ReportLocation"]["ObjectKey"]) for r in failed], [("MANUAL_TRIGGER_FAILURE", at["objectKey"])])

# The end
for a in (arn, bad):
    query.delete_scheduled_query(ScheduledQueryArn=a)
    notification("SCHEDULED_QUERY_DELETED", a)
try:
    query.describe_scheduled_query(ScheduledQueryArn=arn)
    sys.exit("a deleted query is described")
except query.exceptions.ResourceNotFoundException:
    print("ok   deleted")
sns.unsubscribe(SubscriptionArn=subscription)
sns.delete_topic(TopicArn=topic)
sqs.delete_queue(QueueUrl=queue)
s3.delete_object(Bucket=bucket, Key=at["objectKey"])
s3.delete_bucket(Bucket=bucket)
for t in ("raw", "hourly"):
    write.delete_table(DatabaseName=DB, TableName=t)
write.delete_database(DatabaseName=DB)
print("passed with boto3 " + boto3.__version__)
