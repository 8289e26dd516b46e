package importer

import (
	"io"
	"strconv"
	"strings"
)

// sampleRows is how many rows of a file are looked at to guess the types of text columns.
const sampleRows = 10_000

// guesses holds what the columns of all files of an import hold, by name.
type guesses struct {
	kinds map[string]kind
	times map[string]string // an integer of the column, to guess its unit
}

// look reads some rows.
func (g *guesses) look(r rows) error {
	cols := r.columns()
	for range sampleRows {
		row, err := r.read()
		if err == io.EOF {
			return nil
		}
		if isRowError(err) {
			continue
		}
		if err != nil {
			return err
		}
		for i, c := range row {
			if c.null {
				continue
			}
			k := cols[i].kind
			if k == unknown {
				k = kindOf(c.text)
			}
			g.kinds[cols[i].name] = common(g.kinds[cols[i].name], k)
			if k == bigint && len(c.text) > len(g.times[cols[i].name]) {
				g.times[cols[i].name] = c.text
			}
		}
	}
	return nil
}

// kindOf is the narrowest type of a text. Numbers with leading zeros or a plus sign are
// names of things, as article and telephone numbers are.
func kindOf(text string) kind {
	digits := strings.TrimPrefix(text, "-")
	padded := text[0] == '+' || len(digits) > 1 && digits[0] == '0' && digits[1] >= '0' && digits[1] <= '9'
	if _, err := strconv.ParseInt(text, 10, 64); err == nil && !padded {
		return bigint
	}
	if c := digits; c != "" && (c[0] >= '0' && c[0] <= '9' || c[0] == '.') && !padded && !strings.ContainsAny(c, "xX_") {
		if _, err := strconv.ParseFloat(text, 64); err == nil {
			return double
		}
	}
	switch text {
	case "NaN", "Infinity", "-Infinity":
		return double
	}
	if low := strings.ToLower(text); low == "true" || low == "false" {
		return boolean
	}
	if digits != "" && digits[0] >= '0' && digits[0] <= '9' {
		if _, err := parseTime(text, 0); err == nil {
			return timestamp
		}
	}
	return varchar
}

// common is the narrowest type that holds both.
func common(a, b kind) kind {
	switch {
	case a == unknown || a == b:
		return b
	case b == unknown:
		return a
	case (a == bigint || a == double) && (b == bigint || b == double):
		return double
	case (a == timestamp || a == nanos) && (b == timestamp || b == nanos):
		return timestamp
	}
	return varchar
}

// settle gives the columns of a file their types: what was told, what the file says, what was
// guessed.
func (g *guesses) settle(cols []column, told map[string]kind) []column {
	out := make([]column, len(cols))
	for i, c := range cols {
		if k := told[c.name]; k != unknown && !c.opaque && !(k == timestamp && c.kind == nanos) {
			c.kind = k
		} else if c.kind == unknown {
			c.kind = g.kinds[c.name]
		}
		out[i] = c
	}
	return out
}
