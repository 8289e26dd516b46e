// The flows of AWS's sample applications with the JavaScript SDK v3: changes, upserts, a CSV
// file, the questions about hosts, partition keys, a scheduled query with notifications and an
// error report, UNLOAD. Usage: samples.mjs DATABASE [ENDPOINT]; without an endpoint AWS_ENDPOINT_URL decides.
import assert from "node:assert/strict";
import * as w from "@aws-sdk/client-timestream-write";
import * as q from "@aws-sdk/client-timestream-query";
import * as s3 from "@aws-sdk/client-s3";
import * as sns from "@aws-sdk/client-sns";
import * as sqs from "@aws-sdk/client-sqs";
import * as iam from "@aws-sdk/client-iam";

const [DatabaseName, endpoint] = process.argv.slice(2);
const settings = { region: "us-east-1", ...(endpoint ? { endpoint } : {}) };
const write = new w.TimestreamWriteClient(settings);
const query = new q.TimestreamQueryClient(settings);
const objects = new s3.S3Client({ ...settings, forcePathStyle: true });
const topics = new sns.SNSClient(settings);
const queues = new sqs.SQSClient(settings);
const identities = new iam.IAMClient(settings);
const now = Date.now();

// scalars reads a statement to its last page.
async function scalars(QueryString) {
  const rows = [];
  for await (const page of q.paginateQuery({ client: query }, { QueryString })) rows.push(...page.Rows.map((r) => r.Data.map((d) => d.ScalarValue ?? null)));
  return rows;
}
const dims = (o) => Object.entries(o).map(([Name, Value]) => ({ Name, Value, DimensionValueType: "VARCHAR" }));
const records = (TableName, Records, CommonAttributes = {}) => write.send(new w.WriteRecordsCommand({ DatabaseName, TableName, Records, CommonAttributes }));
const table = (TableName, more = {}) => write.send(new w.CreateTableCommand({
  DatabaseName, TableName, RetentionProperties: { MemoryStoreRetentionPeriodInHours: 24, MagneticStoreRetentionPeriodInDays: 7 },
  MagneticStoreWriteProperties: { EnableMagneticStoreWrites: true, MagneticStoreRejectedDataLocation: { S3Configuration: { BucketName: "rejected-records", EncryptionOption: "SSE_S3" } } }, ...more,
}));

// Changes
await write.send(new w.CreateDatabaseCommand({ DatabaseName }));
await assert.rejects(write.send(new w.CreateDatabaseCommand({ DatabaseName })), (e) => e instanceof w.ConflictException);
assert.equal((await write.send(new w.UpdateDatabaseCommand({ DatabaseName, KmsKeyId: "alias/sample" }))).Database.KmsKeyId, "alias/sample");
await table("metrics");
await write.send(new w.UpdateTableCommand({ DatabaseName, TableName: "metrics", RetentionProperties: { MemoryStoreRetentionPeriodInHours: 24, MagneticStoreRetentionPeriodInDays: 365 } }));
const described = (await write.send(new w.DescribeTableCommand({ DatabaseName, TableName: "metrics" }))).Table;
assert.equal(described.RetentionProperties.MagneticStoreRetentionPeriodInDays, 365);
assert.ok(described.CreationTime instanceof Date && Math.abs(described.CreationTime - now) < 600_000);

// Upserts
const host = dims({ region: "us-east-1", az: "az1", hostname: "upserted" });
const upsert = (Version, MeasureValue) => records("metrics", [{ MeasureName: "cpu_utilization", MeasureValue }], { Dimensions: host, MeasureValueType: "DOUBLE", Time: String(now), Version });
await upsert(now, "13.5");
await assert.rejects(upsert(now - 1, "13.5"), (e) => e instanceof w.RejectedRecordsException && e.RejectedRecords[0].ExistingVersion === now);
await upsert(now + 1, "14.5");
assert.deepEqual(await scalars(`SELECT measure_value::double FROM ${DatabaseName}.metrics`), [["14.5"]]);

// A CSV file
const HOSTS = 3, EACH = 200, end = Math.floor(now / 30_000) * 30_000;
const file = Array.from({ length: HOSTS * EACH }, (_, i) => `region,us-east-1,az,az${i % 2},hostname,host-${i % HOSTS},cpu_utilization,${10 * (i % HOSTS) + Math.floor(i / HOSTS) % 4},DOUBLE`).join("\n");
let batch = [];
for (const [i, line] of file.split("\n").entries()) {
  const f = line.split(",");
  batch.push({ Dimensions: dims({ [f[0]]: f[1], [f[2]]: f[3], [f[4]]: f[5] }), MeasureName: f[6], MeasureValue: f[7], MeasureValueType: f[8], Time: String(end - Math.floor(i / HOSTS) * 1000) });
  if (batch.length === 100) {
    assert.equal((await records("metrics", batch)).RecordsIngested.Total, 100);
    batch = [];
  }
}

// Questions
const from = `FROM ${DatabaseName}.metrics WHERE measure_name = 'cpu_utilization' AND hostname LIKE 'host-%' AND time > ago(2h)`;
assert.deepEqual(await scalars(`SELECT hostname, AVG(measure_value::double), COUNT(*) ${from} GROUP BY hostname ORDER BY 1`), Array.from({ length: HOSTS }, (_, h) => [`host-${h}`, `${10 * h + 1.5}`, `${EACH}`]));
const page = await query.send(new q.QueryCommand({ QueryString: `WITH binned AS (SELECT hostname, BIN(time, 4s) AS t, AVG(measure_value::double) AS cpu ${from} GROUP BY hostname, BIN(time, 4s))
  SELECT hostname, INTERPOLATE_LINEAR(CREATE_TIME_SERIES(t, cpu), SEQUENCE(min(t), max(t), 2s)) AS series, array_agg(cpu) AS cpus, row(1, 'x') AS r FROM binned GROUP BY hostname ORDER BY hostname` }));
assert.deepEqual(page.ColumnInfo.map((c) => Object.keys(c.Type)[0]), ["ScalarType", "TimeSeriesMeasureValueColumnInfo", "ArrayColumnInfo", "RowColumnInfo"]);
const [, series, cpus, row] = page.Rows[1].Data;
assert.equal(series.TimeSeriesValue.length, 2 * cpus.ArrayValue.length - 1);
assert.match(series.TimeSeriesValue[0].Time, /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.0{9}$/);
assert.deepEqual(row.RowValue.Data.map((d) => d.ScalarValue), ["1", "x"]);
const first = await query.send(new q.QueryCommand({ QueryString: `SELECT * ${from}`, MaxRows: 10 }));
assert.ok((await query.send(new q.CancelQueryCommand({ QueryId: first.QueryId }))).CancellationMessage);
await assert.rejects(query.send(new q.QueryCommand({ QueryString: `SELECT * ${from}`, MaxRows: 10, NextToken: first.NextToken })), (e) => e instanceof q.ConflictException);

// Partition keys
const key = (EnforcementInRecord) => ({ Schema: { CompositePartitionKey: [{ Type: "DIMENSION", Name: "hostId", EnforcementInRecord }] } });
const one = (dimension) => records("by_dimension", [{ MeasureName: "cpu", MeasureValue: "13.5" }], { Dimensions: dims({ [dimension]: "host1" }), Time: String(Date.now()) });
await table("by_dimension", key("OPTIONAL"));
await one("other");
assert.deepEqual((await write.send(new w.UpdateTableCommand({ DatabaseName, TableName: "by_dimension", ...key("REQUIRED") }))).Table.Schema, key("REQUIRED").Schema);
await one("hostId");
await assert.rejects(one("other"), (e) => e instanceof w.RejectedRecordsException && e.RejectedRecords.length === 1);
assert.deepEqual(await scalars(`SELECT measure_value::double FROM "${DatabaseName}"."by_dimension" WHERE "hostId" = 'host1'`), [["13.5"]]);

// A scheduled query, its notifications and its error report
const Bucket = DatabaseName.replaceAll("_", "-") + "-bucket";
await objects.send(new s3.CreateBucketCommand({ Bucket }));
const { TopicArn } = await topics.send(new sns.CreateTopicCommand({ Name: `${DatabaseName}.fifo`, Attributes: { FifoTopic: "true", ContentBasedDeduplication: "true" } }));
const { QueueUrl } = await queues.send(new sqs.CreateQueueCommand({ QueueName: `${DatabaseName}.fifo`, Attributes: { FifoQueue: "true" } }));
const { Attributes } = await queues.send(new sqs.GetQueueAttributesCommand({ QueueUrl, AttributeNames: ["QueueArn"] }));
await topics.send(new sns.SubscribeCommand({ TopicArn, Protocol: "sqs", Endpoint: Attributes.QueueArn }));
const document = (statement) => JSON.stringify({ Version: "2012-10-17", Statement: [{ Effect: "Allow", ...statement }] });
const RoleName = `${DatabaseName}_scheduled`;
const { Role } = await identities.send(new iam.CreateRoleCommand({ RoleName, AssumeRolePolicyDocument: document({ Principal: { Service: "timestream.amazonaws.com" }, Action: "sts:AssumeRole" }) }));
await identities.send(new iam.PutRolePolicyCommand({ RoleName, PolicyName: "all", PolicyDocument: document({ Action: ["timestream:*", "sns:Publish", "s3:PutObject", "s3:GetBucketAcl"], Resource: "*" }) }));
async function next(type) {
  const { Messages = [] } = await queues.send(new sqs.ReceiveMessageCommand({ QueueUrl, MaxNumberOfMessages: 1, WaitTimeSeconds: 20 }));
  assert.equal(Messages.length, 1, `no ${type} within 20 s`);
  await queues.send(new sqs.DeleteMessageCommand({ QueueUrl, ReceiptHandle: Messages[0].ReceiptHandle }));
  const envelope = JSON.parse(Messages[0].Body);
  const body = JSON.parse(envelope.Message);
  assert.deepEqual([body.type, envelope.MessageAttributes.notificationType.Value, envelope.MessageAttributes.queryArn.Value], [type, type, body.arn]);
  return body.scheduledQueryRunSummary;
}
await table("results");
async function schedule(Name, QueryString, target) {
  const { Arn } = await query.send(new q.CreateScheduledQueryCommand({
    Name: `${DatabaseName}_${Name}`, QueryString, ScheduleConfiguration: { ScheduleExpression: "rate(1 day)" }, NotificationConfiguration: { SnsConfiguration: { TopicArn } },
    ErrorReportConfiguration: { S3Configuration: { BucketName: Bucket, ObjectKeyPrefix: "errors" } }, ScheduledQueryExecutionRoleArn: Role.Arn,
    TargetConfiguration: { TimestreamConfiguration: { DatabaseName, TableName: "results", ...target } },
  }));
  await next("SCHEDULED_QUERY_CREATING");
  await next("SCHEDULED_QUERY_CREATED");
  await query.send(new q.ExecuteScheduledQueryCommand({ ScheduledQueryArn: Arn, InvocationTime: new Date() }));
  return Arn;
}
const good = await schedule("valid", `SELECT hostname, BIN(time, 1h) AS hour, AVG(measure_value::double) AS mean ${from} GROUP BY hostname, BIN(time, 1h)`, {
  TimeColumn: "hour", DimensionMappings: [{ Name: "hostname", DimensionValueType: "VARCHAR" }],
  MultiMeasureMappings: { TargetMultiMeasureName: "means", MultiMeasureAttributeMappings: [{ SourceColumn: "mean", MeasureValueType: "DOUBLE" }] },
});
assert.ok((await next("MANUAL_TRIGGER_SUCCESS")).executionStats.recordsIngested >= HOSTS);
assert.ok(Number((await scalars(`SELECT COUNT(mean) FROM ${DatabaseName}.results`))[0][0]) >= HOSTS);
const bad = await schedule("invalid", "SELECT cast('2199-12-16' AS TIMESTAMP) AS at, 1.0e0 AS v, '1' AS dim0", {
  TimeColumn: "at", DimensionMappings: [{ Name: "dim0", DimensionValueType: "VARCHAR" }], MixedMeasureMappings: [{ SourceColumn: "v", MeasureValueType: "DOUBLE" }],
});
const at = (await next("MANUAL_TRIGGER_FAILURE")).errorReportLocation.s3ReportLocation;
const text = async (Key) => (await objects.send(new s3.GetObjectCommand({ Bucket, Key }))).Body.transformToString();
const report = JSON.parse(await text(at.objectKey));
assert.match(report.errors[0].reason, /^The record timestamp is outside the time range \[/);
assert.equal(report.errors[0].records[0].dimensions[0].value, "1");
for (const ScheduledQueryArn of [good, bad]) {
  await query.send(new q.DeleteScheduledQueryCommand({ ScheduledQueryArn }));
  await next("SCHEDULED_QUERY_DELETED");
}

// UNLOAD
const [[n, metadata, manifest]] = await scalars(`UNLOAD (SELECT measure_value::double AS cpu, time, hostname ${from}) TO 's3://${Bucket}/out' WITH (format='CSV', compression='NONE', partitioned_by=ARRAY['hostname'])`);
assert.equal(n, String(HOSTS * EACH));
const keyOf = (uri) => uri.slice(`s3://${Bucket}/`.length);
assert.deepEqual(JSON.parse(await text(keyOf(metadata))).ColumnInfo.map((c) => c.Name), ["cpu", "time", "hostname"]);
const files = JSON.parse(await text(keyOf(manifest))).result_files;
assert.deepEqual(files.map((f) => f.url.match(/hostname=([^/]+)/)[1]).sort(), ["host-0", "host-1", "host-2"]);
for (const f of files) assert.equal((await text(keyOf(f.url))).trimEnd().split("\n").length, f.file_metadata.row_count);

// The end
for (const TableName of ["metrics", "by_dimension", "results"]) await write.send(new w.DeleteTableCommand({ DatabaseName, TableName }));
await write.send(new w.DeleteDatabaseCommand({ DatabaseName }));
await assert.rejects(write.send(new w.DescribeDatabaseCommand({ DatabaseName })), (e) => e instanceof w.ResourceNotFoundException);
console.log("passed with the JavaScript SDK v3");
