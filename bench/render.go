package main

import (
	"bufio"
	"encoding/binary"
	"iter"
	"math"
	"os"
	"slices"
	"strconv"
)

// batch is the body of one request and how many rows it carries.
type batch struct {
	body []byte
	rows int
}

// batches cuts rows into bodies of n rows: open begins one, add appends a row, shut ends it.
func batches(rows iter.Seq[row], n int, open func(dst []byte, first row) []byte, add func(dst []byte, r row, at int) []byte, shut string) iter.Seq[batch] {
	return func(yield func(batch) bool) {
		var body []byte
		have, size := 0, 0
		for r := range rows {
			if have == 0 {
				body = open(make([]byte, 0, size+size/8), r)
			}
			body = add(body, r, have)
			if have++; have == n {
				body = append(body, shut...)
				size = len(body)
				if !yield(batch{body, have}) {
					return
				}
				have = 0
			}
		}
		if have > 0 {
			yield(batch{append(body, shut...), have})
		}
	}
}

// writeRecords renders bodies of WriteRecords in a shape, as the SDKs do where nothing is set that is the
// service's default or the same in all records: 57 KB a request of the cpu workload for device, 95 KB for gateway.
func (w *workload) writeRecords(s shape) iter.Seq[batch] {
	dims := make([]string, len(w.series))
	for i := range dims {
		dims[i] = w.dims(i)
	}
	head := `{"DatabaseName":"bench","TableName":"` + w.table + `",`
	const same = `"CommonAttributes":{"MeasureName":"metrics","MeasureValueType":"MULTI","TimeUnit":"MILLISECONDS"`
	plain := func(dst []byte, _ row) []byte {
		return append(append(append(dst, head...), same...), `},"Records":[`...)
	}
	common := func(dst []byte, r row) []byte {
		return append(append(append(append(append(dst, head...), same...), ','), dims[r.series]...), `},"Records":[`...)
	}
	own := func(dst []byte, r row) []byte {
		return append(append(append(append(dst, head...), `"CommonAttributes":{`...), dims[r.series]...), `},"Records":[`...)
	}
	multi := func(dst []byte, r row, at int) []byte {
		if at > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, '{')
		if s == gateway {
			dst = append(append(dst, dims[r.series]...), ',')
		}
		dst = append(strconv.AppendInt(append(dst, `"Time":"`...), r.ms, 10), `","MeasureValues":[`...)
		for m, name := range w.measures {
			if m > 0 {
				dst = append(dst, ',')
			}
			dst = append(append(append(dst, `{"Name":"`...), name...), `","Value":"`...)
			dst = append(append(append(w.appendValue(dst, r, m), `","Type":"`...), w.kind(m)...), `"}`...)
		}
		return append(dst, "]}"...)
	}
	switch s {
	case device:
		// Blocks of 100 steps; a block at the end may be shorter, so bodies are cut per series.
		return w.perSeries(100, common, multi)
	case single:
		return batches(w.each(1), 1, own, func(dst []byte, r row, _ int) []byte {
			for m, name := range w.measures {
				if m > 0 {
					dst = append(dst, ',')
				}
				dst = append(append(append(dst, `{"MeasureName":"`...), name...), `","MeasureValue":"`...)
				dst = append(w.appendValue(dst, r, m), `","MeasureValueType":"DOUBLE","Time":"`...)
				dst = append(strconv.AppendInt(dst, r.ms, 10), `"}`...)
			}
			return dst
		}, "]}")
	}
	return batches(w.each(1), 100, plain, multi, "]}")
}

// perSeries renders bodies of up to n rows of one series each.
func (w *workload) perSeries(n int, open func([]byte, row) []byte, add func([]byte, row, int) []byte) iter.Seq[batch] {
	return func(yield func(batch) bool) {
		var body []byte
		have, series := 0, -1
		for r := range w.each(n) {
			if have > 0 && (r.series != series || have == n) {
				if !yield(batch{append(body, "]}"...), have}) {
					return
				}
				have = 0
			}
			if have == 0 {
				body, series = open(nil, r), r.series
			}
			body = add(body, r, have)
			have++
		}
		if have > 0 {
			yield(batch{append(body, "]}"...), have})
		}
	}
}

func (w *workload) dims(i int) string {
	b := []byte(`"Dimensions":[`)
	for d, name := range w.dimensions {
		if d > 0 {
			b = append(b, ',')
		}
		b = append(append(append(b, `{"Name":"`...), name...), `","Value":"`...)
		b = append(append(b, w.series[i][d]...), `"}`...)
	}
	return string(append(b, ']'))
}

// peerRows is how many rows a request to a peer carries.
const peerRows = 10_000

// lineProtocol renders bodies in InfluxDB's line protocol, times in ms.
func (w *workload) lineProtocol() iter.Seq[batch] {
	heads := make([][]byte, len(w.series))
	for i, values := range w.series {
		heads[i] = []byte(w.table)
		for d, name := range w.dimensions {
			heads[i] = append(append(append(append(heads[i], ','), name...), '='), values[d]...)
		}
	}
	return batches(w.each(1), peerRows, func(dst []byte, _ row) []byte { return dst }, func(dst []byte, r row, _ int) []byte {
		dst = append(dst, heads[r.series]...)
		for m, name := range w.measures {
			dst = append(append(append(dst, " ,"[min(m, 1)]), name...), '=')
			dst = w.appendValue(dst, r, m)
		}
		return append(strconv.AppendInt(append(dst, ' '), r.ms, 10), '\n')
	}, "")
}

// rowBinary renders bodies in ClickHouse's RowBinary: time in ms as Int64, strings,
// doubles.
func (w *workload) rowBinary() iter.Seq[batch] {
	return batches(w.each(1), peerRows, func(dst []byte, _ row) []byte { return dst }, func(dst []byte, r row, _ int) []byte {
		dst = binary.LittleEndian.AppendUint64(dst, uint64(r.ms))
		for _, v := range w.series[r.series] {
			dst = append(binary.AppendUvarint(dst, uint64(len(v))), v...)
		}
		for m := range w.measures {
			scale := math.Pow10(w.decimals[m])
			dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(math.Round(r.values[m]*scale)/scale))
		}
		return dst
	}, "")
}

// csv writes the rows as CSV without a header, times as UTC.
func (w *workload) csv(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	out := bufio.NewWriterSize(f, 1<<20)
	var line []byte
	for r := range w.each(1) {
		line = appendTime(line[:0], r.ms)
		for _, v := range w.series[r.series] {
			line = append(append(line, ','), v...)
		}
		for m := range w.measures {
			line = w.appendValue(append(line, ','), r, m)
		}
		out.Write(append(line, '\n')) // Flush returns the first error
	}
	if err := out.Flush(); err != nil {
		return err
	}
	return f.Close()
}

// columns names all columns, time first.
func (w *workload) columns() []string {
	return slices.Concat([]string{"time"}, w.dimensions, w.measures)
}
