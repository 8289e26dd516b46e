package catalog

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/weir-db/weir/internal/fault"
)

// maxTags is how many tags a resource may have (Timestream guide, tagging).
const maxTags = 50

// Tags returns the tags of the database or table with that ARN, sorted by key. The
// error has kind fault.NotFound.
func (c *Catalog) Tags(arn string) ([]Tag, error) {
	d, t, err := c.resource(arn)
	if err != nil {
		return nil, err
	}
	if t != nil {
		return t.tags, nil
	}
	return d.tags, nil
}

// Tag adds tags to a database or table; a key that is there gets the new value.
// Errors: fault.NotFound, fault.Invalid, fault.Quota for too many.
func (c *Catalog) Tag(ctx context.Context, arn string, tags []Tag) error {
	return c.retag(ctx, arn, func(old []Tag) ([]Tag, error) { return mergeTags(old, tags) })
}

// Untag removes tags by key; keys that are not there are ignored.
func (c *Catalog) Untag(ctx context.Context, arn string, keys []string) error {
	return c.retag(ctx, arn, func(old []Tag) ([]Tag, error) {
		return slices.DeleteFunc(slices.Clone(old), func(t Tag) bool { return slices.Contains(keys, t.Key) }), nil
	})
}

func (c *Catalog) retag(ctx context.Context, arn string, f func(old []Tag) ([]Tag, error)) error {
	return c.change(ctx, func(ctx context.Context, s *snapshot) error {
		d, t, err := c.resource(arn)
		if err != nil {
			return err
		}
		if t != nil {
			next := *t
			if next.tags, err = f(t.tags); err != nil {
				return err
			}
			return c.putTable(ctx, s, t, &next)
		}
		next := *d
		if next.tags, err = f(d.tags); err != nil {
			return err
		}
		return c.putDatabase(s, &next)
	})
}

// resource finds what an ARN names: a table, or with a nil table a database.
func (c *Catalog) resource(arn string) (*Database, *Table, error) {
	missing := fault.New(fault.NotFound, "The resource %s does not exist.", arn)
	rest, ok := strings.CutPrefix(arn, c.databaseARN(""))
	if !ok {
		return nil, nil, missing
	}
	database, table, isTable := strings.Cut(rest, "/table/")
	d := c.snap.Load().databases[database]
	if d == nil {
		return nil, nil, missing
	}
	if !isTable {
		return d, nil, nil
	}
	if t := d.tables[table]; t != nil {
		return d, t, nil
	}
	return nil, nil, missing
}

// mergeTags returns old with tags added or replaced, sorted by key.
func mergeTags(old, tags []Tag) ([]Tag, error) {
	merged := slices.Clone(old)
	for _, t := range tags {
		if err := checkTag(t); err != nil {
			return nil, err
		}
		at, found := slices.BinarySearchFunc(merged, t.Key, func(t Tag, key string) int { return cmp.Compare(t.Key, key) })
		if found {
			merged[at].Value = t.Value
			continue
		}
		merged = slices.Insert(merged, at, t)
	}
	if len(merged) > maxTags {
		return nil, fault.New(fault.Quota, "A resource can have at most %d tags.", maxTags)
	}
	return merged, nil
}

func checkTag(t Tag) error {
	if len(t.Key) >= 4 && strings.EqualFold(t.Key[:4], "aws:") {
		return fault.New(fault.Invalid, "The tag key '%s' is invalid. Keys that start with aws: are reserved.", t.Key)
	}
	for _, s := range []string{t.Key, t.Value} {
		if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !tagRune(r) }) {
			return fault.New(fault.Invalid, "The tag '%s' is invalid. Keys and values can have letters, digits, white space, and the characters + - = . _ : / @", t.Key)
		}
	}
	return nil
}

func tagRune(r rune) bool {
	return unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsSpace(r) || strings.ContainsRune("+-=._:/@", r)
}

// MergeTags returns old, sorted by key, with tags added or replaced, by the rules of
// every taggable resource of Timestream. Errors: fault.Invalid, fault.Quota for too many.
func MergeTags(old, tags []Tag) ([]Tag, error) { return mergeTags(old, tags) }
