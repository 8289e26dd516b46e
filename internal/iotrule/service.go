package iotrule

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/weir-db/weir/internal/arn"
	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/ingest"
	"github.com/weir-db/weir/internal/iotrule/iotsql"
	"github.com/weir-db/weir/internal/telemetry"
)

// Writer stores records; *ingest.Service is one.
type Writer interface {
	Write(ctx context.Context, req *ingest.Request) (ingest.Result, error)
}

// Documents keeps the rules, small JSON texts by name.
type Documents interface {
	// Each calls f for every document, in any order. f may keep doc.
	Each(f func(key string, doc []byte) error) error
	// Apply makes all changes durable or none; a nil document deletes its key.
	Apply(changes map[string][]byte) error
}

// Options configure a Service. Writer is required.
type Options struct {
	Writer    Writer
	Documents Documents    // nil: nothing is kept, for tests
	Clock     *clock.Clock // nil: the machine's
	Region    string       // in ARNs; "us-east-1"
	AccountID string       // in ARNs and accountid(); "000000000000"

	// Deliver hands a republished message to subscribers; the rules have seen it
	// already. nil: republished messages reach rules only. It can be set later, see
	// [Service.SetDeliver].
	Deliver func(ctx context.Context, m *Message) error

	// Authorize says whether a role may be assumed for a rule and do action ("timestream:WriteRecords")
	// to a resource, by ARN. Its error is the action's failure. nil allows everything.
	Authorize func(roleARN, action, resource string) error

	MaxRules  int                 // quota; 1000
	Telemetry *telemetry.Registry // nil: counts go nowhere
	Log       *slog.Logger        // nil: discard
}

func (o Options) withDefaults() Options {
	if o.Clock == nil {
		o.Clock = clock.New()
	}
	if o.Region == "" {
		o.Region = "us-east-1"
	}
	if o.AccountID == "" {
		o.AccountID = "000000000000"
	}
	if o.MaxRules == 0 {
		o.MaxRules = 1000
	}
	if o.Telemetry == nil {
		o.Telemetry = telemetry.New(telemetry.Options{Now: o.Clock.Now})
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// Service holds the rules and runs them. See [Open].
type Service struct {
	opt     Options
	meters  meters
	snap    atomic.Pointer[snapshot] // replaced, never modified
	deliver atomic.Pointer[func(ctx context.Context, m *Message) error]
	missing failureLog // of Basic Ingest to rules that do not run

	changing sync.Mutex // held while a change is made, across its write to disk
}

// snapshot is all rules at one moment.
type snapshot struct {
	byName map[string]*compiled
	index  trie // of the enabled rules
}

func newSnapshot(rules map[string]*compiled) *snapshot {
	s := &snapshot{byName: rules}
	for _, name := range slices.Sorted(maps.Keys(rules)) {
		if c := rules[name]; !c.Disabled && c.filter != "" {
			s.index.add(c.filter, c)
		}
	}
	return s
}

// Open returns a Service with the rules that its documents hold. A document that
// is no rule is damage (fault.Corrupt). A rule that no longer compiles is
// kept, does not run, and is logged.
func Open(opt Options) (*Service, error) {
	s := &Service{opt: opt.withDefaults()}
	s.meters = newMeters(s.opt.Telemetry)
	if s.opt.Deliver != nil {
		s.SetDeliver(s.opt.Deliver)
	}
	rules := map[string]*compiled{}
	if s.opt.Documents != nil {
		err := s.opt.Documents.Each(func(key string, doc []byte) error {
			var r Rule
			if err := json.Unmarshal(doc, &r); err != nil || r.Name != key {
				return fault.Wrap(fault.Corrupt, fmt.Errorf("document %q is not a topic rule: %v", key, err), "A stored topic rule is damaged.")
			}
			c, err := s.compile(r)
			if err != nil {
				s.opt.Log.Error("topic rule does not run", "rule", key, "err", err)
				c = &compiled{Rule: r, meters: s.meters.rule(r.Name)}
			}
			rules[key] = c
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	s.snap.Store(newSnapshot(rules))
	return s, nil
}

// SetDeliver sets Options.Deliver, for servers whose broker needs the Service first.
func (s *Service) SetDeliver(deliver func(ctx context.Context, m *Message) error) {
	s.deliver.Store(&deliver)
}

func (s *Service) authorize(role, action, resource string) error {
	if s.opt.Authorize == nil {
		return nil
	}
	return s.opt.Authorize(role, action, resource)
}

// ARN returns the ARN of the rule of that name.
func (s *Service) ARN(name string) string {
	return arn.New("iot", s.opt.Region, s.opt.AccountID, "rule/"+name).String()
}

// TopicARN returns the ARN of a topic.
func (s *Service) TopicARN(topic string) string {
	return arn.New("iot", s.opt.Region, s.opt.AccountID, "topic/"+topic).String()
}

// NameOf returns the rule name in an ARN, of any region and account; the error is
// fault.NotFound.
func (s *Service) NameOf(text string) (string, error) {
	a, err := arn.Parse(text)
	if err != nil {
		return "", err
	}
	name, ok := strings.CutPrefix(a.Resource, "rule/")
	if !ok || a.Service != "iot" {
		return "", fault.New(fault.NotFound, "The resource %s does not exist.", text)
	}
	return name, nil
}

// Rule returns the rule of that name; the error is fault.NotFound.
func (s *Service) Rule(name string) (Rule, error) {
	if c := s.snap.Load().byName[name]; c != nil {
		return c.Rule, nil
	}
	return Rule{}, notFound(name)
}

func notFound(name string) error {
	return fault.New(fault.NotFound, "Access to topic rule '%s' was denied", name)
}

// Rules returns all rules ordered by name.
func (s *Service) Rules() []Rule {
	byName := s.snap.Load().byName
	rules := make([]Rule, 0, len(byName))
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		rules = append(rules, byName[name].Rule)
	}
	return rules
}

// Filter returns the topic filter of a rule's statement, "" if it has none.
func (s *Service) Filter(name string) string {
	if c := s.snap.Load().byName[name]; c != nil {
		return c.filter
	}
	return ""
}

// Matches reports whether the filter of the rule of that name takes topic.
func (s *Service) Matches(name, topic string) bool {
	filter := s.Filter(name)
	return filter != "" && iotsql.MatchFilter(filter, topic)
}

// Create adds a rule; CreatedAt is set for it. Errors: *iotsql.SyntaxError,
// fault.Invalid, fault.Conflict if the name is taken, fault.Quota.
func (s *Service) Create(r Rule) error {
	return s.change(r.Name, func(old *compiled, count int) (*Rule, error) {
		switch {
		case old != nil:
			return nil, fault.New(fault.Conflict, "Rule with name %s already exists", r.Name)
		case count >= s.opt.MaxRules:
			return nil, fault.New(fault.Quota, "The account has the maximum number of topic rules, %d.", s.opt.MaxRules)
		}
		r.CreatedAt = s.opt.Clock.Now()
		r.Tags = sortTags(r.Tags)
		return &r, nil
	})
}

// Replace changes everything of a rule but its name, tags and CreatedAt. Errors: as of
// Create, and fault.NotFound.
func (s *Service) Replace(r Rule) error {
	return s.change(r.Name, func(old *compiled, _ int) (*Rule, error) {
		if old == nil {
			return nil, notFound(r.Name)
		}
		r.CreatedAt, r.Tags = old.CreatedAt, old.Tags
		return &r, nil
	})
}

// SetDisabled turns a rule off or on; the error is fault.NotFound.
func (s *Service) SetDisabled(name string, disabled bool) error {
	return s.change(name, func(old *compiled, _ int) (*Rule, error) {
		if old == nil {
			return nil, notFound(name)
		}
		r := old.Rule
		r.Disabled = disabled
		return &r, nil
	})
}

// Delete removes a rule; one that is not there is deleted already.
func (s *Service) Delete(name string) error {
	return s.change(name, func(*compiled, int) (*Rule, error) { return nil, nil })
}

// Tag adds tags to a rule; a key that is there gets the new value.
func (s *Service) Tag(name string, tags []Tag) error {
	return s.retag(name, func(old []Tag) []Tag {
		tags = sortTags(tags)
		for _, t := range old {
			if !slices.ContainsFunc(tags, func(n Tag) bool { return n.Key == t.Key }) {
				tags = append(tags, t)
			}
		}
		return sortTags(tags)
	})
}

// Untag removes tags by key; keys that are not there are ignored.
func (s *Service) Untag(name string, keys []string) error {
	return s.retag(name, func(old []Tag) []Tag {
		return slices.DeleteFunc(slices.Clone(old), func(t Tag) bool { return slices.Contains(keys, t.Key) })
	})
}

func (s *Service) retag(name string, f func(old []Tag) []Tag) error {
	return s.change(name, func(old *compiled, _ int) (*Rule, error) {
		if old == nil {
			return nil, fault.New(fault.NotFound, "The rule %s does not exist.", name)
		}
		r := old.Rule
		r.Tags = f(old.Tags)
		return &r, nil
	})
}

// change replaces one rule by what f makes of it, nil to remove it: compiled,
// then durable, then in effect.
func (s *Service) change(name string, f func(old *compiled, count int) (*Rule, error)) error {
	if err := checkName(name); err != nil {
		return err
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	byName := s.snap.Load().byName
	old := byName[name]
	r, err := f(old, len(byName))
	if err != nil {
		return err
	}
	if r == nil && old == nil {
		return nil
	}
	next := maps.Clone(byName)
	var doc []byte
	if r == nil {
		delete(next, name)
	} else {
		c, err := s.compile(*r)
		if err != nil {
			return err
		}
		if doc, err = json.Marshal(r); err != nil {
			return fmt.Errorf("encode topic rule %s: %w", name, err)
		}
		next[name] = c
	}
	if s.opt.Documents != nil {
		if err := s.opt.Documents.Apply(map[string][]byte{name: doc}); err != nil {
			return fmt.Errorf("keep topic rule %s: %w", name, err)
		}
	}
	s.snap.Store(newSnapshot(next))
	return nil
}
