package embedded

import (
	"context"
	"errors"
	"math/bits"
	"time"

	"github.com/weir-db/weir/internal/fault"
)

// Merging keeps the number of segments of a table and day small. Segments of about
// one size, a factor of four, are merged when there are mergeFanIn of them, so a row
// is rewritten a few times at most; a day that has passed is merged into one unless
// it is too large. A merge reads one series at a time, and a stretch of time of a long one, so its
// memory is bounded whatever the size of the segments.
const (
	mergeFanIn       = 4
	mergeMostInputs  = 16      // of one size at a time, so that a merge ends before the process does
	mergeMaxBytes    = 1 << 30 // of the inputs together
	smallestSegment  = 256 << 10
	mergeAfterDayFor = time.Hour // past the end of a day, until it is merged into one
)

const dayNs = int64(24 * time.Hour)

// dayOf returns the number of the UTC day of a time.
func dayOf(t int64) int64 {
	d := t / dayNs
	if t%dayNs < 0 {
		d--
	}
	return d
}

// mergeDue merges what is due, one merge at a time.
func (s *Store) mergeDue(ctx context.Context) error {
	var errs []error
	for _, t := range s.all() {
		err := t.keep(func() error {
			for done := false; !done && ctx.Err() == nil; {
				var err error
				if done, err = s.mergeNext(ctx, t); err != nil {
					return err
				}
			}
			return nil
		})
		away := fault.Is(err, fault.Unavailable) && s.remote != nil && s.remote.down() // it has said so
		if err != nil && !away && !fault.Is(err, fault.NotFound) {
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, ctx.Err())...)
}

// mergeNext does one merge, if one is due.
func (s *Store) mergeNext(ctx context.Context, t *table) (done bool, err error) {
	s.segmentsMu.Lock()
	defer s.segmentsMu.Unlock()
	inputs := t.nextMerge(s.clock.Now())
	if len(inputs) == 0 {
		return true, nil
	}
	return false, s.mergeLocked(ctx, t, inputs)
}

// mergeAll merges each day of each table into one segment.
func (s *Store) mergeAll(ctx context.Context) error {
	s.segmentsMu.Lock()
	defer s.segmentsMu.Unlock()
	var errs []error
	for _, t := range s.all() {
		for _, day := range t.days() {
			if len(day) > 1 {
				errs = append(errs, s.mergeLocked(ctx, t, day))
			}
		}
	}
	return errors.Join(errs...)
}

// days returns the healthy segments of a table by day, oldest first within a day.
func (t *table) days() map[int64][]*segmentFile {
	days := map[int64][]*segmentFile{}
	for _, seg := range t.view.Load().segments {
		if !seg.damaged.Load() {
			day := dayOf(seg.meta.MinTime)
			days[day] = append(days[day], seg)
		}
	}
	return days
}

// nextMerge chooses segments of one day to merge, or none.
func (t *table) nextMerge(now time.Time) []*segmentFile {
	for day, segments := range t.days() {
		if chosen := t.mergeOf(day, segments, now); len(chosen) > 0 && t.reachable(chosen) {
			return chosen
		}
	}
	return nil
}

// reachable reports whether segments can be read as far as one knows.
func (t *table) reachable(segments []*segmentFile) bool {
	for _, seg := range segments {
		if seg.meta.Remote && t.store.remote.down() {
			return false
		}
	}
	return true
}

// mergeOf chooses segments to merge of those of a day, or none.
func (t *table) mergeOf(day int64, segments []*segmentFile, now time.Time) []*segmentFile {
	if len(segments) < 2 {
		return nil
	}
	var total int64
	classes := map[int][]*segmentFile{}
	for _, seg := range segments {
		total += seg.meta.Bytes
		class := bits.Len64(uint64(max(seg.meta.Bytes, smallestSegment))) / 2
		classes[class] = append(classes[class], seg)
	}
	if total <= mergeMaxBytes && now.UnixNano() > (day+1)*dayNs+int64(mergeAfterDayFor) {
		return segments
	}
	for _, class := range classes {
		if len(class) >= mergeFanIn && sizeOf(class) <= mergeMaxBytes {
			return class[:min(len(class), mergeMostInputs)]
		}
	}
	return nil
}

func sizeOf(segments []*segmentFile) (bytes int64) {
	for _, seg := range segments {
		bytes += seg.meta.Bytes
	}
	return bytes
}

// mergeLocked rewrites segments of one day as one, without rows that are superseded
// or expired.
func (s *Store) mergeLocked(ctx context.Context, t *table, inputs []*segmentFile) error {
	begin := time.Now()
	p := &plan{table: t, view: &view{}, schema: t.observed.Load()}
	ok, err := p.readSegments(ctx, inputs)
	if !ok {
		return s.mergeFailed(t, inputs, err)
	}
	defer p.release()
	deletes := t.view.Load().deletes
	for _, seg := range inputs {
		p.cleared = max(p.cleared, seg.cleared())
	}
	p.cleared = upTo(p.cleared, deletes)
	p.series = t.registry.View()
	p.subject(deletes)
	p.union()
	metas, err := s.writeRows(ctx, t, p, []int64{dayOf(inputs[0].meta.MinTime)})
	for i := range metas {
		metas[i].Judged = judgedWith(inputs)
	}
	if err == nil {
		err = s.replace(t, inputs, metas)
	}
	if err != nil {
		s.discard(metas, err)
		return s.mergeFailed(t, inputs, err)
	}
	s.opts.Log.Debug("merged", "db", t.id.Database, "table", t.id.Table, "segments", len(inputs), "bytes", bytesOf(metas), "dur", time.Since(begin))
	return nil
}

// mergeFailed leaves damaged segments alone from now on; scans say what is wrong, and
// with which file. A nil error is a segment that is gone: the table was dropped.
func (s *Store) mergeFailed(t *table, inputs []*segmentFile, err error) error {
	if err == nil {
		return t.gone()
	}
	suspects := 0
	for _, seg := range inputs {
		if seg.suspect(err) {
			seg.damaged.Store(true)
			suspects++
		}
	}
	if suspects == 0 {
		return err
	}
	s.opts.Log.Error("a damaged segment is not merged", "db", t.id.Database, "table", t.id.Table, "err", err)
	return nil
}

// union makes the series of all segments those of the plan.
func (p *plan) union() {
	seen := make([]bool, p.series.Len())
	for _, s := range p.segments {
		for _, id := range s.ids {
			if !seen[id] {
				seen[id] = true
				p.ids = append(p.ids, id)
			}
		}
	}
}
