package embedded

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/weir-db/weir/internal/fault"
)

// A change of the manifest may fail just between its rename and the sync of the folder (errUnsure). The store goes
// on with the manifest that it had, and a crash may leave the other one. For most changes both
// are right, because the files of both stay: a flush whose rows are in the log too, a merge whose inputs
// stay. A drop and a change of policy are different: with the other manifest, rows that are written from then on and
// acknowledged would belong to no table, or be before what was deleted for good.
//
// So such a table is in doubt: it answers queries and takes no writes until some manifest was written
// durably, which is the store's own and ends the doubt. Each write tries that first, at most once in retryAfter.
// What was being written while the change failed, and acknowledged after, may be gone with the change: it
// came before it.

// doubt is the doubt of a table. The zero value is none.
type doubt struct{ in atomic.Bool }

// doubtful notes that err, of a change of the manifest that takes something from t, may have come to pass all the
// same. The caller holds manifestMu.
func (s *Store) doubtful(t *table, err error) {
	if errors.Is(err, errUnsure) {
		t.doubt.in.Store(true)
		s.unsettled = time.Now()
	}
}

// settled ends all doubts: the manifest was written. The caller holds manifestMu.
func (s *Store) settled() {
	if s.unsettled.IsZero() {
		return
	}
	s.unsettled = time.Time{}
	for _, t := range s.all() {
		t.doubt.in.Store(false)
	}
}

// sure lets writes into a table pass that is not in doubt, or not any more.
func (t *table) sure() error {
	if !t.doubt.in.Load() {
		return nil
	}
	return t.store.settle(t)
}

func (s *Store) settle(t *table) error {
	s.manifestMu.Lock()
	defer s.manifestMu.Unlock()
	if !t.doubt.in.Load() {
		return nil
	}
	err := errors.New("it was tried a moment ago")
	if time.Since(s.unsettled) >= s.opts.retryAfter {
		s.unsettled = time.Now()
		err = s.changeLocked(func(*manifest) {})
	}
	if err != nil {
		return fault.Wrap(fault.Unavailable, err, "A change of the table %s failed such that the server does not know what is on the disk; it takes no records until it does.", t.id.Table)
	}
	return nil
}
