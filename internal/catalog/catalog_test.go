package catalog_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-db/weir/internal/catalog"
	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/meta"
	"github.com/weir-db/weir/internal/storage"
)

// shelf is a backend that only knows which tables it has. It fails when told to.
type shelf struct {
	written bool // its tables have records
	mu      sync.Mutex
	tables  map[storage.TableID]storage.Policy
	fail    error
}

type shelved struct {
	storage.Table
	id     storage.TableID
	schema *storage.Schema
}

func (s shelved) Schema() *storage.Schema { return s.schema }

func newShelf() *shelf { return &shelf{tables: map[storage.TableID]storage.Policy{}} }

func (s *shelf) put(id storage.TableID, p storage.Policy) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return s.fail
	}
	s.tables[id] = p
	return nil
}

func (s *shelf) CreateTable(_ context.Context, id storage.TableID, p storage.Policy) error {
	return s.put(id, p)
}

func (s *shelf) SetPolicy(_ context.Context, id storage.TableID, p storage.Policy) error {
	return s.put(id, p)
}

func (s *shelf) DropTable(_ context.Context, id storage.TableID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return s.fail
	}
	delete(s.tables, id)
	return nil
}

func (s *shelf) Tables() []storage.TableID { return slices.Collect(maps.Keys(s.tables)) }

func (s *shelf) Table(id storage.TableID) (storage.Table, error) {
	if _, ok := s.tables[id]; !ok {
		return nil, fault.New(fault.NotFound, "no such table")
	}
	schema := &storage.Schema{}
	if s.written {
		schema.Measures = []storage.Measure{{Name: "m"}}
	}
	return shelved{id: id, schema: schema}, nil
}

func (s *shelf) Close() error { return nil }

// drawer keeps documents in a map. It fails when told to.
type drawer struct {
	docs map[string][]byte
	fail error
}

func newDrawer() *drawer { return &drawer{docs: map[string][]byte{}} }

func (d *drawer) Each(f func(key string, doc []byte) error) error {
	for k, v := range d.docs {
		if err := f(k, v); err != nil {
			return err
		}
	}
	return nil
}

func (d *drawer) Apply(changes map[string][]byte) error {
	if d.fail != nil {
		return d.fail
	}
	for k, v := range changes {
		if v == nil {
			delete(d.docs, k)
		} else {
			d.docs[k] = v
		}
	}
	return nil
}

// world is a catalog with what it stands on.
type world struct {
	*catalog.Catalog
	t     *testing.T
	docs  *drawer
	shelf *shelf
	clock *clock.Clock
}

var start = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

func newWorld(t *testing.T) *world {
	w := &world{t: t, docs: newDrawer(), shelf: newShelf(), clock: clock.Manual(start)}
	w.reopen()
	return w
}

func (w *world) open() (*catalog.Catalog, error) {
	return catalog.Open(w.t.Context(), catalog.Options{
		Documents: w.docs, Backend: w.shelf, Clock: w.clock, Region: "eu-west-1", Account: "123456789012", MaxDatabases: 3, MaxTables: 6,
	})
}

func (w *world) reopen() {
	w.t.Helper()
	c, err := w.open()
	if err != nil {
		w.t.Fatal(err)
	}
	w.Catalog = c
}

func (w *world) database(name string) *catalog.Database {
	w.t.Helper()
	d, err := w.CreateDatabase(w.t.Context(), name, "", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return d
}

func (w *world) table(database, name string) *catalog.Table {
	w.t.Helper()
	t, err := w.CreateTable(w.t.Context(), catalog.NewTable{Database: database, Name: name})
	if err != nil {
		w.t.Fatal(err)
	}
	return t
}

// refused checks an error's kind and a part of its text.
func refused(t *testing.T, err error, kind fault.Kind, text string) {
	t.Helper()
	if !fault.Is(err, kind) || !strings.Contains(err.Error(), text) {
		t.Errorf("got error %v (%v), want %v: %s", err, fault.KindOf(err), kind, text)
	}
}

func TestATableWithoutSettingsHasTheServicesDefaults(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.database("db")
	if d.ARN != "arn:aws:timestream:eu-west-1:123456789012:database/db" || !strings.HasPrefix(d.KMSKeyID, "arn:aws:kms:eu-west-1:123456789012:key/") || !d.Created.Equal(start) {
		t.Errorf("database = %+v", d)
	}
	table := w.table("db", "t")
	if table.Retention != (catalog.Retention{MemoryHours: 6, MagneticDays: 73000}) || table.Magnetic.Enabled || table.ARN != d.ARN+"/table/t" {
		t.Errorf("table = %+v", table)
	}
	if got := table.Key.Parts(); len(got) != 1 || got[0] != (catalog.KeyPart{Type: "MEASURE"}) {
		t.Errorf("key = %+v", got)
	}
	want := storage.Policy{MemoryRetention: 6 * time.Hour, MagneticRetention: 73000 * 24 * time.Hour}
	if got := w.shelf.tables[table.ID]; got != want {
		t.Errorf("policy = %+v, want %+v", got, want)
	}
	if d, _ := w.Database("db"); d.TableCount() != 1 {
		t.Errorf("TableCount = %d", d.TableCount())
	}
}

func TestErrorsNameTheResource(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	w.database("db")
	w.table("db", "t")
	_, err := w.CreateDatabase(ctx, "db", "", nil)
	refused(t, err, fault.Conflict, "The database db already exists.")
	_, err = w.CreateTable(ctx, catalog.NewTable{Database: "db", Name: "t"})
	refused(t, err, fault.Conflict, "The table t already exists.")
	_, err = w.CreateTable(ctx, catalog.NewTable{Database: "none", Name: "t"})
	refused(t, err, fault.NotFound, "The database none does not exist.")
	_, err = w.Table("db", "none")
	refused(t, err, fault.NotFound, "The table none does not exist.")
	_, err = w.Table("none", "t")
	refused(t, err, fault.NotFound, "The database none does not exist.")
	_, err = w.UpdateTable(ctx, "db", "none", catalog.TableChange{})
	refused(t, err, fault.NotFound, "The table none does not exist.")
	refused(t, w.DeleteTable(ctx, "db", "none"), fault.NotFound, "The table none does not exist.")
	refused(t, w.DeleteDatabase(ctx, "none"), fault.NotFound, "The database none does not exist.")
	refused(t, w.DeleteDatabase(ctx, "db"), fault.Invalid, "Delete its tables first")
	_, err = w.UpdateDatabase(ctx, "none", "k")
	refused(t, err, fault.NotFound, "The database none does not exist.")
	_, _, err = w.Tables("none", "", 0)
	refused(t, err, fault.NotFound, "The database none does not exist.")
	_, err = w.CreateDatabase(ctx, "a b", "", nil)
	refused(t, err, fault.Invalid, "is invalid")
	_, err = w.CreateDatabase(ctx, strings.Repeat("x", 257), "", nil)
	refused(t, err, fault.Invalid, "limit of 256")
}

func TestQuotasAreCounted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 3 {
		w.database(fmt.Sprint("db", i))
		w.table(fmt.Sprint("db", i), "a")
		w.table(fmt.Sprint("db", i), "b")
	}
	_, err := w.CreateDatabase(t.Context(), "more", "", nil)
	refused(t, err, fault.Quota, "3 databases")
	_, err = w.CreateTable(t.Context(), catalog.NewTable{Database: "db0", Name: "c"})
	refused(t, err, fault.Quota, "6 tables")
	if err := w.DeleteTable(t.Context(), "db1", "a"); err != nil {
		t.Fatal(err)
	}
	w.table("db0", "c")
}

func TestEverythingSurvivesReopen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	d, err := w.CreateDatabase(ctx, "db", "alias/mine", []catalog.Tag{{Key: "z", Value: "1"}, {Key: "a", Value: ""}, {Key: "z", Value: "2"}})
	if err != nil {
		t.Fatal(err)
	}
	table, err := w.CreateTable(ctx, catalog.NewTable{
		Database: "db", Name: "t", Retention: &catalog.Retention{MemoryHours: 24, MagneticDays: 365},
		Magnetic: &catalog.MagneticWrites{Enabled: true, Rejected: &catalog.RejectedLocation{S3: true, Bucket: "bucket", Prefix: "p/"}},
		Key:      []catalog.KeyPart{{Type: "DIMENSION", Name: "host", Enforcement: "REQUIRED"}},
		Tags:     []catalog.Tag{{Key: "k", Value: "v"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.clock.Advance(time.Hour)
	w.reopen()
	d2, err := w.Database("db")
	if err != nil || d2.KMSKeyID != "alias/mine" || !d2.Created.Equal(d.Created) || d2.TableCount() != 1 {
		t.Errorf("database = %+v, %v", d2, err)
	}
	if tags, err := w.Tags(d.ARN); err != nil || !slices.Equal(tags, []catalog.Tag{{Key: "a"}, {Key: "z", Value: "2"}}) {
		t.Errorf("tags = %v, %v", tags, err)
	}
	t2, err := w.Table("db", "t")
	if err != nil || t2.ID != table.ID || t2.Retention != table.Retention || *t2.Magnetic.Rejected != *table.Magnetic.Rejected || t2.Key != table.Key || t2.Store == nil {
		t.Errorf("table = %+v, %v", t2, err)
	}
	if tags, err := w.Tags(table.ARN); err != nil || !slices.Equal(tags, []catalog.Tag{{Key: "k", Value: "v"}}) {
		t.Errorf("tags = %v, %v", tags, err)
	}
	if p := w.shelf.tables[table.ID]; p.RequiredDimension != "host" || !p.MagneticWrites || p.MemoryRetention != 24*time.Hour {
		t.Errorf("policy = %+v", p)
	}
}

func TestATableCreatedAnewHasANewIncarnation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.database("db")
	first := w.table("db", "t").ID
	if err := w.DeleteTable(t.Context(), "db", "t"); err != nil {
		t.Fatal(err)
	}
	if len(w.shelf.tables) != 0 {
		t.Errorf("the backend still has %v", w.shelf.tables)
	}
	w.reopen()
	if again := w.table("db", "t").ID; again == first {
		t.Errorf("incarnation %d was used twice", again.Incarnation)
	}
}

func TestUpdateTableChangesOnlyWhatIsGiven(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.database("db")
	before := w.table("db", "t")
	w.clock.Advance(time.Minute)
	after, err := w.UpdateTable(t.Context(), "db", "t", catalog.TableChange{Magnetic: &catalog.MagneticWrites{Enabled: true}})
	if err != nil {
		t.Fatal(err)
	}
	if after.Retention != before.Retention || !after.Magnetic.Enabled || !after.Created.Equal(before.Created) || !after.Updated.Equal(start.Add(time.Minute)) {
		t.Errorf("table = %+v", after)
	}
	if !w.shelf.tables[after.ID].MagneticWrites {
		t.Error("the backend was not told")
	}
	if before.Magnetic.Enabled {
		t.Error("a published table was modified")
	}
}

func TestPartitionKeyRules(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.database("db")
	create := func(parts ...catalog.KeyPart) error {
		_, err := w.CreateTable(t.Context(), catalog.NewTable{Database: "db", Name: "k", Key: parts})
		if err == nil {
			_ = w.DeleteTable(t.Context(), "db", "k")
		}
		return err
	}
	host := catalog.KeyPart{Type: "DIMENSION", Name: "host"}
	refused(t, create(host, host), fault.Invalid, "You have specified too many partition keys to be used in your composite partition key. Only 1 partition keys can be specified.")
	refused(t, create(catalog.KeyPart{Type: "DIMENSION"}), fault.Invalid, "must have a name")
	refused(t, create(catalog.KeyPart{Type: "MEASURE", Name: "x"}), fault.Invalid, "must not have a name")
	refused(t, create(catalog.KeyPart{Type: "MEASURE", Enforcement: "REQUIRED"}), fault.Invalid, "must not have an enforcement level")
	if err := create(host); err != nil {
		t.Error(err)
	}

	table, err := w.CreateTable(t.Context(), catalog.NewTable{Database: "db", Name: "t", Key: []catalog.KeyPart{host}})
	if err != nil || table.Key.Parts()[0].Enforcement != "OPTIONAL" {
		t.Fatalf("key = %+v, %v", table, err)
	}
	update := func(parts ...catalog.KeyPart) error {
		_, err := w.UpdateTable(t.Context(), "db", "t", catalog.TableChange{Key: parts})
		return err
	}
	refused(t, update(catalog.KeyPart{Type: "MEASURE"}), fault.Invalid, "cannot be changed")
	refused(t, update(catalog.KeyPart{Type: "DIMENSION", Name: "other"}), fault.Invalid, "cannot be changed")
	for _, level := range []string{"REQUIRED", "OPTIONAL", "REQUIRED"} {
		host.Enforcement = level
		if err := update(host); err != nil {
			t.Error(err)
		}
	}
	if got := w.shelf.tables[table.ID].RequiredDimension; got != "host" {
		t.Errorf("RequiredDimension = %q", got)
	}
}

func TestPagesAreCompleteAndInOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var want []string
	for _, d := range []string{"c", "a", "b"} {
		w.database(d)
	}
	for _, name := range []string{"a/x", "a/y", "c/m", "c/n", "c/o"} {
		d, table, _ := strings.Cut(name, "/")
		w.table(d, table)
		want = append(want, name)
	}
	for size := range 7 {
		var got []string
		database, table := "", ""
		for more := true; more; {
			var list []*catalog.Table
			list, more = w.AllTables(database, table, size)
			if size > 0 && len(list) > size || more && len(list) == 0 {
				t.Fatalf("page of %d, more %v", len(list), more)
			}
			for _, e := range list {
				database, table = e.ID.Database, e.ID.Table
				got = append(got, database+"/"+table)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("pages of %d: %v, want %v", size, got, want)
		}
	}
	list, more := w.Databases("a", 1)
	if len(list) != 1 || list[0].Name != "b" || !more {
		t.Errorf("Databases after a = %v, %v", list, more)
	}
	if list, more = w.Databases("bb", 1); len(list) != 1 || list[0].Name != "c" || more {
		t.Errorf("Databases after bb = %v, %v", list, more)
	}
}

func TestTagRules(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	arn := w.database("db").ARN
	tableARN := w.table("db", "t").ARN
	if err := w.Tag(ctx, tableARN, []catalog.Tag{{Key: "a", Value: "1"}, {Key: "b", Value: ""}}); err != nil {
		t.Fatal(err)
	}
	if err := w.Tag(ctx, tableARN, []catalog.Tag{{Key: "a", Value: "2"}}); err != nil {
		t.Fatal(err)
	}
	if err := w.Untag(ctx, tableARN, []string{"b", "none"}); err != nil {
		t.Fatal(err)
	}
	if tags, err := w.Tags(tableARN); err != nil || !slices.Equal(tags, []catalog.Tag{{Key: "a", Value: "2"}}) {
		t.Errorf("tags = %v, %v", tags, err)
	}
	refused(t, w.Tag(ctx, arn, []catalog.Tag{{Key: "aws:x"}}), fault.Invalid, "reserved")
	refused(t, w.Tag(ctx, arn, []catalog.Tag{{Key: "x", Value: "<"}}), fault.Invalid, "invalid")
	refused(t, w.Tag(ctx, arn+"2", nil), fault.NotFound, "does not exist")
	refused(t, w.Tag(ctx, arn+"/table/none", nil), fault.NotFound, "does not exist")
	refused(t, w.Untag(ctx, "nonsense", nil), fault.NotFound, "does not exist")
	var many []catalog.Tag
	for i := range 51 {
		many = append(many, catalog.Tag{Key: fmt.Sprint(i)})
	}
	refused(t, w.Tag(ctx, arn, many), fault.Quota, "at most 50")
	if err := w.Tag(ctx, arn, many[:50]); err != nil {
		t.Error(err)
	}
}

func TestTheCatalogLivesInAMetaFile(t *testing.T) {
	t.Parallel()
	path, backend := filepath.Join(t.TempDir(), "meta.db"), newShelf()
	open := func() (*catalog.Catalog, *meta.Store) {
		store, err := meta.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		c, err := catalog.Open(t.Context(), catalog.Options{Documents: store.Bucket("catalog"), Backend: backend})
		if err != nil {
			t.Fatal(err)
		}
		return c, store
	}
	c, store := open()
	if _, err := c.CreateDatabase(t.Context(), "db", "", nil); err != nil {
		t.Fatal(err)
	}
	want, err := c.CreateTable(t.Context(), catalog.NewTable{Database: "db", Name: "t"})
	if err == nil {
		err = store.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	c, store = open()
	defer store.Close()
	if got, err := c.Table("db", "t"); err != nil || got.ID != want.ID || got.Retention != want.Retention || !got.Created.Equal(want.Created) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}

func TestAccountSettingsAreKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if got := w.Account(); got != (catalog.Account{MaxQueryTCU: 200}) {
		t.Errorf("default = %+v", got)
	}
	for _, bad := range []int64{0, 3, 6, 1004, -4} {
		refused(t, w.UpdateAccount(t.Context(), catalog.Account{MaxQueryTCU: bad}), fault.Invalid, "multiple of 4")
	}
	if err := w.UpdateAccount(t.Context(), catalog.Account{MaxQueryTCU: 8}); err != nil {
		t.Fatal(err)
	}
	w.database("db")
	if w.Account().MaxQueryTCU != 8 {
		t.Error("lost by another change")
	}
	w.reopen()
	if w.Account().MaxQueryTCU != 8 {
		t.Error("lost by reopening")
	}
}

func TestOpenRepairsWhatACrashLeft(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.database("db")
	kept := w.table("db", "kept")
	// Created in the backend, but the crash came before the document.
	orphan := storage.TableID{Database: "db", Table: "orphan", Incarnation: 7}
	w.shelf.tables[orphan] = storage.Policy{}
	// The document's policy had not reached the backend.
	w.shelf.tables[kept.ID] = storage.Policy{}
	w.reopen()
	if _, ok := w.shelf.tables[orphan]; ok {
		t.Error("the orphan is still there")
	}
	if w.shelf.tables[kept.ID] != kept.Policy() {
		t.Error("the policy was not repeated")
	}
}

func TestOpenKeepsTheRecordsOfTablesWhoseDocumentsAreLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.database("db")
	w.table("db", "first")
	old := maps.Clone(w.docs.docs)
	second := w.table("db", "second")
	w.shelf.written = true
	for name, docs := range map[string]map[string][]byte{"none": {}, "an old copy": old} {
		w.docs.docs = maps.Clone(docs)
		_, err := w.open()
		refused(t, err, fault.Corrupt, "meta.db is missing, or older than the store")
		if _, ok := w.shelf.tables[second.ID]; !ok {
			t.Errorf("%s: the table is gone", name)
		}
	}
}

func TestOpenRefusesALostTable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.database("db")
	id := w.table("db", "t").ID
	delete(w.shelf.tables, id)
	_, err := w.open()
	refused(t, err, fault.Corrupt, "does not hold table db.t")
	w.shelf.tables[id] = storage.Policy{}
	w.docs.docs["table/db/t"] = []byte("{")
	_, err = w.open()
	refused(t, err, fault.Corrupt, "table/db/t")
}

func TestAFailedChangeLeavesEverythingAsItWas(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	w.database("db")
	before := w.table("db", "t")
	broken := fault.New(fault.Unavailable, "disk")
	tries := map[string]func() error{
		"create database": func() error { _, err := w.CreateDatabase(ctx, "new", "", nil); return err },
		"create table": func() error {
			_, err := w.CreateTable(ctx, catalog.NewTable{Database: "db", Name: "new"})
			return err
		},
		"update table": func() error {
			_, err := w.UpdateTable(ctx, "db", "t", catalog.TableChange{Magnetic: &catalog.MagneticWrites{Enabled: true}})
			return err
		},
		"tag": func() error { return w.Tag(ctx, before.ARN, []catalog.Tag{{Key: "a"}}) },
	}
	check := func(name string, err error) {
		t.Helper()
		if !errors.Is(err, broken) {
			t.Errorf("%s: %v", name, err)
		}
		if now, err := w.Table("db", "t"); err != nil || now != before {
			t.Errorf("%s: table = %+v, %v", name, now, err)
		}
		list, _ := w.Databases("", 0)
		if len(list) != 1 || list[0].TableCount() != 1 || len(w.shelf.tables) != 1 {
			t.Errorf("%s: databases %v, tables %v", name, list, w.shelf.tables)
		}
	}
	for name, try := range tries {
		w.docs.fail = broken
		check(name+", documents broken", try())
		w.docs.fail = nil
	}
	w.shelf.fail = broken
	check("create table, backend broken", tries["create table"]())
	check("update table, backend broken", tries["update table"]())
	w.shelf.fail = nil
	w.reopen()
	if now, err := w.Table("db", "t"); err != nil || now.Magnetic.Enabled {
		t.Errorf("after reopen: %+v, %v", now, err)
	}
}

func TestLookupsAreSafeDuringChanges(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.database("db")
	w.table("db", "t")
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 50 {
			_, _ = w.CreateTable(context.Background(), catalog.NewTable{Database: "db", Name: "u"})
			_ = w.DeleteTable(context.Background(), "db", "u")
		}
	}()
	for {
		if _, err := w.Table("db", "t"); err != nil {
			t.Fatal(err)
		}
		w.AllTables("", "", 1)
		select {
		case <-done:
			return
		default:
		}
	}
}

func TestLookupDoesNotAllocate(t *testing.T) {
	w := newWorld(t)
	w.database("db")
	w.table("db", "t")
	if n := testing.AllocsPerRun(100, func() { _, _ = w.Table("db", "t") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
