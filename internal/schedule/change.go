package schedule

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"time"

	"github.com/weir-db/weir/internal/arn"
	"github.com/weir-db/weir/internal/catalog"
	"github.com/weir-db/weir/internal/fault"
)

// tokenLife is how long a ClientToken makes a creation idempotent (Query API,
// CreateScheduledQuery).
const tokenLife = 8 * time.Hour

// Create adds a query, which is enabled from the start. The SQL and the target are
// analysed first. With the token of an earlier call of the last 8 hours and the same
// definition it returns the query of that call. Errors: fault.Invalid, fault.Conflict
// if the name or the token is taken, fault.Quota, and those of Options.AssumeRole.
func (s *Service) Create(ctx context.Context, d Definition, tags []catalog.Tag, token string) (*Query, error) {
	print := fingerprint(d, tags)
	if q, err := s.again(token, print); q != nil || err != nil {
		return q, err
	}
	tags, err := catalog.MergeTags(nil, tags)
	if err != nil {
		return nil, err
	}
	when, err := s.analyse(ctx, &d)
	if err != nil {
		return nil, err
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	if q, err := s.again(token, print); q != nil || err != nil {
		return q, err
	}
	if err := s.room(d.Name); err != nil {
		return nil, err
	}
	now := s.opts.Clock.Now()
	doc := &document{Token: token, Fingerprint: print}
	doc.Definition, doc.Tags, doc.Created, doc.Enabled = d, tags, seconds(now), true
	doc.ARN = arn.New("timestream", s.opts.Region, s.opts.AccountID, "scheduled-query/"+d.Name+"-"+randomHex(8)).String()
	doc.Next = when.next(now, doc.Created)
	if err := s.checkLate(&doc.Query); err != nil {
		return nil, err
	}
	s.notify(ctx, &doc.Query, note{Type: noteCreating})
	if err := s.save(doc); err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.rewatchLocked(s.addLocked(doc, when))
	s.wakeLocked()
	s.mu.Unlock()
	s.notify(ctx, &doc.Query, note{Type: noteCreated})
	return &doc.Query, nil
}

func fingerprint(d Definition, tags []catalog.Tag) string {
	text, err := json.Marshal(struct {
		Definition
		Tags []catalog.Tag
	}{d, tags})
	if err != nil {
		panic("bug: " + err.Error())
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// again returns the query that an earlier call with the same token made, or nil.
func (s *Service) again(token, print string) (*Query, error) {
	if token == "" {
		return nil, nil
	}
	now := s.opts.Clock.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.byARN {
		if e.doc.Token != token || now.Sub(e.doc.Created) > tokenLife {
			continue
		}
		if e.doc.Fingerprint != print {
			return nil, fault.New(fault.Conflict, "The ClientToken was used before with other parameters.")
		}
		return &e.doc.Query, nil
	}
	return nil, nil
}

func (s *Service) room(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byName[name] != nil {
		return fault.New(fault.Conflict, "A scheduled query with the name %s already exists.", name)
	}
	if len(s.byName) >= s.opts.MaxQueries {
		return fault.New(fault.Quota, "The limit of %d scheduled queries per account is reached.", s.opts.MaxQueries)
	}
	return nil
}

// analyse checks a definition against the tables as they are (a query over columns that
// do not exist yet is refused, as on AWS).
func (s *Service) analyse(ctx context.Context, d *Definition) (*expression, error) {
	when, err := parseExpression(d.Expression)
	if err != nil {
		return nil, err
	}
	caller, err := s.assume(ctx, d.RoleARN)
	if err != nil {
		return nil, err
	}
	prepared, err := s.opts.Queries.Prepare(ctx, caller, d.SQL)
	if err != nil {
		return nil, err
	}
	for _, p := range prepared.Parameters {
		if p.Name != parameter {
			return nil, invalid("The parameter @%s is not supported in scheduled queries; only @%s is.", p.Name, parameter)
		}
	}
	if d.Target == nil {
		return when, nil
	}
	table, err := s.opts.Catalog.Table(d.Target.Database, d.Target.Table)
	if err != nil {
		return nil, invalid("The target of the scheduled query is not valid: %s", fault.MessageOf(err))
	}
	if key := table.Policy().RequiredDimension; key != "" && !slices.Contains(d.Target.Dimensions, key) {
		return nil, invalid("The target table requires the dimension %s, which the target configuration does not map.", key)
	}
	if err := s.mayWrite(caller, d.Target); err != nil {
		return nil, err
	}
	_, err = bind(d.Target, prepared.Columns)
	return when, err
}

// change replaces the query of that ARN by what f makes of a copy, durably; f returning false
// changes nothing. It returns the query after the change.
func (s *Service) change(arn string, f func(e *entry, next *document) (bool, error)) (*Query, error) {
	s.changing.Lock()
	defer s.changing.Unlock()
	s.mu.Lock()
	e := s.byARN[arn]
	s.mu.Unlock()
	if e == nil {
		return nil, notFound(arn)
	}
	next := *e.doc // only holders of changing replace it
	changes, err := f(e, &next)
	if err != nil || !changes {
		return &e.doc.Query, err
	}
	if err := s.save(&next); err != nil {
		return nil, err
	}
	delete(s.unsaved, e)
	s.mu.Lock()
	defer s.mu.Unlock()
	retagged := !slices.Equal(e.doc.Tags, next.Tags) || e.doc.Enabled != next.Enabled
	e.doc = &next
	if retagged {
		s.rewatchLocked(e)
	}
	s.wakeLocked()
	return &next.Query, nil
}

// SetEnabled turns a query on or off. A query that is turned on goes on with the next
// invocation of its schedule. The error is fault.NotFound.
func (s *Service) SetEnabled(ctx context.Context, arn string, on bool) error {
	changed := false
	q, err := s.change(arn, func(e *entry, next *document) (bool, error) {
		if next.Enabled == on {
			return false, nil
		}
		changed, next.Enabled, next.Next = true, on, time.Time{}
		if on {
			next.Next = e.when.next(s.opts.Clock.Now(), next.Created)
		}
		return true, nil
	})
	if err == nil && changed {
		s.notify(ctx, q, note{Type: noteUpdated, State: stateOf(q)})
	}
	return err
}

// Execute asks for a run as if it were invoked at a time, of an enabled or disabled query; it
// returns when that is durable. Errors: fault.NotFound, fault.Throttled.
func (s *Service) Execute(arn string, invocation time.Time, insights bool) error {
	_, err := s.change(arn, func(_ *entry, next *document) (bool, error) {
		if len(next.Pending) >= s.opts.MaxPending {
			return false, fault.New(fault.Throttled, "%d runs of the scheduled query are waiting, the most that this server keeps.", len(next.Pending))
		}
		next.Pending = append(slices.Clip(next.Pending), task{Invocation: seconds(invocation), Manual: true, Insights: insights})
		return true, nil
	})
	return err
}

// Delete removes a query, ending a run that goes on. The error is fault.NotFound.
func (s *Service) Delete(ctx context.Context, arn string) error {
	s.changing.Lock()
	s.mu.Lock()
	e := s.byARN[arn]
	s.mu.Unlock()
	if e == nil {
		s.changing.Unlock()
		return notFound(arn)
	}
	if s.opts.Documents != nil {
		if err := s.opts.Documents.Apply(map[string][]byte{idOf(arn): nil}); err != nil {
			s.changing.Unlock()
			return err
		}
	}
	delete(s.unsaved, e)
	s.mu.Lock()
	e.removed = true
	delete(s.byARN, arn)
	delete(s.byName, e.doc.Name)
	s.rewatchLocked()
	e.cancel()
	s.endedLocked()
	q := &e.doc.Query
	s.mu.Unlock()
	s.changing.Unlock()
	s.notify(ctx, q, note{Type: noteDeleted})
	return nil
}

// Tags returns the tags of a query, sorted by key. The error is fault.NotFound.
func (s *Service) Tags(arn string) ([]catalog.Tag, error) {
	q, err := s.Query(arn)
	if err != nil {
		return nil, err
	}
	return q.Tags, nil
}

// Tag adds tags; a key that is there gets the new value. Errors: fault.NotFound,
// fault.Invalid, fault.Quota for too many.
func (s *Service) Tag(arn string, tags []catalog.Tag) error {
	_, err := s.change(arn, func(_ *entry, next *document) (_ bool, err error) {
		if next.Tags, err = catalog.MergeTags(next.Tags, tags); err == nil {
			err = s.checkLate(&next.Query)
		}
		return true, err
	})
	return err
}

// Untag removes tags by key; keys that are not there are ignored.
func (s *Service) Untag(arn string, keys []string) error {
	_, err := s.change(arn, func(_ *entry, next *document) (bool, error) {
		next.Tags = slices.DeleteFunc(slices.Clone(next.Tags), func(t catalog.Tag) bool { return slices.Contains(keys, t.Key) })
		return true, nil
	})
	return err
}
