package conformance

// operation is one operation of an API: what its model says, and the test of it.
type operation struct {
	name string
	// errors are the exceptions of the model, without those in modelledEverywhere.
	errors string
	// unseen says why a modelled exception cannot be shown here, by its name.
	unseen map[string]string
	pages  bool // has NextToken
	again  bool // has a ClientToken, or is documented as idempotent
	test   func(*suite)
}

// modelledEverywhere are exceptions that nearly every operation models and the server has no
// occasion for in normal work; docs/compatibility.md tells them once.
const modelledEverywhere = `
| exception | when |
| --- | --- |
| ` + "`AccessDeniedException`" + ` | where requests are verified: whatever no policy allows (shown for every operation of every service by ` + "`test/attack`" + `); elsewhere never |
| ` + "`ThrottlingException`" + ` | rates are not limited; only where the table says so |
| ` + "`InternalServerException`" + ` | a fault of the server or its disk |
| ` + "`InvalidEndpointException`" + ` | never: every address of the server answers every operation |
`

// service is an API with its operations.
type service struct {
	name       string
	operations []operation
}

var services = []service{
	{"timestream-write", []operation{
		{name: "DescribeEndpoints", errors: "Validation", test: describeEndpoints, unseen: map[string]string{"ValidationException": "It has no input"}},
		{name: "CreateDatabase", errors: "Validation Conflict ServiceQuotaExceeded", test: createDatabase},
		{name: "DescribeDatabase", errors: "Validation ResourceNotFound", test: describeDatabase},
		{name: "ListDatabases", errors: "Validation", pages: true, test: listDatabases},
		{name: "UpdateDatabase", errors: "Validation ResourceNotFound ServiceQuotaExceeded", again: true, test: updateDatabase,
			unseen: map[string]string{"ServiceQuotaExceededException": "A change needs no room"}},
		{name: "DeleteDatabase", errors: "Validation ResourceNotFound", test: deleteDatabase},
		{name: "CreateTable", errors: "Validation ResourceNotFound Conflict ServiceQuotaExceeded", test: createTable},
		{name: "DescribeTable", errors: "Validation ResourceNotFound", test: describeTable},
		{name: "ListTables", errors: "Validation ResourceNotFound", pages: true, test: listTables},
		{name: "UpdateTable", errors: "Validation ResourceNotFound", again: true, test: updateTable},
		{name: "DeleteTable", errors: "Validation ResourceNotFound", test: deleteTable},
		{name: "WriteRecords", errors: "Validation ResourceNotFound RejectedRecords", again: true, test: writeRecords},
		{name: "CreateBatchLoadTask", errors: "Validation ResourceNotFound Conflict ServiceQuotaExceeded", again: true, test: createBatchLoadTask,
			unseen: map[string]string{"ServiceQuotaExceededException": "Tested inside (`internal/batchload`)"}},
		{name: "DescribeBatchLoadTask", errors: "ResourceNotFound", test: describeBatchLoadTask},
		{name: "ListBatchLoadTasks", errors: "Validation", pages: true, test: listBatchLoadTasks},
		{name: "ResumeBatchLoadTask", errors: "Validation ResourceNotFound", test: resumeBatchLoadTask,
			unseen: map[string]string{"success": "A task stops only when the server or its disk fails; tested inside (`internal/batchload`)"}},
		{name: "TagResource", errors: "Validation ResourceNotFound ServiceQuotaExceeded", again: true, test: tagResource},
		{name: "UntagResource", errors: "Validation ResourceNotFound ServiceQuotaExceeded", again: true, test: untagResource,
			unseen: map[string]string{"ServiceQuotaExceededException": "A removal needs no room"}},
		{name: "ListTagsForResource", errors: "Validation ResourceNotFound", test: listTags},
	}},
	{"timestream-query", []operation{
		{name: "DescribeEndpoints", errors: "Validation", test: describeQueryEndpoints, unseen: map[string]string{"ValidationException": "It has no input"}},
		{name: "Query", errors: "Validation Conflict QueryExecution Throttling", pages: true, again: true, test: query},
		{name: "CancelQuery", errors: "Validation", again: true, test: cancelQuery},
		{name: "PrepareQuery", errors: "Validation", test: prepareQuery},
		{name: "DescribeAccountSettings", test: describeAccountSettings},
		{name: "UpdateAccountSettings", errors: "Validation", again: true, test: updateAccountSettings},
		{name: "CreateScheduledQuery", errors: "Validation Conflict ServiceQuotaExceeded", again: true, test: createScheduledQuery,
			unseen: map[string]string{"ServiceQuotaExceededException": "10,000 are too many for a test"}},
		{name: "DescribeScheduledQuery", errors: "Validation ResourceNotFound", test: describeScheduledQuery},
		{name: "ListScheduledQueries", errors: "Validation", pages: true, test: listScheduledQueries},
		{name: "UpdateScheduledQuery", errors: "Validation ResourceNotFound", again: true, test: updateScheduledQuery},
		{name: "DeleteScheduledQuery", errors: "Validation ResourceNotFound", test: deleteScheduledQuery},
		{name: "ExecuteScheduledQuery", errors: "Validation ResourceNotFound", test: executeScheduledQuery},
		{name: "TagResource", errors: "Validation ResourceNotFound ServiceQuotaExceeded", again: true, test: tagScheduledQuery},
		{name: "UntagResource", errors: "Validation ResourceNotFound", again: true, test: untagScheduledQuery},
		{name: "ListTagsForResource", errors: "Validation ResourceNotFound", pages: true, test: listScheduledQueryTags},
	}},
}
