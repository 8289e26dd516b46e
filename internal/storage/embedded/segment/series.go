package segment

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/storage/embedded/codec"
)

// seriesTable gathers the series of a segment: one dictionary of all strings, and per
// series the ids of its measure name and dimensions, its rows and time range.
type seriesTable struct {
	index   map[string]int64
	coded   []*codedValues // of the dimensions of the last series that had codes
	byName  map[string]*codedValues
	strings []string
	measure []int64
	dims    []int64 // dimensions of each series
	names   []int64 // of all series, end to end
	values  []int64
	rows    []int64
	first   []int64
	last    []int64

	lastMeasure string // of the series before; series come sorted by it
	lastID      int64
}

func (t *seriesTable) len() int { return len(t.measure) }

func (t *seriesTable) id(s string) int64 {
	id, ok := t.index[s]
	if !ok {
		if t.index == nil {
			t.index = map[string]int64{}
		}
		id = int64(len(t.strings))
		t.index[s] = id
		t.strings = append(t.strings, s)
	}
	return id
}

// codedValues is the values of one dimension that have codes.
type codedValues struct {
	name string
	id   int64   // of the name
	ids  []int32 // of values by code, plus one
}

// addCoded adds the dimensions of a series whose values have codes. A value that two dimensions have is in the dictionary
// twice; looking for it would take as long as writing the rest of a short series.
func (t *seriesTable) addCoded(dims []storage.Dim, codes []uint32) {
	for k, d := range dims {
		for k >= len(t.coded) {
			t.coded = append(t.coded, &codedValues{})
		}
		c := t.coded[k]
		if c.name != d.Name || c.ids == nil {
			c = t.named(d.Name)
			t.coded[k] = c
		}
		code := int(codes[k])
		if code >= len(c.ids) {
			c.ids = append(c.ids, make([]int32, max(code+1, 2*len(c.ids))-len(c.ids))...)
		}
		if c.ids[code] == 0 {
			t.strings = append(t.strings, d.Value)
			c.ids[code] = int32(len(t.strings))
		}
		t.names, t.values = append(t.names, c.id), append(t.values, int64(c.ids[code]-1))
	}
}

func (t *seriesTable) named(name string) *codedValues {
	c := t.byName[name]
	if c == nil {
		c = &codedValues{name: name, id: t.id(name), ids: make([]int32, 64)}
		if t.byName == nil {
			t.byName = map[string]*codedValues{}
		}
		t.byName[name] = c
	}
	return c
}

func (t *seriesTable) add(s Series, rows, first, last int64) int32 {
	if t.lastMeasure != s.Measure || t.len() == 0 {
		t.lastMeasure, t.lastID = s.Measure, t.id(s.Measure)
	}
	t.measure = append(t.measure, t.lastID)
	t.dims = append(t.dims, int64(len(s.Dims)))
	if s.Codes != nil {
		t.addCoded(s.Dims, s.Codes)
	} else {
		for _, d := range s.Dims {
			t.names, t.values = append(t.names, t.id(d.Name)), append(t.values, t.id(d.Value))
		}
	}
	t.rows, t.first, t.last = append(t.rows, rows), append(t.first, first), append(t.last, last)
	return int32(t.len() - 1)
}

// extend gives the last series more rows.
func (t *seriesTable) extend(rows, last int64) {
	n := t.len() - 1
	t.rows[n] += rows
	t.last[n] = last
}

// encode writes prefix codes, the dictionary, the number of dimensions in all, the unit of
// times, and the lists.
func (t *seriesTable) encode() []byte {
	var b, lists []byte
	var e codec.Encoder
	unit := int64(0)
	for i := range t.first {
		unit = divisor(divisor(unit, t.first[i]), t.last[i]-t.first[i])
	}
	unit = max(unit, 1)
	first, span := make([]int64, t.len()), make([]int64, t.len())
	for i := range first {
		first[i], span[i] = t.first[i]/unit, (t.last[i]-t.first[i])/unit
	}
	for _, list := range [][]int64{t.measure, t.dims, t.names, t.values, t.rows, first, span} {
		lists = appendList(lists, list, &e)
	}
	b = e.AppendTables(b)
	b = binary.AppendUvarint(b, uint64(len(t.strings)))
	for _, s := range t.strings {
		b = appendString(b, s)
	}
	b = binary.AppendUvarint(b, uint64(len(t.names)))
	b = binary.AppendUvarint(b, uint64(unit))
	return append(b, lists...)
}

// SeriesInfo is a series with what the segment has of it.
type SeriesInfo struct {
	Series
	Rows             int64
	MinTime, MaxTime int64 // ns, inclusive
}

// SeriesTable is the series of a segment, as they were read. It is not changed any more.
type SeriesTable struct {
	text  string     // of all strings, end to end
	ends  []int      // of each string in text
	lists [7][]int64 // measure, dims, names, values, rows, first, span
	unit  int64      // of times
}

// parseSeries reads the table of n series.
func parseSeries(b []byte, n int, version uint32) (*SeriesTable, error) {
	var decoder codec.Decoder
	if version > 1 {
		var err error
		if decoder.Tables, b, err = codec.ParseTables(b); err != nil {
			return nil, err
		}
	}
	count, b, err := takeCount(b, len(b))
	if err != nil {
		return nil, err
	}
	// One copy for all strings: a million substrings of it cost no allocation.
	t := &SeriesTable{ends: make([]int, count), unit: 1}
	text := make([]byte, 0, len(b))
	for i := range t.ends {
		var length int
		if length, b, err = takeCount(b, len(b)); err != nil {
			return nil, err
		}
		if length > len(b) {
			return nil, errors.New("a string passes the end of the series table")
		}
		text, b = append(text, b[:length]...), b[length:]
		t.ends[i] = len(text)
	}
	t.text = string(text)
	pairs, b, err := takeCount(b, 128*n)
	if err != nil {
		return nil, err
	}
	if version > 1 {
		u, size := binary.Uvarint(b)
		if size <= 0 || u < 1 || u > math.MaxInt64 {
			return nil, errors.New("no unit of time")
		}
		t.unit, b = int64(u), b[size:]
	}
	for i := range t.lists {
		size := n
		if i == 2 || i == 3 {
			size = pairs
		}
		t.lists[i] = make([]int64, size)
		if b, err = readList(t.lists[i], b, &decoder, version); err != nil {
			return nil, err
		}
	}
	return t, t.check()
}

// check reports what is wrong with the lists.
func (t *SeriesTable) check() error {
	for _, list := range [][]int64{t.lists[0], t.lists[2], t.lists[3]} {
		for _, id := range list {
			if id < 0 || id >= int64(len(t.ends)) {
				return fmt.Errorf("string %d of %d", id, len(t.ends))
			}
		}
	}
	left := int64(len(t.lists[2]))
	for i, d := range t.lists[1] {
		if d < 0 || d > left {
			return fmt.Errorf("series %d has %d dimensions of %d left", i, d, left)
		}
		left -= d
	}
	return nil
}

// str returns a string; it is valid for ever and shares memory with the others.
func (t *SeriesTable) str(id int64) string {
	start := 0
	if id > 0 {
		start = t.ends[id-1]
	}
	return t.text[start:t.ends[id]]
}

// Each calls f for each series, in order, until f returns an error. The Dims slice is valid during
// the call; strings are valid for ever and share memory.
func (t *SeriesTable) Each(f func(i int, s SeriesInfo) error) error {
	var dims []storage.Dim
	at := 0
	for i := range t.lists[0] {
		s := SeriesInfo{Rows: t.lists[4][i], MinTime: t.lists[5][i] * t.unit, MaxTime: (t.lists[5][i] + t.lists[6][i]) * t.unit}
		s.Measure = t.str(t.lists[0][i])
		dims = slices.Grow(dims[:0], int(t.lists[1][i]))
		for range t.lists[1][i] {
			dims = append(dims, storage.Dim{Name: t.str(t.lists[2][at]), Value: t.str(t.lists[3][at])})
			at++
		}
		s.Dims = dims
		if err := f(i, s); err != nil {
			return err
		}
	}
	return nil
}

// Distinct returns about how many different values each dimension has, and how many dimensions the series have together. A value that
// several dimensions have counts for one of them.
func (t *SeriesTable) Distinct() (values map[string]int, dimensions int) {
	counts, seen := make([]int, len(t.ends)), make([]bool, len(t.ends))
	for i, name := range t.lists[2] {
		if value := t.lists[3][i]; !seen[value] {
			seen[value] = true
			counts[name]++
		}
	}
	values = map[string]int{}
	for name, n := range counts {
		if n > 0 {
			values[t.str(int64(name))] = n
		}
	}
	return values, len(t.lists[2])
}

func takeCount(b []byte, limit int) (int, []byte, error) {
	n, size := binary.Uvarint(b)
	if size <= 0 || n > uint64(limit) {
		return 0, nil, fmt.Errorf("a count of %d, at most %d", n, limit)
	}
	return int(n), b[size:], nil
}

// readList reads a list of a section and returns what follows it.
func readList(list []int64, b []byte, d *codec.Decoder, version uint32) ([]byte, error) {
	if version == 1 {
		return codec.DecodeInts(list, b)
	}
	return takeList(list, b, d)
}
