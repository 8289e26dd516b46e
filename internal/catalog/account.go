package catalog

import (
	"context"
	"fmt"

	"github.com/weir-db/weir/internal/fault"
)

// Account is the account's query settings. They are declared and told, and bound
// nothing: queries here are bounded by the server's own limits.
type Account struct {
	MaxQueryTCU int64 // a multiple of 4 from 4 to 1000
}

// DefaultAccount is that of a new account.
var DefaultAccount = Account{MaxQueryTCU: 200}

const accountKey = "account"

// Account returns the account's settings.
func (c *Catalog) Account() Account { return c.snap.Load().account }

// UpdateAccount changes the account's settings. The error has kind fault.Invalid.
func (c *Catalog) UpdateAccount(ctx context.Context, a Account) error {
	if a.MaxQueryTCU < 4 || a.MaxQueryTCU > 1000 || a.MaxQueryTCU%4 != 0 {
		return fault.New(fault.Invalid, "MaxQueryTCU must be a multiple of 4 from 4 to 1000, not %d.", a.MaxQueryTCU)
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
