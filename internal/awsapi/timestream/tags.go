package timestream

import (
	"context"
	"slices"

	"github.com/weir-db/weir/internal/awsapi/wire"
	"github.com/weir-db/weir/internal/catalog"
	"github.com/weir-db/weir/internal/schedule"
)

type tagIn struct {
	Key   *string `check:"required len=1..128"`
	Value *string `check:"required len=0..256"`
}

func tagsOf(in []tagIn) []catalog.Tag {
	out := make([]catalog.Tag, len(in))
	for i, t := range in {
		out[i] = catalog.Tag{Key: *t.Key, Value: *t.Value}
	}
	return out
}

type tagResourceIn struct {
	ResourceARN *string `check:"required len=1..2048"`
	Tags        []tagIn `check:"required len=0..200"`
}

func (s *service) tagResource(ctx context.Context, _ *wire.Call, in *tagResourceIn) (any, error) {
	if schedule.Is(*in.ResourceARN) {
		return nil, s.Scheduled.Tag(*in.ResourceARN, tagsOf(in.Tags))
	}
	return nil, s.Catalog.Tag(ctx, *in.ResourceARN, tagsOf(in.Tags))
}

type untagResourceIn struct {
	ResourceARN *string  `check:"required len=1..2048"`
	TagKeys     []string `check:"required len=0..200 items=1..128"`
}

func (s *service) untagResource(ctx context.Context, _ *wire.Call, in *untagResourceIn) (any, error) {
	if schedule.Is(*in.ResourceARN) {
		return nil, s.Scheduled.Untag(*in.ResourceARN, in.TagKeys)
	}
	return nil, s.Catalog.Untag(ctx, *in.ResourceARN, in.TagKeys)
}

// listTagsIn has the paging of the query API, which the write API lacks.
type listTagsIn struct {
	ResourceARN *string `check:"required len=1..2048"`
	MaxResults  *int64  `check:"value=1..200"`
	NextToken   *string
}

type listTagsOut struct {
	Tags      []tagOut
	NextToken string
}

// tagOut writes an empty value too.
type tagOut struct {
	Key   string
	Value *string
}

func (s *service) listTags(_ context.Context, _ *wire.Call, in *listTagsIn) (any, error) {
	after, err := readToken(in.NextToken, "tags")
	if err != nil {
		return nil, err
	}
	tagsOf := s.Catalog.Tags
	if schedule.Is(*in.ResourceARN) {
		tagsOf = s.Scheduled.Tags
	}
	tags, err := tagsOf(*in.ResourceARN)
	if err != nil {
		return nil, err
	}
	if in.NextToken != nil {
		tags = slices.DeleteFunc(slices.Clone(tags), func(t catalog.Tag) bool { return t.Key <= after })
	}
	out := listTagsOut{Tags: []tagOut{}}
	for i := range tags {
		if in.MaxResults != nil && int64(i) == *in.MaxResults {
			out.NextToken = token("tags", tags[i-1].Key)
			break
		}
		out.Tags = append(out.Tags, tagOut{tags[i].Key, &tags[i].Value})
	}
	return out, nil
}
