package segment

import (
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/weir-db/weir/internal/storage/embedded/codec"
	"github.com/weir-db/weir/internal/vec"
)

// Dump prints what a segment holds: schema, series, blocks and chunks, for weir
// inspect. With check it also reads every chunk and returns the first damage.
func (r *Reader) Dump(w io.Writer, check bool) error {
	fmt.Fprintf(w, "segment %s: %d bytes, %d rows, %d series, %d blocks, times %d to %d\n",
		r.key, r.SizeBytes(), r.rows, r.series, len(r.blocks), r.minTime, r.maxTime)
	for _, c := range r.columns {
		fmt.Fprintf(w, "column %q %s\n", c.Name, c.Type)
	}
	err := r.EachSeries(func(i int, s SeriesInfo) error {
		var dims []string
		for _, d := range s.Dims {
			dims = append(dims, fmt.Sprintf("%s=%q", d.Name, d.Value))
		}
		_, err := fmt.Fprintf(w, "series %d: %q {%s} %d rows, times %d to %d\n", i, s.Measure, strings.Join(dims, " "), s.Rows, s.MinTime, s.MaxTime)
		return err
	})
	if err != nil {
		return err
	}
	for i := range r.blocks {
		if err := r.dumpBlock(w, i, check); err != nil {
			return err
		}
	}
	return nil
}

func (r *Reader) dumpBlock(w io.Writer, i int, check bool) error {
	b := &r.blocks[i]
	fmt.Fprintf(w, "block %d: %d rows, times %d to %d, runs", i, b.Rows, b.MinTime, b.MaxTime)
	for _, run := range b.Runs {
		fmt.Fprintf(w, " %d×%d", run.Series, run.Rows)
	}
	fmt.Fprintln(w)
	per := chunksPerBlock(len(r.columns))
	for c := range per {
		k := i*per + c
		ch := &r.chunks[k]
		name := "times"
		switch {
		case c == 1:
			name = "versions"
		case c > 1:
			name = fmt.Sprintf("%q", r.columns[c-2].Name)
		}
		fmt.Fprintf(w, "  %10d  %s, %d bytes, crc %08x", r.offsets[k], name, ch.length, ch.crc)
		fmt.Fprint(w, r.formText(i, c))
		if c > 1 {
			fmt.Fprint(w, statsText(&ch.stats, r.columns[c-2].Type.Kind))
		}
		fmt.Fprintln(w)
	}
	if !check {
		return nil
	}
	return r.checkBlock(i)
}

// formText names how a chunk is encoded; of a damaged one it says nothing.
func (r *Reader) formText(block, c int) string {
	var buf buffers
	b, _, err := r.chunkBytes(&buf, block, c)
	if err != nil || len(b) < 2 {
		return ""
	}
	switch {
	case c == 0 && r.version > 1 && b[0] == timesRegular:
		return ", regular runs"
	case c == 0 && r.version > 1:
		return ", " + codec.DescribeInts(b[1:])
	case c < 2:
		return ", " + codec.DescribeInts(b)
	case b[0] != validAll:
		return ", with nulls"
	}
	switch r.columns[c-2].Type.Kind.Storage() {
	case vec.StoreInts:
		return ", " + codec.DescribeInts(b[1:])
	case vec.StoreFloats:
		return ", " + codec.DescribeFloats(b[1:])
	}
	return ""
}

func statsText(s *Stats, kind vec.Kind) string {
	text := fmt.Sprintf(", %d values", s.NonNull)
	if s.HasRange {
		text += fmt.Sprintf(", min %s, max %s", bitsText(s.Min, kind), bitsText(s.Max, kind))
	}
	if s.HasSum {
		text += ", sum " + bitsText(s.Sum, kind)
	}
	if s.HasM2 {
		text += fmt.Sprintf(", squares %.4g", s.M2)
	}
	return text
}

func bitsText(bits uint64, kind vec.Kind) string {
	if kind == vec.Double {
		return fmt.Sprint(math.Float64frombits(bits))
	}
	return fmt.Sprint(int64(bits))
}

// Check reads every chunk and returns the first damage.
func (r *Reader) Check() error {
	for i := range r.blocks {
		if err := r.checkBlock(i); err != nil {
			return err
		}
	}
	return r.EachSeries(func(int, SeriesInfo) error { return nil })
}

func (r *Reader) checkBlock(i int) error {
	if _, err := r.Times(i, nil); err != nil {
		return err
	}
	if _, err := r.Versions(i, nil); err != nil {
		return err
	}
	for c := range r.columns {
		if err := r.Column(i, c, new(Data)); err != nil {
			return err
		}
	}
	return nil
}
