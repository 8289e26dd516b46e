package conformance

import (
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/timestreamwrite"
	"github.com/aws/aws-sdk-go-v2/service/timestreamwrite/types"
)

const (
	hour = time.Hour
	day  = 24 * time.Hour

	prefixPattern = `Member must satisfy regular expression pattern: [a-zA-Z0-9|!\-_*'\(\)]([a-zA-Z0-9]|[!\-_*'\(\)\/.])+`
	bucketPattern = `Member must satisfy regular expression pattern: [a-z0-9][\.\-a-z0-9]{1,61}[a-z0-9]`
)

func createTable(s *suite) {
	s.must("CreateDatabase", `{"DatabaseName":"home"}`)
	s.shows(success, "with nothing but names: 6 hours, 73,000 days, no late records, partitioned by measure name", func(t *testing.T) {
		out, err := s.write.CreateTable(t.Context(), &timestreamwrite.CreateTableInput{DatabaseName: aws.String("home"), TableName: aws.String("plain")})
		ok(t, err)
		b := out.Table
		same(t, "table", []any{*b.Arn, *b.DatabaseName, *b.TableName, b.TableStatus, *b.CreationTime, *b.LastUpdatedTime}, []any{homeARN + "/table/plain", "home", "plain", types.TableStatusActive, noon, noon})
		same(t, "retention", []int64{*b.RetentionProperties.MemoryStoreRetentionPeriodInHours, *b.RetentionProperties.MagneticStoreRetentionPeriodInDays}, []int64{6, 73000})
		same(t, "late records", []any{*b.MagneticStoreWriteProperties.EnableMagneticStoreWrites, b.MagneticStoreWriteProperties.MagneticStoreRejectedDataLocation}, []any{false, (*types.MagneticStoreRejectedDataLocation)(nil)})
		same(t, "key", b.Schema.CompositePartitionKey, []types.PartitionKey{{Type: types.PartitionKeyTypeMeasure}})
	})
	s.shows(success, "with everything; the answer repeats what was given, and no more", func(t *testing.T) {
		magnetic := &types.MagneticStoreWriteProperties{EnableMagneticStoreWrites: aws.Bool(true), MagneticStoreRejectedDataLocation: &types.MagneticStoreRejectedDataLocation{
			S3Configuration: &types.S3Configuration{BucketName: aws.String("late-ones"), ObjectKeyPrefix: aws.String("a/b")}}}
		schema := &types.Schema{CompositePartitionKey: []types.PartitionKey{{Type: types.PartitionKeyTypeDimension, Name: aws.String("room"), EnforcementInRecord: types.PartitionKeyEnforcementLevelRequired}}}
		retention := &types.RetentionProperties{MemoryStoreRetentionPeriodInHours: aws.Int64(8766), MagneticStoreRetentionPeriodInDays: aws.Int64(1)}
		out, err := s.write.CreateTable(t.Context(), &timestreamwrite.CreateTableInput{
			DatabaseName: aws.String("home"), TableName: aws.String("rooms"), RetentionProperties: retention, MagneticStoreWriteProperties: magnetic, Schema: schema,
			Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("b")}},
		})
		ok(t, err)
		same(t, "retention", out.Table.RetentionProperties, retention)
		same(t, "late records", out.Table.MagneticStoreWriteProperties, magnetic)
		same(t, "key", out.Table.Schema, schema)
	})
	s.shows(success, "an optional partition key is the default; an empty or null schema is none", func(t *testing.T) {
		for body, want := range map[string]string{
			`{"CompositePartitionKey":[{"Type":"DIMENSION","Name":"room"}]}`: `[map[EnforcementInRecord:OPTIONAL Name:room Type:DIMENSION]]`,
			`{"CompositePartitionKey":[{"Type":"MEASURE"}]}`:                 `[map[Type:MEASURE]]`,
			`null`: `[map[Type:MEASURE]]`,
			`{}`:   `[map[Type:MEASURE]]`,
		} {
			out := s.must("CreateTable", `{"DatabaseName":"home","TableName":"k","Schema":`+body+`}`)
			key := out["Table"].(map[string]any)["Schema"].(map[string]any)["CompositePartitionKey"]
			same(t, body, fmt.Sprint(key), want)
			s.must("DeleteTable", `{"DatabaseName":"home","TableName":"k"}`)
		}
	})
	with := func(more string) string { return `{"DatabaseName":"home","TableName":"x",` + more + `}` }
	s.refuses("Validation", "no names", `{}`, "2 validation errors detected: Value null at 'databaseName' failed to satisfy constraint: Member must not be null; Value null at 'tableName' failed to satisfy constraint: Member must not be null")
	s.refuses("Validation", "a name with a slash", `{"DatabaseName":"home","TableName":"a/b"}`, constraint("a/b", "tableName", namePattern))
	s.refuses("Validation", "half a retention", with(`"RetentionProperties":{"MemoryStoreRetentionPeriodInHours":1}`), missing("retentionProperties.magneticStoreRetentionPeriodInDays"))
	s.refuses("Validation", "0 hours", with(`"RetentionProperties":{"MemoryStoreRetentionPeriodInHours":0,"MagneticStoreRetentionPeriodInDays":1}`),
		constraint("0", "retentionProperties.memoryStoreRetentionPeriodInHours", "Member must have value greater than or equal to 1"))
	s.refuses("Validation", "8,767 hours", with(`"RetentionProperties":{"MemoryStoreRetentionPeriodInHours":8767,"MagneticStoreRetentionPeriodInDays":1}`),
		constraint("8767", "retentionProperties.memoryStoreRetentionPeriodInHours", "Member must have value less than or equal to 8766"))
	s.refuses("Validation", "73,001 days", with(`"RetentionProperties":{"MemoryStoreRetentionPeriodInHours":1,"MagneticStoreRetentionPeriodInDays":73001}`),
		constraint("73001", "retentionProperties.magneticStoreRetentionPeriodInDays", "Member must have value less than or equal to 73000"))
	s.refuses("Validation", "late records neither on nor off", with(`"MagneticStoreWriteProperties":{}`), missing("magneticStoreWriteProperties.enableMagneticStoreWrites"))
	location := func(c string) string {
		return with(`"MagneticStoreWriteProperties":{"EnableMagneticStoreWrites":true,"MagneticStoreRejectedDataLocation":{"S3Configuration":` + c + `}}`)
	}
	const at = "magneticStoreWriteProperties.magneticStoreRejectedDataLocation.s3Configuration."
	s.refuses("Validation", "a bucket that cannot be", location(`{"BucketName":"UPPER"}`), constraint("UPPER", at+"bucketName", bucketPattern))
	s.refuses("Validation", "a prefix with a leading slash", location(`{"BucketName":"abc","ObjectKeyPrefix":"/a"}`), constraint("/a", at+"objectKeyPrefix", prefixPattern))
	s.refuses("Validation", "an unknown encryption", location(`{"BucketName":"abc","EncryptionOption":"ROT13"}`), constraint("ROT13", at+"encryptionOption", "Member must satisfy enum value set: [SSE_S3, SSE_KMS]"))
	key := func(k string) string { return with(`"Schema":{"CompositePartitionKey":[` + k + `]}`) }
	s.refuses("Validation", "an empty partition key", key(``), constraint("[]", "schema.compositePartitionKey", atLeastOne))
	s.refuses("Validation", "two partition keys", key(`{"Type":"MEASURE"},{"Type":"DIMENSION","Name":"a"}`), "You have specified too many partition keys to be used in your composite partition key. Only 1 partition keys can be specified.")
	s.refuses("Validation", "a partition key of no type", key(`{"Name":"a"}`), missing("schema.compositePartitionKey.1.member.type"))
	s.refuses("Validation", "a partition key of an unknown type", key(`{"Type":"ROW"}`), constraint("ROW", "schema.compositePartitionKey.1.member.type", "Member must satisfy enum value set: [DIMENSION, MEASURE]"))
	s.refuses("Validation", "a dimension key without a name", key(`{"Type":"DIMENSION"}`), "A partition key of type DIMENSION must have a name.")
	s.refuses("Validation", "a measure key with a name", key(`{"Type":"MEASURE","Name":"a"}`), "A partition key of type MEASURE must not have a name.")
	s.refuses("Validation", "a measure key with an enforcement", key(`{"Type":"MEASURE","EnforcementInRecord":"OPTIONAL"}`), "A partition key of type MEASURE must not have an enforcement level.")
	s.refuses("ResourceNotFound", "no such database", `{"DatabaseName":"none","TableName":"x"}`, noDatabase)
	s.refuses("Conflict", "a name that exists", `{"DatabaseName":"home","TableName":"rooms"}`, "The table rooms already exists.")
	s.refuses("ServiceQuotaExceeded", "51 tags", with(`"Tags":[`+manyTags(51)+`]`), "A resource can have at most 50 tags.")
}

func describeTable(s *suite) {
	s.CreateTable("home", "rooms", hour, day)
	s.shows(success, "all members", func(t *testing.T) {
		out, err := s.write.DescribeTable(t.Context(), &timestreamwrite.DescribeTableInput{DatabaseName: aws.String("home"), TableName: aws.String("rooms")})
		ok(t, err)
		b := out.Table
		same(t, "table", []any{*b.Arn, b.TableStatus, *b.RetentionProperties.MemoryStoreRetentionPeriodInHours, *b.MagneticStoreWriteProperties.EnableMagneticStoreWrites, len(b.Schema.CompositePartitionKey)},
			[]any{homeARN + "/table/rooms", types.TableStatusActive, int64(1), true, 1})
	})
	s.refuses("Validation", "no table's name", `{"DatabaseName":"home"}`, missing("tableName"))
	s.refuses("ResourceNotFound", "no such table", `{"DatabaseName":"home","TableName":"none"}`, noTable)
	s.refuses("ResourceNotFound", "names are case sensitive", `{"DatabaseName":"home","TableName":"Rooms"}`, "The table Rooms does not exist.")
	s.refuses("ResourceNotFound", "no such database", `{"DatabaseName":"none","TableName":"rooms"}`, noDatabase)
	s.must("DeleteTable", `{"DatabaseName":"home","TableName":"rooms"}`)
	s.refuses("ResourceNotFound", "at once after its deletion", `{"DatabaseName":"home","TableName":"rooms"}`, "The table rooms does not exist.")
}

func listTables(s *suite) {
	for i := range 23 {
		s.CreateTable([]string{"home", "work"}[i%2], fmt.Sprintf("t%02d", 22-i), hour, day)
	}
	s.must("CreateDatabase", `{"DatabaseName":"empty"}`)
	all := func(t *testing.T, in timestreamwrite.ListTablesInput) (names []string, sizes []int) {
		for {
			out, err := s.write.ListTables(t.Context(), &in)
			ok(t, err)
			sizes = append(sizes, len(out.Tables))
			for _, b := range out.Tables {
				names = append(names, *b.DatabaseName+"."+*b.TableName)
			}
			if in.NextToken = out.NextToken; in.NextToken == nil {
				return names, sizes
			}
		}
	}
	s.shows(success, "of a database, in the order of names; of an empty one", func(t *testing.T) {
		names, _ := all(t, timestreamwrite.ListTablesInput{DatabaseName: aws.String("work")})
		same(t, "first and last", []any{len(names), names[0], names[10]}, []any{11, "work.t01", "work.t21"})
		names, _ = all(t, timestreamwrite.ListTablesInput{DatabaseName: aws.String("empty")})
		same(t, "of the empty one", len(names), 0)
	})
	s.shows(success, "without a database: the tables of all", func(t *testing.T) {
		names, _ := all(t, timestreamwrite.ListTablesInput{})
		same(t, "first and last", []any{len(names), names[0], names[22]}, []any{23, "home.t00", "work.t21"})
	})
	s.shows(paging, "20 by default; MaxResults", func(t *testing.T) {
		_, sizes := all(t, timestreamwrite.ListTablesInput{})
		same(t, "sizes", sizes, []int{20, 3})
		_, sizes = all(t, timestreamwrite.ListTablesInput{DatabaseName: aws.String("home"), MaxResults: aws.Int32(5)})
		same(t, "sizes", sizes, []int{5, 5, 2})
	})
	s.refuses("Validation", "MaxResults 21", `{"MaxResults":21}`, constraint("21", "maxResults", "Member must have value less than or equal to 20"))
	out := s.must("ListTables", `{"DatabaseName":"home","MaxResults":1}`)
	s.refuses("Validation", "a token of another database", `{"DatabaseName":"work","NextToken":"`+out["NextToken"].(string)+`"}`, badPageToken)
	s.refuses("Validation", "a token of nobody", `{"NextToken":"!"}`, badPageToken)
	s.refuses("ResourceNotFound", "no such database", `{"DatabaseName":"none"}`, noDatabase)
}

func updateTable(s *suite) {
	s.must("CreateDatabase", `{"DatabaseName":"home"}`)
	s.must("CreateTable", `{"DatabaseName":"home","TableName":"rooms","Schema":{"CompositePartitionKey":[{"Type":"DIMENSION","Name":"room"}]},
		"RetentionProperties":{"MemoryStoreRetentionPeriodInHours":2,"MagneticStoreRetentionPeriodInDays":3},"MagneticStoreWriteProperties":{"EnableMagneticStoreWrites":true}}`)
	in := timestreamwrite.UpdateTableInput{DatabaseName: aws.String("home"), TableName: aws.String("rooms")}
	s.shows(success, "only what is given changes; the time of the update moves", func(t *testing.T) {
		s.Advance(hour)
		in := in
		in.RetentionProperties = &types.RetentionProperties{MemoryStoreRetentionPeriodInHours: aws.Int64(4), MagneticStoreRetentionPeriodInDays: aws.Int64(5)}
		out, err := s.write.UpdateTable(t.Context(), &in)
		ok(t, err)
		b := out.Table
		same(t, "table", []any{*b.RetentionProperties.MemoryStoreRetentionPeriodInHours, *b.MagneticStoreWriteProperties.EnableMagneticStoreWrites, *b.Schema.CompositePartitionKey[0].Name, *b.CreationTime, *b.LastUpdatedTime},
			[]any{int64(4), true, "room", noon, noon.Add(hour)})
		in.RetentionProperties = nil
		in.MagneticStoreWriteProperties = &types.MagneticStoreWriteProperties{EnableMagneticStoreWrites: aws.Bool(false)}
		out, err = s.write.UpdateTable(t.Context(), &in)
		ok(t, err)
		same(t, "table", []any{*out.Table.RetentionProperties.MemoryStoreRetentionPeriodInHours, *out.Table.MagneticStoreWriteProperties.EnableMagneticStoreWrites}, []any{int64(4), false})
	})
	s.shows(success, "a partition key becomes required and optional again", func(t *testing.T) {
		for _, level := range []types.PartitionKeyEnforcementLevel{types.PartitionKeyEnforcementLevelRequired, types.PartitionKeyEnforcementLevelOptional} {
			in := in
			in.Schema = &types.Schema{CompositePartitionKey: []types.PartitionKey{{Type: types.PartitionKeyTypeDimension, Name: aws.String("room"), EnforcementInRecord: level}}}
			out, err := s.write.UpdateTable(t.Context(), &in)
			ok(t, err)
			same(t, "level", out.Table.Schema.CompositePartitionKey[0].EnforcementInRecord, level)
		}
	})
	s.shows(idempotency, "the same again, and nothing at all, are accepted", func(t *testing.T) {
		for range 2 {
			out, err := s.write.UpdateTable(t.Context(), &in)
			ok(t, err)
			same(t, "hours", *out.Table.RetentionProperties.MemoryStoreRetentionPeriodInHours, int64(4))
		}
	})
	with := func(more string) string { return `{"DatabaseName":"home","TableName":"rooms",` + more + `}` }
	const fixed = "The partition key of a table cannot be changed after its creation; only its enforcement level can."
	s.refuses("Validation", "another dimension as partition key", with(`"Schema":{"CompositePartitionKey":[{"Type":"DIMENSION","Name":"floor"}]}`), fixed)
	s.refuses("Validation", "a measure key instead of a dimension", with(`"Schema":{"CompositePartitionKey":[{"Type":"MEASURE"}]}`), fixed)
	s.refuses("Validation", "0 days", with(`"RetentionProperties":{"MemoryStoreRetentionPeriodInHours":1,"MagneticStoreRetentionPeriodInDays":0}`),
		constraint("0", "retentionProperties.magneticStoreRetentionPeriodInDays", "Member must have value greater than or equal to 1"))
	s.refuses("ResourceNotFound", "no such table", `{"DatabaseName":"home","TableName":"none"}`, noTable)
	s.refuses("ResourceNotFound", "no such database", `{"DatabaseName":"none","TableName":"rooms"}`, noDatabase)
}

func deleteTable(s *suite) {
	s.CreateTable("home", "rooms", hour, day)
	ok(s.T, s.WriteRecords("home", "rooms", weirtestRecord()))
	s.shows(success, "with its records; a table made anew under its name is empty", func(t *testing.T) {
		_, err := s.write.DeleteTable(t.Context(), &timestreamwrite.DeleteTableInput{DatabaseName: aws.String("home"), TableName: aws.String("rooms")})
		ok(t, err)
		s.CreateTable("home", "rooms", hour, day)
		same(t, "rows", s.Query("SELECT count(*) FROM home.rooms"), [][]string{{"0"}})
		same(t, "columns", len(s.Query("DESCRIBE home.rooms")), 2)
		s.must("DeleteTable", `{"DatabaseName":"home","TableName":"rooms"}`)
	})
	s.refuses("Validation", "no names", `{}`, "2 validation errors detected: Value null at 'databaseName' failed to satisfy constraint: Member must not be null; Value null at 'tableName' failed to satisfy constraint: Member must not be null")
	s.refuses("ResourceNotFound", "a second time", `{"DatabaseName":"home","TableName":"rooms"}`, "The table rooms does not exist.")
	s.refuses("ResourceNotFound", "no such database", `{"DatabaseName":"none","TableName":"rooms"}`, noDatabase)
}
