// Package sqltest runs the scripts of test/sql: SQL in, rows out, over any engine.
//
// A script is blocks of lines, parted by blank lines. Lines that start with # are
// comments. The first line of a block says what it is:
//
//	now 2031-02-03 12:00:00
//
// sets the clock (it starts at 2031-02-03 12:00:00).
//
//	write db.table
//	power site=a,line=1 11:58:00 temperature=20.5 state="on" count=4i ok=true at=t"2031-01-01"
//	speed site=a 2031-02-03T11:59:00.5 =3.5
//
// creates the table when it is new and writes records: measure name, dimensions (- for
// none), time, values. A time without a date is on 2031-02-03. A value with a point or exponent
// is a double, with i a bigint, in quotes a varchar, in t"…" a timestamp; a record with the one value "=…" is
// a single-measure record. "create db.table" only creates.
//
//	query
//	SELECT site, count(*) AS n FROM db.table GROUP BY site
//	----
//	site varchar | n bigint
//	a | 2
//
// runs a query and compares columns and rows; NULL is null. "query sorted" sorts the rows
// of both sides first, for queries without ORDER BY. Doubles may differ in the last digits.
//
//	error
//	SELECT 1/0
//	----
//	Division by zero
//
// expects the query to fail with that message.
package sqltest

import (
	"fmt"
	"strings"
)

// block is one block of a script.
type block struct {
	line  int // of its first line, from 1
	words []string
	body  []string // lines above ----
	want  []string // lines below
	split bool     // there is a ----
}

// parse cuts a script into blocks.
func parse(text string) ([]block, error) {
	var blocks []block
	var cur *block
	for i, line := range strings.Split(text, "\n") {
		switch {
		case strings.HasPrefix(line, "#"):
			continue
		case strings.TrimSpace(line) == "":
			cur = nil
		case cur == nil:
			blocks = append(blocks, block{line: i + 1, words: strings.Fields(line)})
			cur = &blocks[len(blocks)-1]
		case line == "----" && !cur.split:
			cur.split = true
		case cur.split:
			cur.want = append(cur.want, line)
		default:
			cur.body = append(cur.body, line)
		}
	}
	for _, b := range blocks {
		switch b.words[0] {
		case "query", "error":
			if !b.split || len(b.body) == 0 {
				return nil, fmt.Errorf("line %d: %s wants SQL, ---- and what is expected", b.line, b.words[0])
			}
		case "now", "write", "create":
		default:
			return nil, fmt.Errorf("line %d: unknown command %q", b.line, b.words[0])
		}
	}
	return blocks, nil
}
