package embedded

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/objstore"
)

// Two copies of a data folder have one id, and would delete each other's objects. So each start that
// uses the remote store puts a token of its own into the object "owner" beside the segments, over that of the start before, which
// its manifest knows. A copy of the folder knows only the tokens up to when it was copied: as soon as one of the copies has
// started, the others are refused. One that is running already sees that the token is not its own any more, and
// puts and deletes nothing from then on.
//
// The manifest is written first, with the token before: killed between the two, the next start finds one of both. The
// object is looked at before each change of the remote store. Two copies that start within the same moment may both believe
// to own it until then.
//
// weir backup makes a store of its own, with another id.

// ownerKey is the object that says whose the objects are. Stores of earlier versions have none.
const ownerKey = "owner"

// claimPatience is how long an opening store waits for the remote one before it claims it later.
const claimPatience = 2 * time.Second

func randomText(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return hex.EncodeToString(b)
}

// claim makes the objects this store's own, if they are not another's: that is an error of kind fault.Conflict.
func (s *Store) claim(ctx context.Context) error {
	r := s.remote
	if r.claimed.Load() {
		return nil
	}
	found, err := r.readOwner(ctx)
	if err != nil {
		return err
	}
	s.manifestMu.Lock()
	defer s.manifestMu.Unlock()
	if m := s.manifest; found != "" && found != m.Owner && found != m.OwnerBefore {
		return r.taken()
	}
	if s.manifest.Owner != r.token {
		if err := s.changeLocked(func(m *manifest) { m.Owner, m.OwnerBefore = r.token, found }); err != nil {
			return err
		}
	}
	if err := r.Put(ctx, ownerKey, strings.NewReader(r.token)); err != nil {
		return err
	}
	r.claimed.Store(true)
	return nil
}

// owned reports, as an error of kind fault.Conflict, that another store has claimed the objects since this one did.
func (r *remote) owned(ctx context.Context) error {
	found, err := r.readOwner(ctx)
	if err != nil {
		return err
	}
	if found != r.token {
		return r.taken()
	}
	return nil
}

func (r *remote) taken() error {
	return fault.New(fault.Conflict, "Another copy of this data folder has used the objects below %s in the magnetic store %s, and both would delete what the other needs. "+
		"Run one copy only; weir backup and weir restore make a store of its own. If the other one is gone for good, delete the object %s/%s and start again.", r.id, r.name, r.id, ownerKey)
}

func (r *remote) readOwner(ctx context.Context) (string, error) {
	o, err := r.Open(ctx, ownerKey)
	if fault.Is(err, fault.NotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer o.Close()
	b := make([]byte, min(o.SizeBytes(), 64))
	if n, err := objstore.In(ctx, o).ReadAt(b, 0); n < len(b) {
		return "", fmt.Errorf("read the owner of the magnetic store: %w", err)
	}
	return string(b), nil
}
