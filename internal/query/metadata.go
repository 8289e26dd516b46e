package query

import (
	"context"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/sql/exec"
	"github.com/weir-db/weir/internal/sql/plan"
	"github.com/weir-db/weir/internal/sql/syntax"
	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/vec"
)

// static is a source of one ready batch.
type static struct{ batch *vec.Batch }

func newStatic(columns ...*vec.Vector) *static {
	return &static{&vec.Batch{Len: columns[0].Len(), Columns: columns}}
}

func (s *static) Next(context.Context) (*vec.Batch, error) {
	b := s.batch
	s.batch = nil
	if b == nil || b.Len == 0 {
		return nil, nil
	}
	return b, nil
}

func (s *static) Stats() exec.Stats            { return exec.Stats{} }
func (s *static) TableScans() []exec.TableScan { return nil }
func (s *static) Close()                       {}

func actionOf(stmt syntax.Statement) string {
	switch stmt.(type) {
	case *syntax.ShowDatabases:
		return "ListDatabases"
	case *syntax.ShowTables:
		return "ListTables"
	case *syntax.ShowMeasures:
		return "ListMeasures"
	}
	return "DescribeTable"
}

// namedBy returns what a metadata statement is about, for [Options.Authorize].
func namedBy(stmt syntax.Statement) []plan.TableRef {
	switch stmt := stmt.(type) {
	case *syntax.ShowTables:
		if stmt.Database.Name != "" {
			return []plan.TableRef{{Database: stmt.Database.Name}}
		}
	case *syntax.ShowMeasures:
		return []plan.TableRef{{Database: stmt.Table.Database.Name, Table: stmt.Table.Table.Name}}
	case *syntax.Describe:
		return []plan.TableRef{{Database: stmt.Table.Database.Name, Table: stmt.Table.Table.Name}}
	}
	return nil
}

// metadata answers SHOW and DESCRIBE (sql.md section 12), sorted by name.
func (s *Service) metadata(stmt syntax.Statement) ([]plan.OutputColumn, source, error) {
	switch stmt := stmt.(type) {
	case *syntax.ShowDatabases:
		return s.showDatabases(stmt)
	case *syntax.ShowTables:
		return s.showTables(stmt)
	case *syntax.ShowMeasures:
		return s.showMeasures(stmt)
	case *syntax.Describe:
		return s.describe(stmt)
	}
	return nil, nil, fault.New(fault.Invalid, "The query syntax is invalid at line 1:1")
}

func varchars(names ...string) []plan.OutputColumn {
	columns := make([]plan.OutputColumn, len(names))
	for i, n := range names {
		columns[i] = plan.OutputColumn{Name: n, Type: vec.VarcharType}
	}
	return columns
}

func (s *Service) showDatabases(stmt *syntax.ShowDatabases) ([]plan.OutputColumn, source, error) {
	var names []string
	databases, _ := s.opts.Catalog.Databases("", 0)
	for _, d := range databases {
		if likes(d.Name, stmt.Like) {
			names = append(names, d.Name)
		}
	}
	return varchars("Database"), newStatic(vec.OfStrs(names, nil)), nil
}

func (s *Service) showTables(stmt *syntax.ShowTables) ([]plan.OutputColumn, source, error) {
	tables, _ := s.opts.Catalog.AllTables("", "", 0)
	var names []string
	if want := stmt.Database.Name; s.isSystem(want) {
		tables = nil
		for _, name := range systemTables {
			if likes(name, stmt.Like) {
				names = append(names, name)
			}
		}
	} else if want != "" {
		var err error
		if tables, _, err = s.opts.Catalog.Tables(want, "", 0); err != nil {
			return nil, nil, missing("database", want, want, stmt.Database.At)
		}
	}
	for _, t := range tables {
		if likes(t.ID.Table, stmt.Like) {
			names = append(names, t.ID.Table)
		}
	}
	slices.Sort(names)
	return varchars("Table"), newStatic(vec.OfStrs(names, nil)), nil
}

func missing(what, name, identifier string, at syntax.Pos) error {
	return fault.New(fault.Invalid, "Requested %s '%s' not found for identifier '%s' at line %d:%d", what, name, identifier, at.Line, at.Col)
}

// schema finds the columns of a table that a metadata statement names.
func (s *Service) schema(name syntax.TableName) (*storage.Schema, error) {
	if name.Database.Name == "" {
		return nil, missing("table", name.Table.Name, name.Table.Name, name.Pos())
	}
	if s.isSystemTable(name.Database.Name, name.Table.Name) {
		return queriesSchema, nil
	}
	identifier := name.Database.Name + "." + name.Table.Name
	if _, err := s.opts.Catalog.Database(name.Database.Name); err != nil {
		return nil, missing("database", name.Database.Name, identifier, name.Pos())
	}
	t, err := s.opts.Catalog.Table(name.Database.Name, name.Table.Name)
	if err != nil {
		return nil, missing("table", name.Table.Name, identifier, name.Pos())
	}
	return t.Store.Schema(), nil
}

func (s *Service) showMeasures(stmt *syntax.ShowMeasures) ([]plan.OutputColumn, source, error) {
	schema, err := s.schema(stmt.Table)
	if err != nil {
		return nil, nil, err
	}
	measures := slices.Clone(schema.Measures)
	slices.SortStableFunc(measures, func(a, b storage.Measure) int { return strings.Compare(a.Name, b.Name) })
	dimension := vec.RowOf(vec.Field{Name: "dimension_name", Type: vec.VarcharType}, vec.Field{Name: "data_type", Type: vec.VarcharType})
	var names, types []string
	lists := vec.NewBuilder(vec.ArrayOf(dimension), len(measures))
	for _, m := range measures {
		if !likes(m.Name, stmt.Like) {
			continue
		}
		typ := "multi"
		if !m.Multi {
			typ = m.Type.String()
		}
		names, types = append(names, m.Name), append(types, typ)
		list := vec.Value{Type: vec.ArrayOf(dimension), List: []vec.Value{}}
		for _, d := range m.Dimensions {
			list.List = append(list.List, vec.Value{Type: dimension, List: []vec.Value{vec.Str(d), vec.Str("varchar")}})
		}
		lists.Append(list)
	}
	columns := append(varchars("measure_name", "data_type"), plan.OutputColumn{Name: "dimensions", Type: vec.ArrayOf(dimension)})
	return columns, newStatic(vec.OfStrs(names, nil), vec.OfStrs(types, nil), lists.Vector()), nil
}

func (s *Service) describe(stmt *syntax.Describe) ([]plan.OutputColumn, source, error) {
	schema, err := s.schema(stmt.Table)
	if err != nil {
		return nil, nil, err
	}
	var names, types, roles []string
	for _, c := range schema.Columns {
		names, types, roles = append(names, c.Name), append(types, c.Type.String()), append(roles, roleName(c.Role))
	}
	return varchars("Column", "Type", "Timestream attribute type"),
		newStatic(vec.OfStrs(names, nil), vec.OfStrs(types, nil), vec.OfStrs(roles, nil)), nil
}

func roleName(r storage.Role) string {
	switch r {
	case storage.Dimension:
		return "DIMENSION"
	case storage.MeasureName:
		return "MEASURE_NAME"
	case storage.TimeColumn:
		return "TIMESTAMP"
	case storage.MeasureValue:
		return "MEASURE_VALUE"
	}
	return "MULTI"
}

// likes matches a whole name against a LIKE pattern; no pattern matches everything.
func likes(name string, pattern *syntax.StringLit) bool {
	return pattern == nil || like(name, pattern.Value)
}

// like matches % against any run and _ against one character, by the usual method of
// remembering the last % and trying again from there.
func like(s, p string) bool {
	afterRun, resume := "", ""
	backtrack := false
	for {
		switch {
		case p != "" && p[0] == '%':
			p = p[1:]
			afterRun, resume, backtrack = p, s, true
			continue
		case s == "":
			return p == ""
		case p != "" && p[0] == '_':
			_, n := utf8.DecodeRuneInString(s)
			s, p = s[n:], p[1:]
			continue
		case p != "" && p[0] == s[0]:
			s, p = s[1:], p[1:]
			continue
		case !backtrack || resume == "":
			return false
		}
		resume = resume[1:]
		s, p = resume, afterRun
	}
}
