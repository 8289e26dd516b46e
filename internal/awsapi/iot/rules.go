package iot

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/weir-db/weir/internal/awsapi/wire"
	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/iotrule"
)

func (s *control) createTopicRule(_ context.Context, c *wire.Call) (wire.Response, error) {
	name := c.Path["ruleName"]
	r, err := ruleOf(name, c.Body)
	if err != nil {
		return wire.Response{}, err
	}
	if r.Tags, err = headerTags(c.HTTP.Header.Get("X-Amz-Tagging")); err != nil {
		return wire.Response{}, err
	}
	if err := s.mayDefine(c, &r); err != nil {
		return wire.Response{}, err
	}
	return wire.Response{}, s.refine(name, s.Rules.Create(r))
}

// headerTags reads k1=v1&k2=v2.
func headerTags(header string) ([]iotrule.Tag, error) {
	var tags []iotrule.Tag
	for pair := range strings.SplitSeq(header, "&") {
		if pair == "" {
			continue
		}
		k, v, _ := strings.Cut(pair, "=")
		key, err1 := url.QueryUnescape(k)
		value, err2 := url.QueryUnescape(v)
		if err1 != nil || err2 != nil {
			return nil, invalid("The header x-amz-tagging is not well encoded.")
		}
		tags = append(tags, iotrule.Tag{Key: key, Value: value})
	}
	return tags, nil
}

func (s *control) replaceTopicRule(_ context.Context, c *wire.Call) (wire.Response, error) {
	name := c.Path["ruleName"]
	r, err := ruleOf(name, c.Body)
	if err != nil {
		return wire.Response{}, err
	}
	if err := s.mayDefine(c, &r); err != nil {
		return wire.Response{}, err
	}
	return wire.Response{}, s.refine(name, s.Rules.Replace(r))
}

// mayDefine asks whether the caller may write a rule and hand it the roles that it names.
func (s *control) mayDefine(c *wire.Call, r *iotrule.Rule) error {
	if err := c.Check("iot:"+c.Operation, s.Rules.ARN(r.Name)); err != nil {
		return err
	}
	for _, role := range r.Roles() {
		if err := c.Check("iam:PassRole", role); err != nil {
			return err
		}
	}
	return nil
}

func (s *control) deleteTopicRule(_ context.Context, c *wire.Call) (wire.Response, error) {
	return wire.Response{}, s.Rules.Delete(c.Path["ruleName"])
}

func (s *control) setDisabled(disabled bool) wire.Handler {
	return func(_ context.Context, c *wire.Call) (wire.Response, error) {
		return wire.Response{}, s.Rules.SetDisabled(c.Path["ruleName"], disabled)
	}
}

func (s *control) getTopicRule(_ context.Context, c *wire.Call) (wire.Response, error) {
	r, err := s.Rules.Rule(c.Path["ruleName"])
	if err != nil {
		return wire.Response{}, err
	}
	return wire.Value(struct {
		RuleArn string    `wire:"ruleArn"`
		Rule    topicRule `wire:"rule"`
	}{s.Rules.ARN(r.Name), shapeOf(&r)}), nil
}

type listItem struct {
	RuleArn      string    `wire:"ruleArn"`
	RuleName     string    `wire:"ruleName"`
	TopicPattern string    `wire:"topicPattern"`
	CreatedAt    time.Time `wire:"createdAt"`
	RuleDisabled bool      `wire:"ruleDisabled"`
}

func (s *control) listTopicRules(_ context.Context, c *wire.Call) (wire.Response, error) {
	limit, after, err := page(c, 10_000)
	if err != nil {
		return wire.Response{}, err
	}
	topic, disabled := c.Param("topic"), c.Param("ruleDisabled")
	if disabled != "" && disabled != "true" && disabled != "false" {
		return wire.Response{}, invalid("ruleDisabled must be true or false, not %q.", disabled)
	}
	out := struct {
		Rules     []listItem `wire:"rules"`
		NextToken string     `wire:"nextToken"`
	}{Rules: []listItem{}}
	for _, r := range s.Rules.Rules() {
		switch {
		case r.Name <= after && after != "",
			disabled != "" && disabled != strconv.FormatBool(r.Disabled),
			topic != "" && s.Rules.Filter(r.Name) != topic && !s.Rules.Matches(r.Name, topic):
			continue
		}
		if len(out.Rules) == limit {
			out.NextToken = token(out.Rules[limit-1].RuleName)
			break
		}
		out.Rules = append(out.Rules, listItem{s.Rules.ARN(r.Name), r.Name, s.Rules.Filter(r.Name), r.CreatedAt, r.Disabled})
	}
	return wire.Value(out), nil
}

// page reads maxResults and nextToken; after is the last name of the page before.
func page(c *wire.Call, most int) (limit int, after string, err error) {
	return pageNamed(c, "maxResults", "nextToken", most)
}

// pageNamed is page where the parameters have other names.
func pageNamed(c *wire.Call, sizeName, tokenName string, most int) (limit int, after string, err error) {
	limit = most
	if text := c.Param(sizeName); text != "" {
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > most {
			return 0, "", invalid("%s must be a number from 1 to %d, not %q.", sizeName, most, text)
		}
	}
	if text := c.Param(tokenName); text != "" {
		b, err := base64.RawURLEncoding.DecodeString(text)
		if err != nil || len(b) == 0 {
			return 0, "", invalid("The %s is invalid.", tokenName)
		}
		after = string(b)
	}
	return limit, after, nil
}

func token(last string) string { return base64.RawURLEncoding.EncodeToString([]byte(last)) }

type tag struct {
	Key   string `json:"Key" wire:"Key"`
	Value string `json:"Value" wire:"Value"`
}

func decode(body []byte, into any) error {
	if err := json.Unmarshal(body, into); err != nil {
		return invalid("The request is not valid: %s.", strings.TrimPrefix(err.Error(), "json: "))
	}
	return nil
}

// tagged resolves the ARN of a rule, if the caller may do this to it; the calls on tags do have a not-found error.
func (s *control) tagged(c *wire.Call, resource string) (iotrule.Rule, error) {
	name, err := s.Rules.NameOf(resource)
	asked := resource
	if err == nil {
		asked = s.Rules.ARN(name) // what it acts on, whatever region and account the ARN names
	}
	if err := c.Check("iot:"+c.Operation, asked); err != nil {
		return iotrule.Rule{}, err
	}
	if err == nil {
		var r iotrule.Rule
		if r, err = s.Rules.Rule(name); err == nil {
			return r, nil
		}
	}
	if fault.Is(err, fault.NotFound) {
		return iotrule.Rule{}, wire.Newf(notFound, "The resource %s does not exist.", resource)
	}
	return iotrule.Rule{}, err
}

func (s *control) tagResource(_ context.Context, c *wire.Call) (wire.Response, error) {
	var in struct {
		ResourceArn string `json:"resourceArn"`
		Tags        []tag  `json:"tags"`
	}
	if err := decode(c.Body, &in); err != nil {
		return wire.Response{}, err
	}
	r, err := s.tagged(c, in.ResourceArn)
	if err != nil {
		return wire.Response{}, err
	}
	tags := make([]iotrule.Tag, len(in.Tags))
	for i, t := range in.Tags {
		tags[i] = iotrule.Tag(t)
	}
	return wire.Response{}, s.Rules.Tag(r.Name, tags)
}

func (s *control) untagResource(_ context.Context, c *wire.Call) (wire.Response, error) {
	var in struct {
		ResourceArn string   `json:"resourceArn"`
		TagKeys     []string `json:"tagKeys"`
	}
	if err := decode(c.Body, &in); err != nil {
		return wire.Response{}, err
	}
	r, err := s.tagged(c, in.ResourceArn)
	if err != nil {
		return wire.Response{}, err
	}
	return wire.Response{}, s.Rules.Untag(r.Name, in.TagKeys)
}

func (s *control) listTags(_ context.Context, c *wire.Call) (wire.Response, error) {
	r, err := s.tagged(c, c.Param("resourceArn"))
	if err != nil {
		return wire.Response{}, err
	}
	out := struct {
		Tags []tag `wire:"tags"`
	}{Tags: []tag{}}
	for _, t := range r.Tags {
		out.Tags = append(out.Tags, tag(t))
	}
	return wire.Value(out), nil
}
