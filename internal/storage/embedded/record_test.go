package embedded

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/storage/embedded/series"
	"github.com/weir-db/weir/internal/storage/embedded/wal"
	"github.com/weir-db/weir/internal/storage/storagetest"
	"github.com/weir-db/weir/internal/vec"
	"github.com/weir-db/weir/internal/vfs"
)

func recordOf(rows *storage.Rows) []byte { return recordOfTable(7, rows) }

func recordOfTable(uid uint64, rows *storage.Rows) []byte {
	var keys series.Keys
	var pick []int32
	for i := range rows.Rows {
		pick = append(pick, int32(i))
		keys.Bytes = series.AppendKey(keys.Bytes, rows.Rows[i].Measure, rows.Rows[i].Dimensions)
		keys.Ends = append(keys.Ends, len(keys.Bytes))
	}
	ids, _ := series.NewRegistry().Resolve(nil, &keys)
	var e oldEncoder
	return e.encode(uid, -5, rows, pick, ids, &keys)
}

func recordSample() *storage.Rows {
	var b storagetest.Batch
	b.Add(storagetest.Point{Measure: "m", Dims: []string{"z", "1", "a", ""}, TimeNs: 1e18, Version: 9,
		Values: []storagetest.NamedValue{storagetest.F("f", -0.5), storagetest.S("s", "text"), storagetest.B("b", true)}})
	b.Add(storagetest.Point{Measure: "m", Dims: []string{"z", "1", "a", ""}, TimeNs: -1, Values: []storagetest.NamedValue{storagetest.T("t", -7)}})
	b.Add(storagetest.Point{Measure: "n", Dims: []string{"a", "2"}, TimeNs: 5, Single: true, Values: []storagetest.NamedValue{storagetest.I("", 3)}})
	return &b.Rows
}

func TestRecordGivesTheRowsBack(t *testing.T) {
	t.Parallel()
	rows := recordSample()
	got, err := decodeRecord(recordOf(rows))
	if err != nil {
		t.Fatal(err)
	}
	if got.tableUID != 7 || got.memory != -5 || !reflect.DeepEqual(got.rows, *rows) {
		t.Errorf("got\n%+v\nwant\n%+v", got.rows, *rows)
	}
}

func FuzzDecodeRecord(f *testing.F) {
	f.Add(recordOf(recordSample()))
	f.Fuzz(func(t *testing.T, payload []byte) {
		r, err := decodeRecord(payload)
		if err != nil {
			return
		}
		// What parses can be applied.
		n := newNames(nil)
		for i := range r.rows.Rows {
			row := &r.rows.Rows[i]
			if n.judge(&r.rows, row) == nil {
				n.grow(&r.rows, row)
			}
		}
	})
}

// oldEncoder builds records of kind 1, as earlier versions did.
type oldEncoder struct {
	buf   []byte
	ids   map[series.ID]uint32 // series to its number in the record
	order []int                // rows that bring a new series
	ref   []uint32             // of each row
}

// encode returns the record of the given rows, valid until the next call. ids are
// the rows' series, keys their canonical keys.
func (e *oldEncoder) encode(uid uint64, memory int64, rows *storage.Rows, pick []int32, ids []series.ID, keys *series.Keys) []byte {
	if e.ids == nil {
		e.ids = map[series.ID]uint32{}
	}
	clear(e.ids)
	e.order, e.ref = e.order[:0], e.ref[:0]
	for i, id := range ids {
		if i > 0 && id == ids[i-1] {
			e.ref = append(e.ref, e.ref[i-1])
			continue
		}
		n, ok := e.ids[id]
		if !ok {
			n = uint32(len(e.ids))
			e.ids[id] = n
			e.order = append(e.order, i)
		}
		e.ref = append(e.ref, n)
	}
	b := binary.AppendUvarint(e.buf[:0], uid)
	b = binary.AppendVarint(b, memory)
	b = binary.AppendUvarint(b, uint64(len(rows.Columns)))
	for _, c := range rows.Columns {
		b = append(b, byte(c.Role), byte(c.Type.Kind))
		b = appendText(b, c.Name)
	}
	b = binary.AppendUvarint(b, uint64(len(e.order)))
	for _, i := range e.order {
		b = appendDimensionOrder(b, rows.Rows[pick[i]].Dimensions)
		key := keys.Key(i)
		b = binary.AppendUvarint(b, uint64(len(key)))
		b = append(b, key...)
	}
	b = binary.AppendUvarint(b, uint64(len(pick)))
	previous := int64(0)
	for i, at := range pick {
		row := &rows.Rows[at]
		ref := uint64(e.ref[i]) << 1
		if row.Multi {
			ref |= 1
		}
		b = binary.AppendUvarint(b, ref)
		b = binary.AppendVarint(b, row.TimeNs-previous)
		previous = row.TimeNs
		b = binary.AppendUvarint(b, uint64(row.Version))
		b = binary.AppendUvarint(b, uint64(len(row.Values)))
		for k := range row.Values {
			v := &row.Values[k]
			b = binary.AppendUvarint(b, uint64(v.Column))
			if rows.Columns[v.Column].Type.Kind == vec.Varchar {
				b = appendText(b, v.Str)
			} else {
				b = binary.LittleEndian.AppendUint64(b, v.Bits)
			}
		}
	}
	e.buf = b
	return b
}

// numberedRecord returns the record of kind 2 of rows, with numbers for all series, and the request.
func numberedRecord(t *table, rows *storage.Rows, epoch wal.Position, fresh func(i int) bool) []byte {
	r := &request{}
	r.reset(rows)
	r.memory = -5
	for i := range rows.Rows {
		r.pick = append(r.pick, int32(i))
		r.missing = append(r.missing, int32(i))
		r.ids = append(r.ids, 0)
		r.keys.Bytes = series.AppendKey(r.keys.Bytes, rows.Rows[i].Measure, rows.Rows[i].Dimensions)
		r.keys.Ends = append(r.keys.Ends, len(r.keys.Bytes))
		if fresh(i) {
			r.fresh = append(r.fresh, int32(i))
		}
	}
	t.resolve(r)
	rest := r.encoder.encodeRest(r)
	return append(r.encoder.encodeHead(t, epoch, r.memory, r, r.fresh), rest...)
}

func always(int) bool { return true }

// decodeNumbered decodes with a fresh registry, in which the first record of an epoch is first.
func decodeNumbered(d *recordDecoder, n *numbers, t *table, payload []byte) (*storage.Rows, error) {
	if uid := d.begin(payload); uid != t.uid {
		return nil, fmt.Errorf("uid %d", uid)
	}
	if memory, err := d.head(n, t.registry); err != nil || memory != -5 {
		return nil, fmt.Errorf("memory %d, %w", memory, err)
	}
	if err := d.tail(n); err != nil {
		return nil, err
	}
	for i := range d.rows.Rows {
		t.complete(&d.rows.Rows[i], d.ids[i], n.orders, d.orders[i])
	}
	return &d.rows, nil
}

func TestNumberedRecordGivesTheRowsBack(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	from, to := &table{uid: 7, registry: series.NewRegistry()}, &table{uid: 7, registry: series.NewRegistry()}
	var d recordDecoder
	var n numbers
	for k := range 500 {
		rows := recordSample()
		if k > 0 {
			rows = randomRows(r)
		}
		payload := numberedRecord(from, rows, 3, always)
		got, err := decodeNumbered(&d, &n, to, payload)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, rows) {
			t.Fatalf("got\n%+v\nwant\n%+v", got, rows)
		}
		// Numbers hold in later records of the epoch, and in no other one.
		if got, err := decodeNumbered(&d, &n, to, numberedRecord(from, rows, 3, func(int) bool { return false })); err != nil || !reflect.DeepEqual(got, rows) {
			t.Fatalf("without keys: %v", err)
		}
		if _, err := decodeNumbered(&d, &numbers{}, to, numberedRecord(from, rows, 4, func(int) bool { return false })); err == nil {
			t.Fatal("an unknown number is taken")
		}
	}
}

// randomRows makes rows of all shapes: of the same columns or not, of all kinds, versions and texts.
func randomRows(r *rand.Rand) *storage.Rows {
	rows := &storage.Rows{}
	kinds := []vec.Kind{vec.Double, vec.Varchar, vec.Bigint, vec.Boolean, vec.Timestamp}
	for c := range 1 + r.IntN(6) {
		rows.Columns = append(rows.Columns, storage.Column{Name: fmt.Sprint("c", c), Type: vec.Type{Kind: kinds[r.IntN(len(kinds))]}, Role: storage.Attribute})
	}
	ragged, versions, scale := r.IntN(3) == 0, r.IntN(2), math.Pow10(r.IntN(7))
	for i := range 1 + r.IntN(20) {
		row := storage.Row{Measure: "m", Version: 1 + int64(versions*r.IntN(1000)), TimeNs: int64(i) * 1e10, Multi: true}
		if r.IntN(5) == 0 {
			row.TimeNs = r.Int64() - r.Int64()
		}
		for _, k := range r.Perm(1 + r.IntN(3)) {
			row.Dimensions = append(row.Dimensions, storage.Dim{Name: fmt.Sprint("d", k), Value: fmt.Sprint(r.IntN(3))})
		}
		// A series keeps the order of its first row.
		for _, other := range rows.Rows {
			if string(series.AppendKey(nil, "m", other.Dimensions)) == string(series.AppendKey(nil, "m", row.Dimensions)) {
				row.Dimensions = other.Dimensions
			}
		}
		for c := range rows.Columns {
			if ragged && r.IntN(2) == 0 {
				continue
			}
			v := storage.Val{Column: int32(c)}
			switch rows.Columns[c].Type.Kind {
			case vec.Double:
				f := math.Round(r.NormFloat64()*1000) / scale
				switch r.IntN(40) {
				case 0:
					f = math.Copysign(0, -1)
				case 1:
					f = r.NormFloat64() * 1e17
				}
				v.Bits = math.Float64bits(f)
			case vec.Varchar:
				v.Str = []string{"", "a", "bb"}[r.IntN(3)]
			case vec.Boolean:
				v.Bits = uint64(r.IntN(2))
			default:
				v.Bits = r.Uint64() >> (r.IntN(64))
			}
			row.Values = append(row.Values, v)
		}
		if len(row.Values) == 0 {
			row.Values = append(row.Values, storage.Val{Column: int32(len(rows.Columns) - 1)})
			if rows.Columns[len(rows.Columns)-1].Type.Kind == vec.Varchar {
				row.Values[0].Str = "x"
			}
		}
		row.Multi = len(row.Values) > 1 || r.IntN(2) == 0
		rows.Rows = append(rows.Rows, row)
	}
	return rows
}

func TestARecordGivesTheAnswersOfRemoteSegmentsBack(t *testing.T) {
	t.Parallel()
	rows := randomRows(rand.New(rand.NewPCG(3, 4)))
	for len(rows.Rows) < 4 {
		rows.Rows = append(rows.Rows, rows.Rows[0])
	}
	for _, answers := range [][]answer{nil, {{0, 1, true}}, {{1, math.MaxInt64, false}, {3, 2, true}}} {
		to := &table{uid: 7, registry: series.NewRegistry()}
		r := &request{asked: true, answers: answers, rows: rows, ids: make([]series.ID, len(rows.Rows))}
		r.pickAll()
		record := numberedRecord(to, rows, 3, always)
		plain := r.encoder.encodeRest(&request{rows: rows, pick: r.pick, ids: r.ids})
		record = append(record[:len(record)-len(plain)], r.encoder.encodeRest(r)...)
		var d recordDecoder
		if _, err := decodeNumbered(&d, &numbers{}, to, record); err != nil || !d.asked || !slices.Equal(d.answers, answers) {
			t.Errorf("got %v, %v, want %v", d.answers, err, answers)
		}
	}
	for _, answers := range [][]answer{{{int32(len(rows.Rows)), 1, true}}, {{1, 1, true}, {1, 2, true}}} {
		var d recordDecoder
		d.decoder = decoder{rest: appendAnswers(nil, answers)}
		if d.readAnswers(len(rows.Rows)); d.err == nil {
			t.Errorf("answers %v of %d rows are taken", answers, len(rows.Rows))
		}
	}
}

func FuzzDecodeNumberedRecord(f *testing.F) {
	make := func() *table { return &table{uid: 7, registry: series.NewRegistry()} }
	f.Add(numberedRecord(make(), recordSample(), 3, always))
	r := rand.New(rand.NewPCG(5, 6))
	for range 20 {
		f.Add(numberedRecord(make(), randomRows(r), 3, always))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		var d recordDecoder
		rows, err := decodeNumbered(&d, &numbers{}, make(), payload)
		if err != nil {
			return
		}
		// What parses can be applied.
		n := newNames(nil)
		for i := range rows.Rows {
			row := &rows.Rows[i]
			if n.judge(rows, row) == nil {
				n.grow(rows, row)
			}
		}
	})
}

func TestOpenReplaysRecordsOfEarlierVersions(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem()
	o := Options{FS: mem, Clock: clock.Manual(benchStart)}
	s := open(t, o)
	if err := s.CreateTable(t.Context(), benchID, benchPolicy); err != nil {
		t.Fatal(err)
	}
	uid := s.lookup(benchID).uid
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	log, err := wal.Open(wal.Options{FS: mem, Dir: "wal"}, func(wal.Position, byte, []byte) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	rows := sensorRows(0, 3, benchStart, 2)
	if _, err := log.Append(recordRows, recordOfTable(uid, rows)); err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, o)
	table, err := s.Table(benchID)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := table.Write(t.Context(), rows); err != nil || r.Memory != 3 || len(r.Rejections) > 0 {
		t.Errorf("the same rows again: %+v, %v", r, err)
	}
	if n := table.Stats().Rows; n != 3 {
		t.Errorf("%d rows, want the 3 of the old record", n)
	}
}
