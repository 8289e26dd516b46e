package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// verify reads back what was written: all acknowledged records, each once, with its value; beyond
// them only records that were tried. Without all, only those of the latest rounds.
func (l *load) verify(s *server, all bool) error {
	from := 0
	if !all {
		from = l.checked
	}
	if err := l.verifyWritten(s, from); err != nil {
		return err
	}
	if all {
		l.checked = l.acked[0]
		for _, n := range l.acked {
			l.checked = min(l.checked, n)
		}
	}
	if err := l.verifyPublished(s); err != nil {
		return err
	}
	if err := l.verifyDeleted(s); err != nil {
		return err
	}
	return l.verifyExpired(s)
}

// sliceRequests is how many requests of each writer are verified at a time: what a query keeps to tell records
// apart is limited.
const sliceRequests = 1000

// verifyWritten looks at requests from number from on.
func (l *load) verifyWritten(s *server, from int) error {
	for end := max(slices.Max(l.tried), 1); from < end; from += sliceRequests {
		if err := l.verifySlice(s, from, from+sliceRequests); err != nil {
			return err
		}
	}
	return nil
}

// verifySlice looks at requests from <= k < to.
func (l *load) verifySlice(s *server, from, to int) error {
	rows, err := s.query(context.Background(), fmt.Sprintf(`SELECT w, count(*), count(DISTINCT n), sum(CASE WHEN x = n %% 100 + 0.5e0 THEN 1 ELSE 0 END)
		FROM torture.t WHERE n >= %d AND n < %d GROUP BY w`, from*perRequest, to*perRequest))
	if err != nil {
		return err
	}
	found := map[int][]string{}
	for _, r := range rows {
		found[number(r[0])] = r
	}
	for w := range l.acked {
		f := found[w]
		if f == nil {
			f = make([]string, 4)
		}
		rows, distinct, right := number(f[1]), number(f[2]), number(f[3])
		least, most := perRequest*(min(max(l.acked[w], from), to)-from), perRequest*(min(max(l.tried[w], from), to)-from)
		switch {
		case rows < least:
			return fmt.Errorf("writer %d: %d records are there from %d on, %d were acknowledged", w, rows, from*perRequest, least)
		case rows > most:
			return fmt.Errorf("writer %d: %d records are there from %d on, only %d were ever sent", w, rows, from*perRequest, most)
		case distinct != rows || right != rows:
			return fmt.Errorf("writer %d: %d records, %d different, %d with their value", w, rows, distinct, right)
		}
	}
	return nil
}

func (l *load) verifyPublished(s *server) error {
	rows, err := s.query(context.Background(), "SELECT count(*), count(DISTINCT measure_value::bigint), max(measure_value::bigint) FROM torture.m")
	if err != nil {
		if l.puback == 0 {
			return nil // the table has no columns yet
		}
		return err
	}
	n, distinct, last := number(rows[0][0]), number(rows[0][1]), number(rows[0][2])
	if n < l.puback || n > l.published || distinct != n || n > 0 && last < l.puback-1 {
		return fmt.Errorf("messages: %d records are there, %d different, the last %d; %d were acknowledged, %d sent", n, distinct, last, l.puback, l.published)
	}
	return nil
}

func (l *load) verifyDeleted(s *server) error {
	rows, err := s.query(context.Background(), "SELECT g, count(*) FROM torture.d GROUP BY g")
	if err != nil {
		if len(l.generations) == 0 || !l.generations[0].written {
			return nil
		}
		return err
	}
	found := map[string]int{}
	for _, r := range rows {
		found[r[0]] = number(r[1])
	}
	for i, g := range l.generations {
		n := found[fmt.Sprint("g", i)]
		ok := n == perDeletion
		switch {
		case g.deleted:
			ok = n == 0
		case g.deleting || !g.written: // in flight when it was killed: all or nothing
			ok = ok || n == 0
		}
		if !ok {
			return fmt.Errorf("generation %d (%+v) has %d records", i, g, n)
		}
	}
	return nil
}

// verifyExpired demands what no clock that the server ever showed lets expire.
func (l *load) verifyExpired(s *server) error {
	rows, err := s.query(context.Background(), "SELECT time FROM torture.x")
	if err != nil {
		if len(l.expiring) == 0 {
			return nil
		}
		return err
	}
	found := map[string]bool{}
	for _, r := range rows {
		found[r[0]] = true
	}
	kept := l.expiring[:0]
	for _, at := range l.expiring {
		if at.Before(l.latest.Add(-25 * time.Hour)) {
			continue
		}
		kept = append(kept, at)
		if text := at.UTC().Truncate(time.Millisecond).Format("2006-01-02 15:04:05.000000000"); !found[text] {
			return fmt.Errorf("the record of %s is not there, which is young at %s", text, l.latest)
		}
	}
	l.expiring = kept
	return nil
}
