// Package catalog is what was declared: databases, tables, their retention,
// partition keys and tags, and the account's settings. What was observed (columns, measures) belongs to
// storage.
//
// The catalog keeps one document per database and table in [Documents] and its
// tables in a storage.Backend. A table is created in the backend first and
// dropped from the documents first, so after a crash the backend may hold tables
// that the catalog does not know, which [Open] drops; a table known and not held is
// damage, and Open refuses it. A changed policy is written to the documents first
// and repeated by Open.
//
// Readers use an immutable snapshot and take no lock. Changes are made one at a
// time, and are durable and visible when the call returns. Names are case
// sensitive, lists are in byte order.
package catalog

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/storage"
)

// Options configure a Catalog. Backend is required.
type Options struct {
	Documents Documents // nil: nothing is kept, for tests
	Backend   storage.Backend
	Clock     *clock.Clock // nil: the machine's
	Region    string       // in ARNs; "us-east-1"
	Account   string       // in ARNs, 12 digits; "000000000000"

	MaxDatabases int // quota; 500
	MaxTables    int // quota, in all databases; 50000
}

func (o Options) withDefaults() Options {
	if o.Clock == nil {
		o.Clock = clock.New()
	}
	if o.Region == "" {
		o.Region = "us-east-1"
	}
	if o.Account == "" {
		o.Account = "000000000000"
	}
	if o.MaxDatabases == 0 {
		o.MaxDatabases = 500
	}
	if o.MaxTables == 0 {
		o.MaxTables = 50000
	}
	return o
}

// Documents keeps the catalog's documents, small JSON texts by key: a meta.Bucket.
type Documents interface {
	// Each calls f for every document, in any order. f may keep doc.
	Each(f func(key string, doc []byte) error) error
	// Apply makes all changes durable or none; a nil document deletes its key.
	Apply(changes map[string][]byte) error
}

// Catalog is safe for concurrent use.
type Catalog struct {
	options Options
	snap    atomic.Pointer[snapshot] // replaced, never modified

	// changing holds a value while a change is being made; whoever put it in owns
	// the fields below.
	changing    chan struct{}
	incarnation uint64 // last one given to a table
}

// snapshot is the whole catalog at one moment.
type snapshot struct {
	databases map[string]*Database
	names     []string // of databases, sorted
	tables    int      // in all databases
	account   Account
}

// Open reads the documents, opens every table and repairs what a crash left.
// Errors: fault.Corrupt when a document cannot be read or the backend lost a table.
func Open(ctx context.Context, o Options) (*Catalog, error) {
	c := &Catalog{options: o.withDefaults(), changing: make(chan struct{}, 1)}
	snap, err := c.load(ctx)
	if err != nil {
		return nil, fmt.Errorf("open catalog: %w", err)
	}
	c.snap.Store(snap)
	return c, nil
}

// Table returns the table of that name, which the caller must not modify. The
// error has kind fault.NotFound and the API's text. It takes no lock and keeps
// neither string.
func (c *Catalog) Table(database, table string) (*Table, error) {
	d := c.snap.Load().databases[database]
	if d == nil {
		return nil, noDatabase(database)
	}
	if t := d.tables[table]; t != nil {
		return t, nil
	}
	return nil, noTable(table)
}

// Database returns the database of that name; see [Catalog.Table].
func (c *Catalog) Database(name string) (*Database, error) {
	if d := c.snap.Load().databases[name]; d != nil {
		return d, nil
	}
	return nil, noDatabase(name)
}

func noDatabase(name string) error {
	return fault.New(fault.NotFound, "The database %s does not exist.", name)
}

func noTable(name string) error {
	return fault.New(fault.NotFound, "The table %s does not exist.", name)
}

// Databases returns up to max databases whose names follow after, in order, and
// whether there are more. A max of 0 means all.
func (c *Catalog) Databases(after string, max int) (list []*Database, more bool) {
	snap := c.snap.Load()
	names, more := page(snap.names, after, max)
	for _, name := range names {
		list = append(list, snap.databases[name])
	}
	return list, more
}

// Tables returns up to max tables of a database whose names follow after, in
// order, and whether there are more. A max of 0 means all. The error has kind
// fault.NotFound.
func (c *Catalog) Tables(database, after string, max int) (list []*Table, more bool, err error) {
	d, err := c.Database(database)
	if err != nil {
		return nil, false, err
	}
	list, more = d.page(after, max)
	return list, more, nil
}

// AllTables is Tables over all databases, in the order of database, then table.
// The page begins after the given table of the given database.
func (c *Catalog) AllTables(database, after string, max int) (list []*Table, more bool) {
	snap := c.snap.Load()
	at, found := slices.BinarySearch(snap.names, database)
	for i, name := range snap.names[at:] {
		from, left := "", 0
		if found && i == 0 {
			from = after
		}
		if max > 0 {
			left = max + 1 - len(list)
		}
		part, _ := snap.databases[name].page(from, left)
		if list = append(list, part...); max > 0 && len(list) > max {
			return list[:max], true
		}
	}
	return list, false
}

func (d *Database) page(after string, max int) (list []*Table, more bool) {
	names, more := page(d.names, after, max)
	for _, name := range names {
		list = append(list, d.tables[name])
	}
	return list, more
}

func page(names []string, after string, max int) (part []string, more bool) {
	at, found := slices.BinarySearch(names, after)
	if found {
		at++
	}
	names = names[at:]
	if max > 0 && len(names) > max {
		return names[:max], true
	}
	return names, false
}

// change runs f alone among all changes. What f started must be finished, so it
// gets a context that does not end with the caller's.
func (c *Catalog) change(ctx context.Context, f func(ctx context.Context, s *snapshot) error) error {
	select {
	case c.changing <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-c.changing }()
	return f(context.WithoutCancel(ctx), c.snap.Load())
}

// publish makes d, or its absence, visible.
func (c *Catalog) publish(old *snapshot, name string, d *Database) {
	next := &snapshot{databases: maps.Clone(old.databases), names: old.names, tables: old.tables, account: old.account}
	if was := old.databases[name]; was != nil {
		next.tables -= was.TableCount()
	}
	if d == nil {
		delete(next.databases, name)
		next.names = without(old.names, name)
	} else {
		next.databases[name] = d
		next.names = with(old.names, name)
		next.tables += d.TableCount()
	}
	c.snap.Store(next)
}

// withTable returns a copy of d in which t, or its absence, replaces what has its name.
func (d *Database) withTable(name string, t *Table) *Database {
	next := *d
	next.tables = maps.Clone(d.tables)
	if t == nil {
		delete(next.tables, name)
		next.names = without(d.names, name)
	} else {
		next.tables[name] = t
		next.names = with(d.names, name)
	}
	return &next
}

func with(names []string, name string) []string {
	at, found := slices.BinarySearch(names, name)
	if found {
		return names
	}
	return slices.Insert(slices.Clone(names), at, name)
}

func without(names []string, name string) []string {
	at, found := slices.BinarySearch(names, name)
	if !found {
		return names
	}
	return slices.Delete(slices.Clone(names), at, at+1)
}

// databaseDoc and tableDoc are the documents. Members may be added; never reuse a name.
type databaseDoc struct {
	Name    string
	KMSKey  string
	Created time.Time
	Updated time.Time
	Tags    []Tag `json:",omitempty"`
}

type tableDoc struct {
	Database    string
	Name        string
	Incarnation uint64
	Retention   Retention
	Magnetic    MagneticWrites
	Key         PartitionKey
	Created     time.Time
	Updated     time.Time
	Tags        []Tag `json:",omitempty"`
}

// stateDoc is under the key "state".
type stateDoc struct {
	Incarnation uint64 // last one given, to a table that may be gone
}

// Keys of documents; "/" cannot be in a name.
const stateKey = "state"

func databaseKey(name string) string        { return "database/" + name }
func tableKey(database, name string) string { return "table/" + database + "/" + name }

func encode(doc any) []byte {
	b, err := json.Marshal(doc)
	if err != nil {
		panic("bug: " + err.Error())
	}
	return b
}

func (d *Database) encode() []byte {
	return encode(databaseDoc{Name: d.Name, KMSKey: d.KMSKeyID, Created: d.Created, Updated: d.Updated, Tags: d.tags})
}

func (t *Table) encode() []byte {
	return encode(tableDoc{
		Database: t.ID.Database, Name: t.ID.Table, Incarnation: t.ID.Incarnation, Retention: t.Retention, Magnetic: t.Magnetic,
		Key: t.Key, Created: t.Created, Updated: t.Updated, Tags: t.tags,
	})
}

func (c *Catalog) apply(changes map[string][]byte) error {
	if c.options.Documents == nil {
		return nil
	}
	return c.options.Documents.Apply(changes)
}

// load builds the snapshot that the documents describe.
func (c *Catalog) load(ctx context.Context) (*snapshot, error) {
	snap := &snapshot{databases: map[string]*Database{}, account: DefaultAccount}
	var tables []tableDoc
	if c.options.Documents != nil {
		err := c.options.Documents.Each(func(key string, doc []byte) error { return c.read(snap, &tables, key, doc) })
		if err != nil {
			return nil, err
		}
	}
	held := map[storage.TableID]bool{}
	for _, id := range c.options.Backend.Tables() {
		held[id] = true
	}
	for i := range tables {
		t, err := c.openTable(ctx, &tables[i], held)
		if err != nil {
			return nil, err
		}
		d := snap.databases[t.ID.Database]
		if d == nil {
			return nil, fault.New(fault.Corrupt, "the catalog has table %s of a database %s that it does not have", t.ID.Table, t.ID.Database)
		}
		d.tables[t.ID.Table] = t
		d.names = append(d.names, t.ID.Table)
		c.incarnation = max(c.incarnation, t.ID.Incarnation)
		delete(held, t.ID)
	}
	for id := range held {
		if err := c.dropUnknown(ctx, id); err != nil {
			return nil, err
		}
	}
	for name, d := range snap.databases {
		snap.names = append(snap.names, name)
		snap.tables += len(d.tables)
		slices.Sort(d.names)
	}
	slices.Sort(snap.names)
	return snap, nil
}

// dropUnknown drops a table of the backend that no document describes: a crash came between
// the two steps of creating or deleting it. One that is newer than every table the documents
// know and yet has records was not left by a crash, since a table takes records once its
// document is stored: the documents are lost or an old copy, and the records must stay.
func (c *Catalog) dropUnknown(ctx context.Context, id storage.TableID) error {
	if id.Incarnation > c.incarnation {
		t, err := c.options.Backend.Table(id)
		if err != nil {
			return fmt.Errorf("open table %s.%s, which the catalog does not know: %w", id.Database, id.Table, err)
		}
		if len(t.Schema().Measures) > 0 {
			return fault.New(fault.Corrupt, "the store holds records of the table %s.%s, which the catalog does not know: meta.db is missing, or older than the store", id.Database, id.Table)
		}
	}
	if err := c.options.Backend.DropTable(ctx, id); err != nil {
		return fmt.Errorf("drop table %s.%s, which the catalog does not know: %w", id.Database, id.Table, err)
	}
	return nil
}

func (c *Catalog) read(snap *snapshot, tables *[]tableDoc, key string, doc []byte) error {
	var err error
	switch kind, _, _ := strings.Cut(key, "/"); kind {
	case "database":
		var d databaseDoc
		err = json.Unmarshal(doc, &d)
		snap.databases[d.Name] = &Database{
			Name: d.Name, ARN: c.databaseARN(d.Name), KMSKeyID: d.KMSKey, Created: d.Created, Updated: d.Updated,
			tables: map[string]*Table{}, tags: d.Tags,
		}
	case "table":
		var t tableDoc
		err = json.Unmarshal(doc, &t)
		*tables = append(*tables, t)
	case stateKey:
		var s stateDoc
		err = json.Unmarshal(doc, &s)
		c.incarnation = max(c.incarnation, s.Incarnation)
	case accountKey:
		err = json.Unmarshal(doc, &snap.account)
	default:
		err = fmt.Errorf("a document of this kind is not known to this version")
	}
	return fault.Wrap(fault.Corrupt, err, "the catalog's document %q cannot be read", key)
}

func (c *Catalog) openTable(ctx context.Context, doc *tableDoc, held map[storage.TableID]bool) (*Table, error) {
	t := &Table{
		ID:  storage.TableID{Database: doc.Database, Table: doc.Name, Incarnation: doc.Incarnation},
		ARN: c.TableARN(doc.Database, doc.Name), Retention: doc.Retention, Magnetic: doc.Magnetic, Key: doc.Key,
		Created: doc.Created, Updated: doc.Updated, tags: doc.Tags,
	}
	if !held[t.ID] {
		return nil, fault.New(fault.Corrupt, "the store does not hold table %s.%s, which the catalog knows", doc.Database, doc.Name)
	}
	err := c.options.Backend.SetPolicy(ctx, t.ID, t.Policy())
	if err == nil {
		t.Store, err = c.options.Backend.Table(t.ID)
	}
	if err != nil {
		return nil, fmt.Errorf("open table %s.%s: %w", doc.Database, doc.Name, err)
	}
	return t, nil
}

// Resolve returns an open table for the planner; missingDatabase says that the
// database is what is missing.
func (c *Catalog) Resolve(database, table string) (t storage.Table, missingDatabase bool, err error) {
	if _, err := c.Database(database); err != nil {
		return nil, true, err
	}
	found, err := c.Table(database, table)
	if err != nil {
		return nil, false, err
	}
	return found.Store, false, nil
}
