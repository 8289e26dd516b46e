package catalog

import "context"

// Hold runs f while no change is being made, so that documents and backend agree as they do
// between changes. Changes wait for f; reads, and writes of records, do not.
func (c *Catalog) Hold(ctx context.Context, f func() error) error {
	return c.change(ctx, func(context.Context, *snapshot) error { return f() })
}
