package catalog

import (
	"context"
	"fmt"

	"github.com/weir-db/weir/internal/fault"
)

// Account is the account's query settings. They are declared and told, and bound
// nothing: queries here are bounded by the server's own limits.
type Account struct {
	MaxQueryTCU int64               // a multiple of 4 from 4 to 1000
	Provisioned *ProvisionedCompute `json:",omitempty"` // nil: compute on demand
}

// ProvisionedCompute is a fixed capacity for queries.
type ProvisionedCompute struct {
	TCU      int64  // a multiple of 4 from 4 to 1000
	TopicARN string `json:",omitempty"` // where changes are told, on AWS
	RoleARN  string `json:",omitempty"` // to publish there
}

// DefaultAccount is that of a new account.
var DefaultAccount = Account{MaxQueryTCU: 200}

const accountKey = "account"

// Account returns the account's settings.
func (c *Catalog) Account() Account { return c.snap.Load().account }

// UpdateAccount changes the account's settings. The error has kind fault.Invalid.
func (c *Catalog) UpdateAccount(ctx context.Context, a Account) error {
	if err := checkTCU("MaxQueryTCU", a.MaxQueryTCU); err != nil {
		return err
	}
	if p := a.Provisioned; p != nil {
		if err := checkTCU("TargetQueryTCU", p.TCU); err != nil {
			return err
		}
	}
	return c.change(ctx, func(_ context.Context, s *snapshot) error {
		if err := c.apply(map[string][]byte{accountKey: encode(a)}); err != nil {
			return fmt.Errorf("store account settings: %w", err)
		}
		next := *s
		next.account = a
		c.snap.Store(&next)
		return nil
	})
}

// checkTCU checks a number of Timestream compute units (guide, "Timestream Compute Unit").
func checkTCU(name string, n int64) error {
	if n < 4 || n > 1000 || n%4 != 0 {
		return fault.New(fault.Invalid, "%s must be a multiple of 4 from 4 to 1000, not %d.", name, n)
	}
	return nil
}
