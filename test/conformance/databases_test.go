package conformance

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/timestreamquery"
	"github.com/aws/aws-sdk-go-v2/service/timestreamwrite"
	"github.com/aws/aws-sdk-go-v2/service/timestreamwrite/types"
)

const (
	namePattern   = `Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+`
	homeARN       = "arn:aws:timestream:us-east-1:000000000000:database/home"
	atLeastOne    = "Member must have length greater than or equal to 1"
	noTable       = "The table none does not exist."
	noDatabase    = "The database none does not exist."
	badPageToken  = "Invalid pagination token"
	notJSON       = "The request body is not a JSON object: invalid character 'x' looking for beginning of value."
	serialization = "Serialization"
)

func describeEndpoints(s *suite) {
	s.shows(success, "the address that the caller used, for a day", func(t *testing.T) {
		out, err := s.write.DescribeEndpoints(t.Context(), &timestreamwrite.DescribeEndpointsInput{})
		ok(t, err)
		same(t, "endpoints", []any{len(out.Endpoints), *out.Endpoints[0].Address, out.Endpoints[0].CachePeriodInMinutes}, []any{1, strings.TrimPrefix(s.URL, "http://"), int64(1440)})
	})
	endpointForms(s)
}

func describeQueryEndpoints(s *suite) {
	s.shows(success, "the address that the caller used, for a day", func(t *testing.T) {
		out, err := s.query.DescribeEndpoints(t.Context(), &timestreamquery.DescribeEndpointsInput{})
		ok(t, err)
		same(t, "endpoints", []any{len(out.Endpoints), *out.Endpoints[0].Address}, []any{1, strings.TrimPrefix(s.URL, "http://")})
	})
	endpointForms(s)
}

func createDatabase(s *suite) {
	s.shows(success, "with a key and tags; the answer has the ARN, the key, no tables and both times", func(t *testing.T) {
		out, err := s.write.CreateDatabase(t.Context(), &timestreamwrite.CreateDatabaseInput{
			DatabaseName: aws.String("home"), KmsKeyId: aws.String("alias/mine"), Tags: []types.Tag{{Key: aws.String("stage"), Value: aws.String("")}},
		})
		ok(t, err)
		d := out.Database
		same(t, "database", []any{*d.Arn, *d.DatabaseName, *d.KmsKeyId, d.TableCount, *d.CreationTime, *d.LastUpdatedTime}, []any{homeARN, "home", "alias/mine", int64(0), noon, noon})
		tags, err := s.write.ListTagsForResource(t.Context(), &timestreamwrite.ListTagsForResourceInput{ResourceARN: d.Arn})
		ok(t, err)
		same(t, "tags", []string{*tags.Tags[0].Key, *tags.Tags[0].Value}, []string{"stage", ""})
	})
	s.shows(success, "without a key it tells the ARN of one; without tags, with null or with none", func(t *testing.T) {
		for i, body := range []string{`{"DatabaseName":"d%d"}`, `{"DatabaseName":"d%d","Tags":null}`, `{"DatabaseName":"d%d","Tags":[],"KmsKeyId":null}`} {
			out := s.must("CreateDatabase", fmt.Sprintf(body, i))
			if key := out["Database"].(map[string]any)["KmsKeyId"].(string); !strings.HasPrefix(key, "arn:aws:kms:us-east-1:000000000000:key/") {
				t.Errorf("key %q", key)
			}
		}
	})
	s.shows(success, "names are case sensitive, and may have 256 characters of letters, digits, _ . -", func(t *testing.T) {
		for _, name := range []string{"Home", "a", "9._-", long(256)} {
			_, err := s.write.CreateDatabase(t.Context(), &timestreamwrite.CreateDatabaseInput{DatabaseName: &name})
			ok(t, err)
		}
	})
	s.refuses("Validation", "no name", `{}`, missing("databaseName"))
	s.refuses("Validation", "an empty name", `{"DatabaseName":""}`, constraint("", "databaseName", namePattern))
	s.refuses("Validation", "a name with a blank", `{"DatabaseName":"my home"}`, constraint("my home", "databaseName", namePattern))
	s.refuses("Validation", "a name of 257 bytes", `{"DatabaseName":"`+long(257)+`"}`, "The database name has 257 bytes, more than the limit of 256.")
	s.refuses("Validation", "an empty key", `{"DatabaseName":"x","KmsKeyId":""}`, constraint("", "kmsKeyId", atLeastOne))
	s.refuses("Validation", "a tag without its value", `{"DatabaseName":"x","Tags":[{"Key":"a"}]}`, missing("tags.1.member.value"))
	s.refuses("Validation", "201 tags", `{"DatabaseName":"x","Tags":[`+strings.TrimSuffix(strings.Repeat(`{"Key":"a","Value":"b"},`, 201), ",")+`]}`,
		constraint("[201 members]", "tags", "Member must have length less than or equal to 200"))
	s.refuses("Validation", "several violations in one text", `{"DatabaseName":"!","KmsKeyId":""}`,
		"2 validation errors detected: Value '!' at 'databaseName' failed to satisfy constraint: "+namePattern+"; Value '' at 'kmsKeyId' failed to satisfy constraint: "+atLeastOne)
	s.refuses(serialization, "a body that is no JSON", `x`, notJSON)
	s.refuses(serialization, "a name that is a number", `{"DatabaseName":1}`, "DatabaseName must be a string, not a number.")
	s.refuses("Conflict", "a name that exists, with the same settings or others", `{"DatabaseName":"home"}`, "The database home already exists.")
	s.refuses("ServiceQuotaExceeded", "51 tags", `{"DatabaseName":"x","Tags":[`+manyTags(51)+`]}`, "A resource can have at most 50 tags.")
	for i := range 500 - 8 { // of which there are 8
		s.must("CreateDatabase", fmt.Sprintf(`{"DatabaseName":"n%d"}`, i))
	}
	s.refuses("ServiceQuotaExceeded", "the 501st database", `{"DatabaseName":"x"}`, "The limit of 500 databases per account is reached.")
}

func manyTags(n int) string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf(`{"Key":"k%d","Value":"v"}`, i))
	}
	return strings.Join(list, ",")
}

func describeDatabase(s *suite) {
	s.CreateTable("home", "rooms", hour, day)
	s.shows(success, "all members, the tables counted", func(t *testing.T) {
		out, err := s.write.DescribeDatabase(t.Context(), &timestreamwrite.DescribeDatabaseInput{DatabaseName: aws.String("home")})
		ok(t, err)
		d := out.Database
		same(t, "database", []any{*d.Arn, d.TableCount, *d.CreationTime, *d.LastUpdatedTime, d.KmsKeyId != nil}, []any{homeARN, int64(1), noon, noon, true})
	})
	s.refuses("Validation", "no name", `{}`, missing("databaseName"))
	s.refuses("ResourceNotFound", "no such database", `{"DatabaseName":"none"}`, noDatabase)
	s.refuses("ResourceNotFound", "a name that cannot be", `{"DatabaseName":"no ne"}`, "The database no ne does not exist.")
	s.must("DeleteTable", `{"DatabaseName":"home","TableName":"rooms"}`)
	s.must("DeleteDatabase", `{"DatabaseName":"home"}`)
	s.refuses("ResourceNotFound", "at once after its deletion", `{"DatabaseName":"home"}`, "The database home does not exist.")
}

func listDatabases(s *suite) {
	s.shows(success, "without any", func(t *testing.T) {
		out, err := s.write.ListDatabases(t.Context(), &timestreamwrite.ListDatabasesInput{})
		ok(t, err)
		same(t, "databases", len(out.Databases), 0)
		if _, body, _ := s.post("ListDatabases", `{}`); string(body) != `{"Databases":[]}` {
			t.Errorf("body %s", body)
		}
	})
	for i := range 45 {
		s.must("CreateDatabase", fmt.Sprintf(`{"DatabaseName":"d%02d"}`, 44-i))
	}
	page := func(t *testing.T, in *timestreamwrite.ListDatabasesInput) (names []string, token *string) {
		out, err := s.write.ListDatabases(t.Context(), in)
		ok(t, err)
		for _, d := range out.Databases {
			names = append(names, *d.DatabaseName)
		}
		return names, out.NextToken
	}
	s.shows(paging, "20 by default, in the order of names, without a token on the last page", func(t *testing.T) {
		var sizes []int
		var all []string
		in := &timestreamwrite.ListDatabasesInput{}
		for {
			names, token := page(t, in)
			sizes, all = append(sizes, len(names)), append(all, names...)
			if in.NextToken = token; token == nil {
				break
			}
		}
		same(t, "sizes of pages", sizes, []int{20, 20, 5})
		same(t, "first and last", []string{all[0], all[44]}, []string{"d00", "d44"})
	})
	s.shows(paging, "MaxResults; a token twice gives the same page; what is deleted in between does not disturb", func(t *testing.T) {
		first, token := page(t, &timestreamwrite.ListDatabasesInput{MaxResults: aws.Int32(3)})
		same(t, "first", first, []string{"d00", "d01", "d02"})
		s.must("DeleteDatabase", `{"DatabaseName":"d02"}`)
		for range 2 {
			second, _ := page(t, &timestreamwrite.ListDatabasesInput{MaxResults: aws.Int32(2), NextToken: token})
			same(t, "second", second, []string{"d03", "d04"})
		}
	})
	s.refuses("Validation", "MaxResults 0", `{"MaxResults":0}`, constraint("0", "maxResults", "Member must have value greater than or equal to 1"))
	s.refuses("Validation", "MaxResults 21", `{"MaxResults":21}`, constraint("21", "maxResults", "Member must have value less than or equal to 20"))
	s.refuses("Validation", "a token of nobody", `{"NextToken":"abc"}`, badPageToken)
	_, token := page(s.T, &timestreamwrite.ListDatabasesInput{})
	s.refusesWith("Validation", "a token of another list", badPageToken, func() (*http.Response, []byte, error) { return s.post("ListTables", `{"NextToken":"`+*token+`"}`) })
	s.refuses(serialization, "MaxResults with a fraction", `{"MaxResults":1.5}`, "MaxResults must be an integer, not a number.")
}

func updateDatabase(s *suite) {
	s.must("CreateDatabase", `{"DatabaseName":"home"}`)
	s.shows(success, "another key; the time of the update moves", func(t *testing.T) {
		s.Advance(hour)
		out, err := s.write.UpdateDatabase(t.Context(), &timestreamwrite.UpdateDatabaseInput{DatabaseName: aws.String("home"), KmsKeyId: aws.String("key-2")})
		ok(t, err)
		same(t, "database", []any{*out.Database.KmsKeyId, *out.Database.CreationTime, *out.Database.LastUpdatedTime}, []any{"key-2", noon, noon.Add(hour)})
	})
	s.shows(idempotency, "the same key again changes nothing", func(t *testing.T) {
		out, err := s.write.UpdateDatabase(t.Context(), &timestreamwrite.UpdateDatabaseInput{DatabaseName: aws.String("home"), KmsKeyId: aws.String("key-2")})
		ok(t, err)
		same(t, "key", *out.Database.KmsKeyId, "key-2")
	})
	s.refuses("Validation", "no key", `{"DatabaseName":"home"}`, missing("kmsKeyId"))
	s.refuses("Validation", "a key of 2,049 characters", `{"DatabaseName":"home","KmsKeyId":"`+long(2049)+`"}`, constraint(long(2049), "kmsKeyId", "Member must have length less than or equal to 2048"))
	s.refuses("ResourceNotFound", "no such database", `{"DatabaseName":"none","KmsKeyId":"k"}`, noDatabase)
}

func deleteDatabase(s *suite) {
	s.must("CreateDatabase", `{"DatabaseName":"home"}`)
	s.CreateTable("full", "rooms", hour, day)
	s.shows(success, "an empty one; its name is free at once", func(t *testing.T) {
		_, err := s.write.DeleteDatabase(t.Context(), &timestreamwrite.DeleteDatabaseInput{DatabaseName: aws.String("home")})
		ok(t, err)
		s.must("CreateDatabase", `{"DatabaseName":"home"}`)
		s.must("DeleteDatabase", `{"DatabaseName":"home"}`)
	})
	s.refuses("Validation", "no name", `{}`, missing("databaseName"))
	s.refuses("Validation", "tables left", `{"DatabaseName":"full"}`, "The database full cannot be deleted because it has 1 tables. Delete its tables first.")
	s.refuses("ResourceNotFound", "a second time", `{"DatabaseName":"home"}`, "The database home does not exist.")
}
