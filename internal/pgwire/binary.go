package pgwire

import (
	"encoding/binary"
	"math"

	"github.com/weir-db/weir/internal/vec"
)

// The epoch of binary dates and times is 2000-01-01.
const (
	epochDays   = 10_957
	epochMicros = epochDays * (vec.Day / vec.Microsecond)
)

// appendBinary appends slot i of a flat vector, which is not null, in the binary form of its type.
func (t *columnType) appendBinary(dst []byte, v *vec.Vector, i int) []byte {
	be := binary.BigEndian
	switch t.kind {
	case vec.Double:
		return be.AppendUint64(dst, math.Float64bits(v.Floats[i]))
	case vec.Varchar:
		return appendClean(dst, v.Strs[i])
	case vec.Boolean:
		if v.Bools[i] {
			return append(dst, 1)
		}
		return append(dst, 0)
	case vec.Integer:
		return be.AppendUint32(dst, uint32(v.Ints[i]))
	case vec.Bigint:
		return be.AppendUint64(dst, uint64(v.Ints[i]))
	case vec.Timestamp:
		return be.AppendUint64(dst, uint64(vec.FloorDiv(v.Ints[i], vec.Microsecond)-epochMicros))
	case vec.Date:
		return be.AppendUint32(dst, uint32(v.Ints[i]-epochDays))
	case vec.Time:
		return be.AppendUint64(dst, uint64(v.Ints[i]/vec.Microsecond))
	case vec.IntervalDay, vec.IntervalYear:
		n := intervalOf(t.kind, v.Ints[i])
		dst = be.AppendUint64(dst, uint64(n.micros))
		dst = be.AppendUint32(dst, uint32(n.days))
		return be.AppendUint32(dst, uint32(n.months))
	}
	if t.json {
		return appendJSON(dst, v, i)
	}
	return t.appendBinaryArray(dst, v, i)
}

// appendBinaryArray appends an array of one dimension, or of none if it is empty (Postgres source, array_send).
func (t *columnType) appendBinaryArray(dst []byte, v *vec.Vector, i int) []byte {
	be := binary.BigEndian
	from, to := v.Offsets[i], v.Offsets[i+1]
	dimensions, nulls := uint32(0), uint32(0)
	if to > from {
		dimensions = 1
	}
	for c := from; c < to; c++ {
		if v.Children[0].IsNull(int(c)) {
			nulls = 1
		}
	}
	dst = be.AppendUint32(dst, dimensions)
	dst = be.AppendUint32(dst, nulls)
	dst = be.AppendUint32(dst, t.element.oid)
	if to == from {
		return dst
	}
	dst = be.AppendUint32(dst, uint32(to-from))
	dst = be.AppendUint32(dst, 1) // the first index
	for c := from; c < to; c++ {
		e, k := v.Children[0].At(int(c))
		if isNull(e, k) {
			dst = be.AppendUint32(dst, math.MaxUint32)
			continue
		}
		at := len(dst)
		dst = be.AppendUint32(dst, 0)
		dst = t.element.appendBinary(dst, e, k)
		be.PutUint32(dst[at:], uint32(len(dst)-at-4))
	}
	return dst
}
