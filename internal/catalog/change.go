package catalog

import (
	"context"
	"fmt"
	"regexp"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/storage"
)

// CreateDatabase makes an empty database. An empty kmsKey means the service's own
// key. Errors: fault.Conflict if it exists, fault.Quota, fault.Invalid.
func (c *Catalog) CreateDatabase(ctx context.Context, name, kmsKey string, tags []Tag) (*Database, error) {
	if err := checkName("database", name); err != nil {
		return nil, err
	}
	merged, err := mergeTags(nil, tags)
	if err != nil {
		return nil, err
	}
	if kmsKey == "" {
		kmsKey = c.defaultKey()
	}
	var d *Database
	err = c.change(ctx, func(_ context.Context, s *snapshot) error {
		if s.databases[name] != nil {
			return fault.New(fault.Conflict, "The database %s already exists.", name)
		}
		if len(s.databases) >= c.options.MaxDatabases {
			return fault.New(fault.Quota, "The limit of %d databases per account is reached.", c.options.MaxDatabases)
		}
		now := c.options.Clock.Now()
		d = &Database{Name: name, ARN: c.databaseARN(name), KMSKeyID: kmsKey, Created: now, Updated: now, tables: map[string]*Table{}, tags: merged}
		return c.putDatabase(s, d)
	})
	return d, err
}

// UpdateDatabase changes a database's key; the same key again changes nothing.
func (c *Catalog) UpdateDatabase(ctx context.Context, name, kmsKey string) (*Database, error) {
	var d *Database
	err := c.change(ctx, func(_ context.Context, s *snapshot) error {
		if d = s.databases[name]; d == nil {
			return noDatabase(name)
		}
		if d.KMSKeyID == kmsKey {
			return nil
		}
		next := *d
		next.KMSKeyID, next.Updated = kmsKey, c.options.Clock.Now()
		d = &next
		return c.putDatabase(s, d)
	})
	return d, err
}

// DeleteDatabase removes an empty database. Errors: fault.NotFound, and
// fault.Invalid while it has tables.
func (c *Catalog) DeleteDatabase(ctx context.Context, name string) error {
	return c.change(ctx, func(_ context.Context, s *snapshot) error {
		d := s.databases[name]
		if d == nil {
			return noDatabase(name)
		}
		if n := d.TableCount(); n > 0 {
			return fault.New(fault.Invalid, "The database %s cannot be deleted because it has %d tables. Delete its tables first.", name, n)
		}
		if err := c.apply(map[string][]byte{databaseKey(name): nil}); err != nil {
			return fmt.Errorf("delete database %s: %w", name, err)
		}
		c.publish(s, name, nil)
		return nil
	})
}

func (c *Catalog) putDatabase(s *snapshot, d *Database) error {
	if err := c.apply(map[string][]byte{databaseKey(d.Name): d.encode()}); err != nil {
		return fmt.Errorf("store database %s: %w", d.Name, err)
	}
	c.publish(s, d.Name, d)
	return nil
}

// NewTable says what table to make. What is nil gets the service's default.
type NewTable struct {
	Database, Name string
	Retention      *Retention
	Magnetic       *MagneticWrites
	Key            []KeyPart // CompositePartitionKey as given
	Tags           []Tag
}

// CreateTable makes an empty table. Errors: fault.NotFound without the database,
// fault.Conflict if it exists, fault.Quota, fault.Invalid.
func (c *Catalog) CreateTable(ctx context.Context, n NewTable) (*Table, error) {
	if err := checkName("table", n.Name); err != nil {
		return nil, err
	}
	t := &Table{ARN: c.TableARN(n.Database, n.Name), Retention: DefaultRetention}
	var err error
	if t.tags, err = mergeTags(nil, n.Tags); err != nil {
		return nil, err
	}
	if t.Key, err = parseKey(n.Key); err != nil {
		return nil, err
	}
	if n.Retention != nil {
		t.Retention = *n.Retention
	}
	if n.Magnetic != nil {
		t.Magnetic = *n.Magnetic
	}
	err = c.change(ctx, func(ctx context.Context, s *snapshot) error { return c.createTable(ctx, s, n.Database, n.Name, t) })
	if err != nil {
		return nil, err
	}
	return t, nil
}

func (c *Catalog) createTable(ctx context.Context, s *snapshot, database, name string, t *Table) error {
	d := s.databases[database]
	if d == nil {
		return noDatabase(database)
	}
	if d.tables[name] != nil {
		return fault.New(fault.Conflict, "The table %s already exists.", name)
	}
	if s.tables >= c.options.MaxTables {
		return fault.New(fault.Quota, "The limit of %d tables per account is reached.", c.options.MaxTables)
	}
	c.incarnation++ // also of an attempt that fails: no id is tried twice
	t.ID = storage.TableID{Database: database, Table: name, Incarnation: c.incarnation}
	t.Created = c.options.Clock.Now()
	t.Updated = t.Created
	backend := c.options.Backend
	err := backend.CreateTable(ctx, t.ID, t.Policy())
	if err == nil {
		t.Store, err = backend.Table(t.ID)
	}
	if err == nil {
		err = c.apply(map[string][]byte{tableKey(database, name): t.encode(), stateKey: encode(stateDoc{c.incarnation})})
	}
	if err != nil {
		_ = backend.DropTable(ctx, t.ID) // else Open drops it
		return fmt.Errorf("create table %s.%s: %w", database, name, err)
	}
	c.publish(s, database, d.withTable(name, t))
	return nil
}

// TableChange says what to change; what is nil stays.
type TableChange struct {
	Retention *Retention
	Magnetic  *MagneticWrites
	Key       []KeyPart // only the enforcement may differ from what the table has
}

// UpdateTable changes a table's settings, which take effect at once. Errors:
// fault.NotFound, fault.Invalid.
func (c *Catalog) UpdateTable(ctx context.Context, database, name string, ch TableChange) (*Table, error) {
	var t *Table
	err := c.change(ctx, func(ctx context.Context, s *snapshot) error {
		old, err := c.Table(database, name)
		if err != nil {
			return err
		}
		next := *old
		if ch.Retention != nil {
			next.Retention = *ch.Retention
		}
		if ch.Magnetic != nil {
			next.Magnetic = *ch.Magnetic
		}
		if ch.Key != nil {
			if next.Key, err = changedKey(old.Key, ch.Key); err != nil {
				return err
			}
		}
		next.Updated = c.options.Clock.Now()
		t = &next
		return c.putTable(ctx, s, old, t)
	})
	if err != nil {
		return nil, err
	}
	return t, nil
}

// putTable replaces old by t. Documents come first: what they say, Open repeats
// to the backend, so that the two cannot differ for longer than this process lives.
func (c *Catalog) putTable(ctx context.Context, s *snapshot, old, t *Table) error {
	key := tableKey(t.ID.Database, t.ID.Table)
	if err := c.apply(map[string][]byte{key: t.encode()}); err != nil {
		return fmt.Errorf("store table %s.%s: %w", t.ID.Database, t.ID.Table, err)
	}
	if p := t.Policy(); p != old.Policy() {
		if err := c.options.Backend.SetPolicy(ctx, t.ID, p); err != nil {
			if undo := c.apply(map[string][]byte{key: old.encode()}); undo != nil {
				err = fmt.Errorf("%w; and undo: %w", err, undo)
			}
			return fmt.Errorf("change table %s.%s: %w", t.ID.Database, t.ID.Table, err)
		}
	}
	c.publish(s, t.ID.Database, s.databases[t.ID.Database].withTable(t.ID.Table, t))
	return nil
}

// DeleteTable drops a table and its rows for good. The error has kind fault.NotFound.
func (c *Catalog) DeleteTable(ctx context.Context, database, name string) error {
	return c.change(ctx, func(ctx context.Context, s *snapshot) error {
		t, err := c.Table(database, name)
		if err != nil {
			return err
		}
		if err := c.apply(map[string][]byte{tableKey(database, name): nil}); err != nil {
			return fmt.Errorf("drop table %s.%s: %w", database, name, err)
		}
		c.publish(s, database, s.databases[database].withTable(name, nil))
		if err := c.options.Backend.DropTable(ctx, t.ID); err != nil {
			return fmt.Errorf("drop table %s.%s, which is out of the catalog: %w", database, name, err)
		}
		return nil
	})
}

// NamePattern is what names of databases and tables look like (API model).
const NamePattern = `[a-zA-Z0-9_.-]+`

// MaxNameBytes is the quota on their length.
const MaxNameBytes = 256

var nameRegexp = regexp.MustCompile(`^` + NamePattern + `$`)

func checkName(what, name string) error {
	if !nameRegexp.MatchString(name) {
		return fault.New(fault.Invalid, "The %s name '%s' is invalid. A name consists of letters, digits, and the characters - . and _", what, name)
	}
	if len(name) > MaxNameBytes {
		return fault.New(fault.Invalid, "The %s name has %d bytes, more than the limit of %d.", what, len(name), MaxNameBytes)
	}
	return nil
}

func (c *Catalog) databaseARN(name string) string {
	return fmt.Sprintf("arn:aws:timestream:%s:%s:database/%s", c.options.Region, c.options.Account, name)
}

// TableARN returns the ARN that a table has, or would have.
func (c *Catalog) TableARN(database, name string) string {
	return c.databaseARN(database) + "/table/" + name
}

// defaultKey is the ARN of the key that stands for the service's own.
func (c *Catalog) defaultKey() string {
	return fmt.Sprintf("arn:aws:kms:%s:%s:key/7e1a0d3c-5b42-4c8f-9a60-1f2e3d4c5b6a", c.options.Region, c.options.Account)
}
