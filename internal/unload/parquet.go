package unload

import (
	"io"
	"reflect"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"
	"github.com/parquet-go/parquet-go/deprecated"

	"github.com/weir-db/weir/internal/sql/plan"
	"github.com/weir-db/weir/internal/vec"
)

// parquetWriter writes batches as a Parquet file: timestamps as INT96 (nanoseconds of a Julian
// day), arrays as LIST, series as LIST of rows of time and value, intervals as their
// text; every value is optional.
type parquetWriter struct {
	w       *parquet.GenericWriter[any]
	columns []*leafTree
	leaves  [][]parquet.Value // of the batch in hand, by leaf
	raw     int64             // estimated bytes since the last flush
}

func newParquetWriter(out io.Writer, columns []plan.OutputColumn, gzip bool) *parquetWriter {
	p := &parquetWriter{}
	root := &orderedGroup{}
	for i, c := range columns {
		root.add(columnName(c, i), nodeOf(c.Type))
		p.columns = append(p.columns, p.tree(c.Type, 0, 0))
	}
	options := []parquet.WriterOption{
		parquet.NewSchema("schema", root), parquet.PageBufferSize(256 << 10), parquet.WriteBufferSize(0), parquet.CreatedBy("weir", "1", ""),
		parquet.DataPageVersion(1), // Spark's vectorised reader knows it in all versions
	}
	if gzip {
		options = append(options, parquet.Compression(&parquet.Gzip))
	} else {
		options = append(options, parquet.Compression(compress.Codec(&parquet.Uncompressed)))
	}
	p.w = parquet.NewGenericWriter[any](out, options...)
	return p
}

// orderedGroup is a group whose fields keep their order; those of the library are sorted
// by name.
type orderedGroup struct {
	parquet.Group
	fields []parquet.Field
}

func (g *orderedGroup) add(name string, n parquet.Node) {
	g.fields = append(g.fields, &field{n, name})
}

// Fields returns the fields in their order.
func (g *orderedGroup) Fields() []parquet.Field { return g.fields }

// GoType is not used: values do not come from Go structs.
func (g *orderedGroup) GoType() reflect.Type { return reflect.TypeFor[struct{}]() }

type field struct {
	parquet.Node
	name string
}

func (f *field) Name() string                      { return f.name }
func (f *field) Value(reflect.Value) reflect.Value { panic("bug: rows are not Go values") }

func nodeOf(t vec.Type) parquet.Node {
	switch t.Kind {
	case vec.Boolean:
		return parquet.Optional(parquet.Leaf(parquet.BooleanType))
	case vec.Integer:
		return parquet.Optional(parquet.Leaf(parquet.Int32Type))
	case vec.Bigint:
		return parquet.Optional(parquet.Leaf(parquet.Int64Type))
	case vec.Double:
		return parquet.Optional(parquet.Leaf(parquet.DoubleType))
	case vec.Timestamp:
		return parquet.Optional(parquet.Leaf(parquet.Int96Type))
	case vec.Date:
		return parquet.Optional(parquet.Date())
	case vec.Array:
		return parquet.Optional(parquet.List(nodeOf(*t.Elem)))
	case vec.TimeSeries:
		return parquet.Optional(parquet.List(nodeOf(vec.PointType(*t.Elem))))
	case vec.Row:
		g := &orderedGroup{}
		for i, f := range t.Fields {
			g.add(fieldName(f, i), nodeOf(f.Type))
		}
		return parquet.Optional(g)
	}
	return parquet.Optional(parquet.String())
}

// leafTree is a type with the places of its leaves and the levels of Dremel's encoding.
type leafTree struct {
	kind     vec.Kind
	leaf     int // of a scalar
	def, rep int // of a value that is there; of its elements' repetition, for lists
	children []*leafTree
}

func (p *parquetWriter) tree(t vec.Type, def, rep int) *leafTree {
	n := &leafTree{kind: t.Kind, def: def + 1, rep: rep}
	switch t.Kind {
	case vec.Array:
		n.rep = rep + 1
		n.children = []*leafTree{p.tree(*t.Elem, def+2, rep+1)}
	case vec.TimeSeries:
		n.rep = rep + 1
		n.children = []*leafTree{p.tree(vec.PointType(*t.Elem), def+2, rep+1)}
	case vec.Row:
		for _, f := range t.Fields {
			n.children = append(n.children, p.tree(f.Type, def+1, rep))
		}
	default:
		n.leaf = len(p.leaves)
		p.leaves = append(p.leaves, nil)
	}
	return n
}

// write appends the given rows of a batch.
func (p *parquetWriter) write(columns []*vec.Vector, rows []int32) error {
	for i := range p.leaves {
		p.leaves[i] = p.leaves[i][:0]
	}
	for k, c := range columns {
		for _, i := range rows {
			p.shred(p.columns[k], c, int(i), 0, 0)
		}
	}
	for i, w := range p.w.ColumnWriters() {
		if _, err := w.WriteRowValues(p.leaves[i]); err != nil {
			return err
		}
	}
	return nil
}

// shred appends one value; rep says at which level it repeats, def how much of its path is there.
func (p *parquetWriter) shred(n *leafTree, v *vec.Vector, i, rep, def int) {
	v, i = v.At(i)
	if v.Nulls != nil && v.Nulls[i] {
		p.null(n, rep, def)
		return
	}
	switch n.kind {
	case vec.Row:
		for k, c := range n.children {
			p.shred(c, v.Children[k], i, rep, n.def)
		}
		return
	case vec.Array, vec.TimeSeries:
		p.list(n, v, i, rep)
		return
	}
	value, size := scalar(v, i)
	p.raw += size
	p.leaves[n.leaf] = append(p.leaves[n.leaf], value.Level(rep, n.def, n.leaf))
}

func (p *parquetWriter) list(n *leafTree, v *vec.Vector, i, rep int) {
	from, to := int(v.Offsets[i]), int(v.Offsets[i+1])
	if from == to {
		p.null(n, rep, n.def)
		return
	}
	element := n.children[0]
	for j := from; j < to; j++ {
		if n.kind == vec.Array {
			p.shred(element, v.Children[0], j, rep, n.def+1)
		} else {
			p.shred(element.children[0], v.Children[0], j, rep, element.def)
			p.shred(element.children[1], v.Children[1], j, rep, element.def)
		}
		rep = n.rep
	}
}

// null ends all paths below n.
func (p *parquetWriter) null(n *leafTree, rep, def int) {
	if n.children == nil {
		p.leaves[n.leaf] = append(p.leaves[n.leaf], parquet.NullValue().Level(rep, def, n.leaf))
		p.raw++
		return
	}
	for _, c := range n.children {
		p.null(c, rep, def)
	}
}

func scalar(v *vec.Vector, i int) (parquet.Value, int64) {
	switch v.Type.Kind {
	case vec.Boolean:
		return parquet.BooleanValue(v.Bools[i]), 1
	case vec.Integer, vec.Date:
		return parquet.Int32Value(int32(v.Ints[i])), 4
	case vec.Bigint:
		return parquet.Int64Value(v.Ints[i]), 8
	case vec.Double:
		return parquet.DoubleValue(v.Floats[i]), 8
	case vec.Timestamp:
		return parquet.Int96Value(int96(v.Ints[i])), 16
	case vec.Varchar:
		return parquet.ByteArrayValue([]byte(v.Strs[i])), int64(len(v.Strs[i])) + 4
	}
	text := vec.AppendText(nil, v, i)
	return parquet.ByteArrayValue(text), int64(len(text)) + 4
}

// julianEpoch is the Julian day of 1970-01-01.
const julianEpoch = 2_440_588

// int96 is a timestamp as Impala, Hive and Spark write it: nanoseconds of the day, then the
// Julian day, little-endian.
func int96(ns int64) deprecated.Int96 {
	day := vec.FloorDiv(ns, vec.Day)
	of := ns - day*vec.Day
	return deprecated.Int96{uint32(of), uint32(of >> 32), uint32(day + julianEpoch)}
}

// flush ends a row group, which frees what it holds in memory.
func (p *parquetWriter) flush() error {
	p.raw = 0
	return p.w.Flush()
}

func (p *parquetWriter) Close() error { return p.w.Close() }
