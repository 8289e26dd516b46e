package query

import (
	"container/list"
	"hash/maphash"
	"sync"
	"time"

	"github.com/weir-db/weir/internal/fault"
)

// How long a ClientToken of Query is remembered, and for how long it makes a call idempotent: later it is
// refused (Query API, "Query", ClientToken).
const (
	tokenWindow = 5 * time.Minute
	tokenLife   = 4 * time.Hour
)

// maxTokens bounds the tokens that are remembered, the latest ones: SDKs send one with every call.
const maxTokens = 100_000

var errTokenUsed = fault.New(fault.Invalid, "The ClientToken was used before with other parameters.")

// clientTokens remembers which tokens were used with which parameters. It is safe for concurrent use.
type clientTokens struct {
	seed maphash.Seed
	now  func() time.Time

	mu    sync.Mutex // guards the fields below
	byKey map[uint64]*list.Element
	order *list.List // of *usedToken, first used first
}

type usedToken struct {
	key, parameters uint64 // hashes
	first           time.Time
}

func newClientTokens() *clientTokens {
	return &clientTokens{seed: maphash.MakeSeed(), now: time.Now, byKey: map[uint64]*list.Element{}, order: list.New()}
}

// use notes the use of a token by a call without NextToken. The error is of kind fault.Invalid for a token that was
// used with other parameters, or for this call, but too long ago to be a retry of it.
func (c *clientTokens) use(req *Request) error {
	if req.ClientToken == "" {
		return nil
	}
	key := maphash.Comparable(c.seed, clientKey{req.Caller, req.ClientToken})
	parameters := maphash.Comparable(c.seed, struct {
		sql      string
		maxRows  int
		insights bool
	}{req.SQL, req.MaxRows, req.Insights})
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	for front := c.order.Front(); front != nil; front = c.order.Front() {
		if t := front.Value.(*usedToken); c.order.Len() < maxTokens && now.Sub(t.first) < tokenLife {
			break
		}
		delete(c.byKey, c.order.Remove(front).(*usedToken).key)
	}
	e := c.byKey[key]
	if e == nil {
		c.byKey[key] = c.order.PushBack(&usedToken{key, parameters, now})
		return nil
	}
	switch t := e.Value.(*usedToken); {
	case t.parameters != parameters:
		return errTokenUsed
	case now.Sub(t.first) > tokenWindow:
		return fault.New(fault.Invalid, "The ClientToken was used before, longer than %v ago.", tokenWindow)
	}
	return nil
}
