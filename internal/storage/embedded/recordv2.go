package embedded

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/storage/embedded/series"
	"github.com/weir-db/weir/internal/storage/embedded/wal"
	"github.com/weir-db/weir/internal/vec"
)

// A record of kind 2 is the rows of one request that passed the window of acceptance. Series
// have numbers in it, which are written with their keys once per epoch: an epoch begins at a
// position of the log, and its records need the log from there on. Values are stored by column.
//
//	head:
//	uvarint  table uid (see manifest)
//	uvarint  epoch: the position at which it began; another one than the table's record before
//	         forgets all numbers
//	varint   memory boundary, ns: older rows were meant for the magnetic store
//	uvarint  new numbers, each: uvarint number, uvarint dimensions in the order of the request, their
//	         names (length, bytes; count 0 if they are sorted), then uvarint length and canonical key
//	rest:
//	uvarint  columns, each: role u8, kind u8, uvarint length, name
//	uvarint  rows
//	u8       flags
//	per row: varint number of the series minus the previous row's
//	per row: varint time minus the previous row's, minus that of the row before
//	per row: uvarint version, if any is not 1 (flag 1)
//	per row: u8 whether it is multi, if they are not all (flag 2)
//	uvarint  values of a row, and of each: uvarint column; per row, if they differ (flag 4)
//	values:  of the rows' first values, then the second ones …; row after row if they differ
//	uvarint  answers of remote segments (flag 8; see late.go), each: uvarint row minus that of the answer before,
//	         uvarint version, u8 whether its values are those of the row
//
// A value is 8 bytes little-endian, or, for varchar, uvarint length + 1 and bytes, 0 for the text
// of the value before of that column. Values of doubles that all rows have begin with a byte: 0 for 8 bytes
// each; 1 + e for varints that give the doubles when divided by 10^e. Those of bigint and timestamp are varints
// of the difference to the value before, where all rows have the same columns.
type recordEncoder struct {
	head, rest []byte
	exponents  []uint8 // by place of the value: what fitted last
	ints       []int64 // scratch
}

const (
	flagVersions = 1 << iota
	flagMixed    // multi and single rows
	flagRagged   // rows of different columns
	flagAsked    // remote segments were asked
	flagsEnd
)

// maxExponent bounds the decimals that doubles are tried with.
const maxExponent = 4

var powersOfTen = [maxExponent + 1]float64{1, 10, 100, 1e3, 1e4}

// encodeRest returns the rest of a request's record, valid until the next call.
func (e *recordEncoder) encodeRest(r *request) []byte {
	rows, pick, ids := r.rows, r.pick, r.ids
	b := binary.AppendUvarint(e.rest[:0], uint64(len(rows.Columns)))
	for _, c := range rows.Columns {
		b = append(b, byte(c.Role), byte(c.Type.Kind))
		b = appendText(b, c.Name)
	}
	b = binary.AppendUvarint(b, uint64(len(pick)))
	flags := flagsOf(rows, pick)
	if r.asked {
		flags |= flagAsked
	}
	b = append(b, flags)
	var id int64
	for _, next := range ids {
		b = binary.AppendVarint(b, int64(next)-id)
		id = int64(next)
	}
	var time, step int64
	for _, at := range pick {
		d := rows.Rows[at].TimeNs - time
		b = binary.AppendVarint(b, d-step)
		time, step = rows.Rows[at].TimeNs, d
	}
	if flags&flagVersions != 0 {
		for _, at := range pick {
			b = binary.AppendUvarint(b, uint64(rows.Rows[at].Version))
		}
	}
	if flags&flagMixed != 0 {
		for _, at := range pick {
			b = append(b, boolByte(rows.Rows[at].Multi))
		}
	} else {
		b = append(b, boolByte(rows.Rows[pick[0]].Multi))
	}
	if flags&flagRagged != 0 {
		for _, at := range pick {
			b = appendColumns(b, rows.Rows[at].Values)
		}
		for _, at := range pick {
			for _, v := range rows.Rows[at].Values {
				if rows.Columns[v.Column].Type.Kind == vec.Varchar {
					b = append(binary.AppendUvarint(b, uint64(len(v.Str))+1), v.Str...)
				} else {
					b = binary.LittleEndian.AppendUint64(b, v.Bits)
				}
			}
		}
	} else {
		values := rows.Rows[pick[0]].Values
		b = appendColumns(b, values)
		for k := range values {
			b = e.appendColumn(b, rows, pick, k)
		}
	}
	if r.asked {
		b = appendAnswers(b, r.answers)
	}
	e.rest = b
	return b
}

func appendAnswers(b []byte, answers []answer) []byte {
	b = binary.AppendUvarint(b, uint64(len(answers)))
	row := int32(0)
	for _, a := range answers {
		b = binary.AppendUvarint(b, uint64(a.row-row))
		b = binary.AppendUvarint(b, uint64(a.version))
		b = append(b, boolByte(a.same))
		row = a.row
	}
	return b
}

// readAnswers reads the answers for n rows.
func (d *recordDecoder) readAnswers(n int) {
	row := uint64(0)
	for k := range d.count(3) {
		step := d.uvarint()
		row += step
		if row >= uint64(n) || step >= uint64(n) || k > 0 && step == 0 {
			d.fail("answer for row %d of %d", row, n)
			return
		}
		d.answers = append(d.answers, answer{int32(row), int64(d.uvarint()), d.byte() == 1})
	}
}

func boolByte(v bool) byte {
	if v {
		return 1
	}
	return 0
}

func flagsOf(rows *storage.Rows, pick []int32) (flags byte) {
	first := &rows.Rows[pick[0]]
	for _, at := range pick {
		row := &rows.Rows[at]
		if row.Version != 1 {
			flags |= flagVersions
		}
		if row.Multi != first.Multi {
			flags |= flagMixed
		}
		if len(row.Values) != len(first.Values) {
			flags |= flagRagged
			continue
		}
		for k := range row.Values {
			if row.Values[k].Column != first.Values[k].Column {
				flags |= flagRagged
				break
			}
		}
	}
	return flags
}

func appendColumns(b []byte, values []storage.Val) []byte {
	b = binary.AppendUvarint(b, uint64(len(values)))
	for k := range values {
		b = binary.AppendUvarint(b, uint64(values[k].Column))
	}
	return b
}

// appendColumn appends the value at place k of each row.
func (e *recordEncoder) appendColumn(b []byte, rows *storage.Rows, pick []int32, k int) []byte {
	switch rows.Columns[rows.Rows[pick[0]].Values[k].Column].Type.Kind {
	case vec.Varchar:
		last, any := "", false
		for _, at := range pick {
			s := rows.Rows[at].Values[k].Str
			if any && s == last {
				b = append(b, 0)
				continue
			}
			b = append(binary.AppendUvarint(b, uint64(len(s))+1), s...)
			last, any = s, true
		}
	case vec.Double:
		b = e.appendDoubles(b, rows, pick, k)
	case vec.Bigint, vec.Timestamp:
		var last uint64
		for _, at := range pick {
			bits := rows.Rows[at].Values[k].Bits
			b = binary.AppendVarint(b, int64(bits-last))
			last = bits
		}
	default:
		for _, at := range pick {
			b = binary.LittleEndian.AppendUint64(b, rows.Rows[at].Values[k].Bits)
		}
	}
	return b
}

func (e *recordEncoder) appendDoubles(b []byte, rows *storage.Rows, pick []int32, k int) []byte {
	for k >= len(e.exponents) {
		e.exponents = append(e.exponents, 0)
	}
	// What fitted the rows before is likely to fit these.
	for exp := e.exponents[k]; exp <= maxExponent; exp++ {
		if e.scale(rows, pick, k, powersOfTen[exp]) {
			e.exponents[k] = exp
			b = append(b, 1+exp)
			for _, n := range e.ints {
				b = binary.AppendVarint(b, n)
			}
			return b
		}
	}
	e.exponents[k] = 0
	b = append(b, 0)
	for _, at := range pick {
		b = binary.LittleEndian.AppendUint64(b, rows.Rows[at].Values[k].Bits)
	}
	return b
}

// scale fills e.ints with the doubles times the scale, and reports whether dividing gives them back.
func (e *recordEncoder) scale(rows *storage.Rows, pick []int32, k int, scale float64) bool {
	e.ints = slices.Grow(e.ints[:0], len(pick))[:len(pick)]
	if scale == 1 { // whole numbers are worth to be spared the division
		for i, at := range pick {
			bits := rows.Rows[at].Values[k].Bits
			f := math.Float64frombits(bits)
			if !(f > -1<<50 && f < 1<<50) || math.Float64bits(float64(int64(f))) != bits {
				return false
			}
			e.ints[i] = int64(f)
		}
		return true
	}
	for i, at := range pick {
		bits := rows.Rows[at].Values[k].Bits
		f := math.Float64frombits(bits)
		m := f * scale
		if !(m > -1<<50 && m < 1<<50) {
			return false
		}
		n := int64(m + 0.5)
		if m < 0 {
			n = int64(m - 0.5)
		}
		if math.Float64bits(float64(n)/scale) != bits {
			return false
		}
		e.ints[i] = n
	}
	return true
}

// encodeHead returns the head of the record of some rows: fresh are those, as indices into pick
// and ids, whose series have no number yet.
func (e *recordEncoder) encodeHead(t *table, epoch wal.Position, memory int64, r *request, fresh []int32) []byte {
	b := binary.AppendUvarint(e.head[:0], t.uid)
	b = binary.AppendUvarint(b, uint64(epoch))
	b = binary.AppendVarint(b, memory)
	b = binary.AppendUvarint(b, uint64(len(fresh)))
	for _, i := range fresh {
		b = binary.AppendUvarint(b, uint64(r.ids[i]))
		b = appendDimensionOrder(b, r.rows.Rows[r.pick[i]].Dimensions)
		b = t.registry.AppendKeyOf(b, r.ids[i])
	}
	e.head = b
	return b
}

// numbers is what the numbers of a table's series mean in the epoch at hand, while the log is replayed.
type numbers struct {
	epoch  wal.Position
	known  map[uint32]numbered
	orders [][]string // of dimensions, as records had them
}

type numbered struct {
	id    series.ID
	order int32 // index into orders plus one; 0: sorted
}

// recordDecoder decodes records of kind 2. What it returns is valid until the next call.
type recordDecoder struct {
	decoder
	rows   storage.Rows
	values []storage.Val
	ids    []series.ID
	orders []int32 // of each row; see numbered

	asked   bool // as the request
	answers []answer
}

// begin reads the uid of a record.
func (d *recordDecoder) begin(payload []byte) (uid uint64) {
	d.decoder = decoder{rest: payload}
	return d.uvarint()
}

// head reads the head after the uid: registers the series in it, and returns the memory boundary.
func (d *recordDecoder) head(n *numbers, registry *series.Registry) (memory int64, err error) {
	// A head that is cut short takes no numbers away.
	if epoch := wal.Position(d.uvarint()); d.err == nil && (epoch != n.epoch || n.known == nil) {
		*n = numbers{epoch: epoch, known: map[uint32]numbered{}}
	}
	memory = d.varint()
	var keys series.Keys
	for range d.count(3) {
		number := d.uvarint()
		order := make([]string, d.count(1))
		for i := range order {
			order[i] = d.text()
		}
		key := d.text()
		if d.err != nil || number > math.MaxUint32 {
			d.fail("series number %d", number)
			break
		}
		keys.Bytes, keys.Ends = append(keys.Bytes[:0], key...), append(keys.Ends[:0], len(key))
		ids, err := registry.Resolve(nil, &keys)
		if err == nil && len(order) > 0 {
			_, dims := registry.Series(ids[0])
			_, err = reorder(dims, order)
		}
		if err != nil {
			d.fail("%v", err)
			break
		}
		n.known[uint32(number)] = numbered{ids[0], n.order(order)}
	}
	return memory, d.err
}

// order returns a number for an order of dimensions; 0 is that of the sorted ones.
func (n *numbers) order(names []string) int32 {
	if len(names) == 0 {
		return 0
	}
next:
	for i, known := range n.orders {
		if len(known) != len(names) {
			continue
		}
		for k := range known {
			if known[k] != names[k] {
				continue next
			}
		}
		return int32(i) + 1
	}
	n.orders = append(n.orders, names)
	return int32(len(n.orders))
}

// tail reads the rows, without measure names and dimensions.
func (d *recordDecoder) tail(n *numbers) error {
	d.rows.Columns = d.rows.Columns[:0]
	for range d.count(3) {
		d.rows.Columns = append(d.rows.Columns, d.column())
	}
	count := d.count(2)
	flags := d.byte()
	if count == 0 || flags >= flagsEnd {
		d.fail("%d rows, flags %x", count, flags)
		return d.err
	}
	d.rows.Rows, d.values, d.ids, d.orders = d.rows.Rows[:0], d.values[:0], d.ids[:0], d.orders[:0]
	var id int64
	for range count {
		id += d.varint()
		known, ok := n.known[uint32(id)]
		if !ok || id < 0 || id > math.MaxUint32 {
			d.fail("series number %d is not known", id)
			return d.err
		}
		d.ids, d.orders = append(d.ids, known.id), append(d.orders, known.order)
		d.rows.Rows = append(d.rows.Rows, storage.Row{Version: 1})
	}
	rows := d.rows.Rows
	var time, step int64
	for i := range rows {
		step += d.varint()
		time += step
		rows[i].TimeNs = time
	}
	if flags&flagVersions != 0 {
		for i := range rows {
			rows[i].Version = int64(d.uvarint())
		}
	}
	if flags&flagMixed != 0 {
		for i := range rows {
			rows[i].Multi = d.byte() == 1
		}
	} else {
		multi := d.byte() == 1
		for i := range rows {
			rows[i].Multi = multi
		}
	}
	if flags&flagRagged != 0 {
		d.ragged(rows)
	} else {
		d.columnar(rows)
	}
	if d.asked, d.answers = flags&flagAsked != 0, d.answers[:0]; d.asked {
		d.readAnswers(len(rows))
	}
	for i := range rows {
		if len(rows[i].Values) == 0 || !rows[i].Multi && len(rows[i].Values) != 1 {
			d.fail("row of %d values", len(rows[i].Values))
			break
		}
	}
	if d.err == nil && len(d.decoder.rest) > 0 {
		d.fail("%d bytes too many", len(d.decoder.rest))
	}
	return d.err
}

// columnList appends values of the columns that are listed next to d.values.
func (d *recordDecoder) columnList() {
	for range d.count(1) {
		c := d.uvarint()
		if c >= uint64(len(d.rows.Columns)) {
			d.fail("value of column %d of %d", c, len(d.rows.Columns))
			return
		}
		d.values = append(d.values, storage.Val{Column: int32(c)})
	}
}

func (d *recordDecoder) ragged(rows []storage.Row) {
	ends := make([]int, len(rows))
	for i := range rows {
		d.columnList()
		ends[i] = len(d.values)
	}
	from := 0
	for i := range rows {
		rows[i].Values = d.values[from:ends[i]:ends[i]]
		from = ends[i]
		for k := range rows[i].Values {
			v := &rows[i].Values[k]
			if d.rows.Columns[v.Column].Type.Kind == vec.Varchar {
				v.Str, _ = d.shared("")
			} else {
				v.Bits = d.bits()
			}
		}
	}
}

// shared reads a text that may be the one before.
func (d *recordDecoder) shared(last string) (s string, fresh bool) {
	n := d.uvarint()
	if n == 0 {
		return last, false
	}
	if n-1 > uint64(len(d.decoder.rest)) {
		d.fail("text of %d bytes", n-1)
		return "", true
	}
	return d.bytes(int(n - 1)), true
}

func (d *recordDecoder) columnar(rows []storage.Row) {
	d.columnList()
	width := len(d.values)
	if width > 0 && len(rows) > len(d.decoder.rest)/width {
		d.fail("%d rows of %d values in %d bytes", len(rows), width, len(d.decoder.rest))
		return
	}
	for range len(rows) - 1 {
		d.values = append(d.values, d.values[:width]...)
	}
	for i := range rows {
		rows[i].Values = d.values[i*width : (i+1)*width : (i+1)*width]
	}
	for k := range width {
		d.place(rows, k)
		if d.err != nil {
			return
		}
	}
}

// place reads the value at place k of each row.
func (d *recordDecoder) place(rows []storage.Row, k int) {
	switch d.rows.Columns[d.values[k].Column].Type.Kind {
	case vec.Varchar:
		last := ""
		for i := range rows {
			last, _ = d.shared(last)
			rows[i].Values[k].Str = last
		}
	case vec.Double:
		mode := d.byte()
		if mode > 1+maxExponent {
			d.fail("doubles of form %d", mode)
		}
		if mode == 0 {
			for i := range rows {
				rows[i].Values[k].Bits = d.bits()
			}
			return
		}
		scale := powersOfTen[min(mode-1, maxExponent)]
		for i := range rows {
			rows[i].Values[k].Bits = math.Float64bits(float64(d.varint()) / scale)
		}
	case vec.Bigint, vec.Timestamp:
		var last uint64
		for i := range rows {
			last += uint64(d.varint())
			rows[i].Values[k].Bits = last
		}
	default:
		for i := range rows {
			rows[i].Values[k].Bits = d.bits()
		}
	}
}

// complete gives a replayed row its measure name, and its dimensions in their order.
func (t *table) complete(row *storage.Row, id series.ID, names [][]string, order int32) {
	row.Measure, row.Dimensions = t.registry.Series(id)
	if order == 0 {
		return
	}
	if dims, err := reorder(row.Dimensions, names[order-1]); err == nil {
		row.Dimensions = dims
	}
}
