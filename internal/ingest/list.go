package ingest

import (
	"strings"

	"github.com/weir-db/weir/internal/storage"
)

// DimensionList is a list of dimensions that a caller keeps from request to request,
// because devices send the same ones over and over. Write notes in it what it found out: that
// the list is good, what it counts, and which series it names. It must not be used in two
// requests at once, and neither it nor the memory of its strings may be changed but by Reset.
type DimensionList struct {
	Dims []Dimension

	stamp  uint64 // of the last Reset
	judged judged // in which circumstances what follows holds; zero: never
	row    []storage.Dim
	bytes  int64 // metered, of Dims alone
	names  *dimensionNames
	memos  []measureMemo
}

// judged is the circumstances in which a list was found good.
type judged struct {
	limits *Limits
	common *DimensionList // of the common attributes; nil if they have no dimensions
	stamp  uint64         // of common
}

// dimensionNames stands for the names of a row's dimensions, in order: lists that share one
// have the same names. The converse need not hold.
type dimensionNames struct{ _ byte }

// measureMemo is the memo of the series of a list and a measure name.
type measureMemo struct {
	measure string // own memory
	memo    storage.Memo
}

// maxMemos bounds the measure names that a list has memos for.
const maxMemos = 64

// Reset makes l a list of other dimensions. Each Reset of any list of a caller has another stamp.
func (l *DimensionList) Reset(dims []Dimension, stamp uint64) {
	*l = DimensionList{Dims: dims, stamp: stamp, row: l.row[:0], memos: l.memos[:0]}
}

// holds reports whether what l notes holds in the given circumstances.
func (l *DimensionList) holds(now judged) bool { return l != nil && l.judged == now }

// good reports whether the list has been found good in whatever circumstances.
func (l *DimensionList) good() bool { return l != nil && l.judged.limits != nil }

// learn notes that the list is good, and the dimensions of rows that have it, the common
// ones first; names is what stands for their names, nil if nothing does yet.
func (l *DimensionList) learn(now judged, row []storage.Dim, names *dimensionNames) {
	if names == nil {
		names = new(dimensionNames)
	}
	l.judged, l.names = now, names
	l.row, l.memos = append(l.row[:0], row...), l.memos[:0]
	l.bytes = meteredDims(l.Dims)
}

// memo returns the memo of the list's series with that measure name, or nil.
func (l *DimensionList) memo(measure string) *storage.Memo {
	for i := range l.memos {
		if l.memos[i].measure == measure {
			return &l.memos[i].memo
		}
	}
	if len(l.memos) == maxMemos {
		return nil
	}
	l.memos = append(l.memos, measureMemo{measure: strings.Clone(measure)})
	return &l.memos[len(l.memos)-1].memo
}
