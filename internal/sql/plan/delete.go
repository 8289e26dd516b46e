package plan

import (
	"github.com/weir-db/weir/internal/sql/syntax"
	"github.com/weir-db/weir/internal/storage"
)

// Delete is a planned DELETE: the rows that Scan reads, all of whose conditions are in it.
type Delete struct {
	Query *Query // that would read the rows
	Scan  *Scan
}

// BuildDelete analyses a DELETE. What storage deletes by is a range of time and conditions each on one
// dimension or the measure name; whatever else is refused. Errors are those of [Build].
func BuildDelete(stmt *syntax.Delete, env Env) (*Delete, error) {
	if stmt.Where == nil {
		return nil, errorAt(stmt.At, "DELETE needs a WHERE; WHERE true deletes all rows of the table")
	}
	env.Disabled = nil // the conditions must come to the scan
	q, err := Build(&syntax.Query{At: stmt.At, Body: &syntax.Select{
		At: stmt.At, Items: []syntax.SelectItem{{At: stmt.At, Star: true}},
		From: []syntax.Relation{&syntax.TableRef{At: stmt.Table.Pos(), Name: stmt.Table}}, Where: stmt.Where,
	}}, env)
	if err != nil {
		return nil, err
	}
	d := &Delete{Query: q}
	n := q.Root
	for d.Scan == nil {
		switch in := n.(type) {
		case *Project:
			n = in.Input
		case *Scan:
			d.Scan = in
		default:
			return nil, refuseDelete(stmt)
		}
	}
	for _, f := range d.Scan.Filters {
		switch role := d.Scan.roleOf(f.Pred.Column); role {
		case storage.Dimension, storage.MeasureName:
		default:
			return nil, refuseDelete(stmt)
		}
	}
	return d, nil
}

func (s *Scan) roleOf(column string) storage.Role {
	schema := s.Table.Schema()
	return schema.Columns[schema.Lookup(column)].Role
}

func refuseDelete(stmt *syntax.Delete) error {
	return errorAt(stmt.Where.Pos(), "DELETE takes conditions joined by AND, each on one dimension, on measure_name, or a bound of time "+
		"(=, <, <=, >, >=, BETWEEN with a constant); values of measures, subqueries and conditions on several columns cannot be tested")
}
