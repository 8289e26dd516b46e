// The main job with the JavaScript SDK v3. Usage: article.mjs DATABASE [ENDPOINT]; without an
// endpoint AWS_ENDPOINT_URL decides.
import assert from "node:assert/strict";
import { TimestreamWriteClient, CreateDatabaseCommand, CreateTableCommand, WriteRecordsCommand, DeleteTableCommand, DeleteDatabaseCommand, RejectedRecordsException } from "@aws-sdk/client-timestream-write";
import { TimestreamQueryClient, paginateQuery, PrepareQueryCommand } from "@aws-sdk/client-timestream-query";

const [DatabaseName, endpoint] = process.argv.slice(2);
const settings = { region: "us-east-1", ...(endpoint ? { endpoint } : {}) };
const write = new TimestreamWriteClient(settings);
const query = new TimestreamQueryClient(settings);
const TableName = "readings";

await write.send(new CreateDatabaseCommand({ DatabaseName }));
await write.send(new CreateTableCommand({ DatabaseName, TableName }));
const now = Date.now();
const record = (k, value) => ({
  Dimensions: [{ Name: "device_id", Value: `dev-${k % 2}` }],
  MeasureName: "m", MeasureValueType: "MULTI", Time: String(now - k * 1000), TimeUnit: "MILLISECONDS",
  MeasureValues: [{ Name: "temperature", Value: String(value), Type: "DOUBLE" }, { Name: "on", Value: "true", Type: "BOOLEAN" }],
});
const answer = await write.send(new WriteRecordsCommand({ DatabaseName, TableName, Records: Array.from({ length: 100 }, (_, k) => record(k, k + 0.5)) }));
assert.equal(answer.RecordsIngested.Total, 100);
await assert.rejects(
  write.send(new WriteRecordsCommand({ DatabaseName, TableName, Records: [record(0, 7)] })),
  (e) => e instanceof RejectedRecordsException && e.RejectedRecords[0].RecordIndex === 0,
);
const rows = [];
for await (const page of paginateQuery({ client: query, pageSize: 7 }, { QueryString: `SELECT device_id, time, temperature, "on" FROM "${DatabaseName}"."${TableName}" ORDER BY time DESC` })) {
  rows.push(...page.Rows.map((r) => r.Data.map((d) => d.ScalarValue)));
}
assert.equal(rows.length, 100);
assert.deepEqual([rows[3][0], rows[3][2], rows[3][3]], ["dev-1", "3.5", "true"]);
assert.match(rows[0][1], /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{9}$/);
const prepared = await query.send(new PrepareQueryCommand({ QueryString: `SELECT temperature AS t FROM "${DatabaseName}"."${TableName}"`, ValidateOnly: true }));
assert.deepEqual(prepared.Columns[0], { Name: "t", Type: { ScalarType: "DOUBLE" }, DatabaseName, TableName, Aliased: true });
await write.send(new DeleteTableCommand({ DatabaseName, TableName }));
await write.send(new DeleteDatabaseCommand({ DatabaseName }));
console.log("passed with the JavaScript SDK v3");
