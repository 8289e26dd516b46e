package sqltest

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/sql/exec"
	"github.com/weir-db/weir/internal/sql/fn"
	"github.com/weir-db/weir/internal/sql/plan"
	"github.com/weir-db/weir/internal/sql/syntax"
	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/vec"
)

// Functions returns the function registry, made once.
var Functions = sync.OnceValue(fn.New)

// Local is the SQL engine alone, over a storage backend.
type Local struct {
	Clock   *clock.Clock // manual, and the backend's
	Backend storage.Backend
	Exec    exec.Options    // Now is set per query
	Off     map[string]bool // optimizer rules that are off
	Push    bool            // put [Pushing] over the backend's tables

	tables map[plan.TableRef]storage.TableID
}

// SetNow implements [Engine].
func (l *Local) SetNow(t time.Time) { l.Clock.Set(t) }

// CreateTable implements [Engine].
func (l *Local) CreateTable(ctx context.Context, database, table string) error {
	if l.tables == nil {
		l.tables = map[plan.TableRef]storage.TableID{}
	}
	id := storage.TableID{Database: database, Table: table, Incarnation: 1}
	l.tables[plan.TableRef{Database: database, Table: table}] = id
	const years = 365 * 24 * time.Hour
	return l.Backend.CreateTable(ctx, id, storage.Policy{MemoryRetention: 90 * years, MagneticRetention: 90 * years, MagneticWrites: true})
}

// Write implements [Engine].
func (l *Local) Write(ctx context.Context, database, table string, rows *storage.Rows) error {
	t, _, err := l.Resolve(database, table)
	if err != nil {
		return err
	}
	receipt, err := t.Write(ctx, rows)
	if err == nil && len(receipt.Rejections) > 0 {
		err = fmt.Errorf("rejected: %+v", receipt.Rejections)
	}
	return err
}

// Resolve implements [plan.Catalog].
func (l *Local) Resolve(database, table string) (t storage.Table, missingDatabase bool, err error) {
	id, ok := l.tables[plan.TableRef{Database: database, Table: table}]
	if !ok {
		missingDatabase = true
		for ref := range l.tables {
			if ref.Database == database {
				missingDatabase = false
			}
		}
		return nil, missingDatabase, fault.New(fault.NotFound, "The table %s does not exist.", table)
	}
	t, err = l.Backend.Table(id)
	if err == nil && l.Push {
		t = Pushing(t)
	}
	return t, false, err
}

// Plan parses and plans a query.
func (l *Local) Plan(sql string) (*plan.Query, error) {
	stmt, err := syntax.Parse(sql)
	if err != nil {
		return nil, err
	}
	q, ok := stmt.(*syntax.Query)
	if !ok {
		return nil, fault.New(fault.Invalid, "%T is not a query", stmt)
	}
	return plan.Build(q, plan.Env{Catalog: l, Functions: Functions(), Now: l.Clock.Now(), Disabled: l.Off})
}

// Query implements [Engine].
func (l *Local) Query(ctx context.Context, sql string) (*Result, error) {
	q, err := l.Plan(sql)
	if err != nil {
		return nil, err
	}
	opt := l.Exec
	opt.Now = l.Clock.Now()
	cur, err := exec.Open(ctx, q, opt)
	if err != nil {
		return nil, err
	}
	defer cur.Close()
	out := &Result{}
	for _, c := range q.Columns {
		out.Columns = append(out.Columns, c.Name+" "+c.Type.String())
	}
	for {
		b, err := cur.Next(ctx)
		if err != nil || b == nil {
			return out, err
		}
		for i := range b.Len {
			row := make([]string, len(b.Columns))
			for c, v := range b.Columns {
				row[c] = text(v, i)
			}
			out.Rows = append(out.Rows, row)
		}
	}
}

func text(v *vec.Vector, i int) string { return v.Value(i).String() }
