package conformance

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/timestreamquery"
	querytypes "github.com/aws/aws-sdk-go-v2/service/timestreamquery/types"
	"github.com/aws/aws-sdk-go-v2/service/timestreamwrite"
	writetypes "github.com/aws/aws-sdk-go-v2/service/timestreamwrite/types"
)

const (
	roomsARN = homeARN + "/table/rooms"
	noneARN  = "arn:aws:timestream:us-east-1:000000000000:scheduled-query/none-0123456789abcdef"
)

// tagsOf returns the tags of a resource as k=v.
func (s *suite) tagsOf(arn string) string {
	var list []string
	for _, tag := range s.must("ListTagsForResource", `{"ResourceARN":"`+arn+`"}`)["Tags"].([]any) {
		m := tag.(map[string]any)
		list = append(list, fmt.Sprint(m["Key"], "=", m["Value"]))
	}
	return strings.Join(list, " ")
}

func writeTag(kv string) writetypes.Tag {
	k, v, _ := strings.Cut(kv, "=")
	return writetypes.Tag{Key: &k, Value: &v}
}

func queryTag(kv string) querytypes.Tag {
	k, v, _ := strings.Cut(kv, "=")
	return querytypes.Tag{Key: &k, Value: &v}
}

func tagResource(s *suite) {
	s.CreateTable("home", "rooms", hour, day)
	for _, arn := range []string{homeARN, roomsARN} {
		s.shows(success, "adds to what is there, replaces by key: "+arn[len("arn:aws:timestream:us-east-1:000000000000:"):], func(t *testing.T) {
			for _, list := range [][]writetypes.Tag{{writeTag("a=1"), writeTag("B=x y")}, {writeTag("a=2"), writeTag("c=")}} {
				_, err := s.write.TagResource(t.Context(), &timestreamwrite.TagResourceInput{ResourceARN: &arn, Tags: list})
				ok(t, err)
			}
			same(t, "tags", s.tagsOf(arn), "B=x y a=2 c=")
		})
	}
	s.shows(idempotency, "the same tags again", func(t *testing.T) {
		for range 2 {
			_, err := s.write.TagResource(t.Context(), &timestreamwrite.TagResourceInput{ResourceARN: aws.String(homeARN), Tags: []writetypes.Tag{writeTag("a=2")}})
			ok(t, err)
		}
		same(t, "tags", s.tagsOf(homeARN), "B=x y a=2 c=")
	})
	badTags(s, homeARN)
	s.refuses("ServiceQuotaExceeded", "the 51st tag", `{"ResourceARN":"`+homeARN+`","Tags":[`+manyTags(48)+`]}`, "A resource can have at most 50 tags.")
	s.refuses("ResourceNotFound", "no such table", `{"ResourceARN":"`+homeARN+`/table/none","Tags":[]}`, "The resource "+homeARN+"/table/none does not exist.")
	s.refuses("ResourceNotFound", "another account's", `{"ResourceARN":"arn:aws:timestream:us-east-1:111111111111:database/home","Tags":[]}`, "The resource arn:aws:timestream:us-east-1:111111111111:database/home does not exist.")
	s.refuses("ResourceNotFound", "no ARN at all", `{"ResourceARN":"home","Tags":[]}`, "The resource home does not exist.")
}

func badTags(s *suite, arn string) {
	s.refuses("Validation", "no ARN", `{"Tags":[]}`, missing("resourceARN"))
	s.refuses("Validation", "no tags member", `{"ResourceARN":"`+arn+`"}`, missing("tags"))
	s.refuses("Validation", "an empty key", `{"ResourceARN":"`+arn+`","Tags":[{"Key":"","Value":"x"}]}`, constraint("", "tags.1.member.key", atLeastOne))
	s.refuses("Validation", "a key of 129 characters", `{"ResourceARN":"`+arn+`","Tags":[{"Key":"`+long(129)+`","Value":"x"}]}`, constraint(long(129), "tags.1.member.key", "Member must have length less than or equal to 128"))
	s.refuses("Validation", "a value of 257 characters", `{"ResourceARN":"`+arn+`","Tags":[{"Key":"a","Value":"`+long(257)+`"}]}`, constraint(long(257), "tags.1.member.value", "Member must have length less than or equal to 256"))
	s.refuses("Validation", "a reserved key", `{"ResourceARN":"`+arn+`","Tags":[{"Key":"aws:a","Value":"x"}]}`, "The tag key 'aws:a' is invalid. Keys that start with aws: are reserved.")
	s.refuses("Validation", "a letter that is not allowed", `{"ResourceARN":"`+arn+`","Tags":[{"Key":"a","Value":"<"}]}`, "The tag 'a' is invalid. Keys and values can have letters, digits, white space, and the characters + - = . _ : / @")
}

func untagResource(s *suite) {
	s.CreateTable("home", "rooms", hour, day)
	s.must("TagResource", `{"ResourceARN":"`+roomsARN+`","Tags":[{"Key":"a","Value":"1"},{"Key":"b","Value":"2"}]}`)
	s.shows(success, "by key; keys that are not there are ignored", func(t *testing.T) {
		_, err := s.write.UntagResource(t.Context(), &timestreamwrite.UntagResourceInput{ResourceARN: aws.String(roomsARN), TagKeys: []string{"a", "none"}})
		ok(t, err)
		same(t, "tags", s.tagsOf(roomsARN), "b=2")
	})
	s.shows(idempotency, "a second time", func(t *testing.T) {
		_, err := s.write.UntagResource(t.Context(), &timestreamwrite.UntagResourceInput{ResourceARN: aws.String(roomsARN), TagKeys: []string{"a"}})
		ok(t, err)
		same(t, "tags", s.tagsOf(roomsARN), "b=2")
	})
	s.refuses("Validation", "no keys member", `{"ResourceARN":"`+roomsARN+`"}`, missing("tagKeys"))
	s.refuses("Validation", "an empty key", `{"ResourceARN":"`+roomsARN+`","TagKeys":[""]}`, constraint("", "tagKeys.1.member", atLeastOne))
	s.refuses("ResourceNotFound", "no such database", `{"ResourceARN":"`+homeARN+`x","TagKeys":["a"]}`, "The resource "+homeARN+"x does not exist.")
}

func listTags(s *suite) {
	s.CreateTable("home", "rooms", hour, day)
	s.shows(success, "none is an empty list; 50 come at once, in the order of keys", func(t *testing.T) {
		out, err := s.write.ListTagsForResource(t.Context(), &timestreamwrite.ListTagsForResourceInput{ResourceARN: aws.String(homeARN)})
		ok(t, err)
		same(t, "tags", len(out.Tags), 0)
		s.must("TagResource", `{"ResourceARN":"`+homeARN+`","Tags":[`+manyTags(50)+`]}`)
		out, err = s.write.ListTagsForResource(t.Context(), &timestreamwrite.ListTagsForResourceInput{ResourceARN: aws.String(homeARN)})
		ok(t, err)
		same(t, "tags", []any{len(out.Tags), *out.Tags[0].Key, *out.Tags[1].Key}, []any{50, "k0", "k1"})
	})
	s.refuses("Validation", "no ARN", `{}`, missing("resourceARN"))
	s.refuses("Validation", "an empty ARN", `{"ResourceARN":""}`, constraint("", "resourceARN", atLeastOne))
	s.refuses("ResourceNotFound", "no such table", `{"ResourceARN":"`+homeARN+`/table/none"}`, "The resource "+homeARN+"/table/none does not exist.")
}

func tagScheduledQuery(s *suite) {
	arn := s.scheduled("hourly", "")
	s.shows(success, "adds to what is there, replaces by key; databases and tables too", func(t *testing.T) {
		for _, list := range [][]querytypes.Tag{{queryTag("a=1"), queryTag("b=1")}, {queryTag("a=2")}} {
			for _, at := range []string{arn, homeARN, roomsARN} {
				_, err := s.query.TagResource(t.Context(), &timestreamquery.TagResourceInput{ResourceARN: &at, Tags: list})
				ok(t, err)
				if len(list) == 1 {
					same(t, at, s.tagsOf(at), "a=2 b=1")
				}
			}
		}
	})
	s.shows(idempotency, "the same tags again", func(t *testing.T) {
		_, err := s.query.TagResource(t.Context(), &timestreamquery.TagResourceInput{ResourceARN: &arn, Tags: []querytypes.Tag{queryTag("a=2")}})
		ok(t, err)
		same(t, "tags", s.tagsOf(arn), "a=2 b=1")
	})
	badTags(s, arn)
	s.refuses("ServiceQuotaExceeded", "the 51st tag", `{"ResourceARN":"`+arn+`","Tags":[`+manyTags(49)+`]}`, "A resource can have at most 50 tags.")
	s.refuses("ResourceNotFound", "no such scheduled query", `{"ResourceARN":"`+noneARN+`","Tags":[]}`, "The scheduled query "+noneARN+" does not exist.")
}

func untagScheduledQuery(s *suite) {
	arn := s.scheduled("hourly", `"Tags":[{"Key":"a","Value":"1"},{"Key":"b","Value":""}],`)
	s.shows(success, "by key", func(t *testing.T) {
		_, err := s.query.UntagResource(t.Context(), &timestreamquery.UntagResourceInput{ResourceARN: &arn, TagKeys: []string{"a", "none"}})
		ok(t, err)
		same(t, "tags", s.tagsOf(arn), "b=")
	})
	s.shows(idempotency, "a second time", func(t *testing.T) {
		_, err := s.query.UntagResource(t.Context(), &timestreamquery.UntagResourceInput{ResourceARN: &arn, TagKeys: []string{"a"}})
		ok(t, err)
		same(t, "tags", s.tagsOf(arn), "b=")
	})
	s.refuses("Validation", "no keys member", `{"ResourceARN":"`+arn+`"}`, missing("tagKeys"))
	s.refuses("ResourceNotFound", "no such scheduled query", `{"ResourceARN":"`+noneARN+`","TagKeys":["a"]}`, "The scheduled query "+noneARN+" does not exist.")
}

func listScheduledQueryTags(s *suite) {
	arn := s.scheduled("hourly", `"Tags":[`+manyTags(7)+`],`)
	list := func(t *testing.T, size *int32) (sizes []int) {
		pages := timestreamquery.NewListTagsForResourcePaginator(s.query, &timestreamquery.ListTagsForResourceInput{ResourceARN: &arn, MaxResults: size})
		for pages.HasMorePages() {
			out, err := pages.NextPage(t.Context())
			ok(t, err)
			sizes = append(sizes, len(out.Tags))
		}
		return sizes
	}
	s.shows(success, "all at once", func(t *testing.T) { same(t, "sizes", list(t, nil), []int{7}) })
	s.shows(paging, "MaxResults", func(t *testing.T) { same(t, "sizes", list(t, aws.Int32(3)), []int{3, 3, 1}) })
	s.refuses("Validation", "MaxResults 201", `{"ResourceARN":"`+arn+`","MaxResults":201}`, constraint("201", "maxResults", "Member must have value less than or equal to 200"))
	s.refuses("Validation", "a token of nobody", `{"ResourceARN":"`+arn+`","NextToken":"x"}`, badPageToken)
	s.refuses("ResourceNotFound", "no such scheduled query", `{"ResourceARN":"`+noneARN+`"}`, "The scheduled query "+noneARN+" does not exist.")
}
