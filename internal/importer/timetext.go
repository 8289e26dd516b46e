package importer

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// units are the names of time units with their nanoseconds.
var units = map[string]int64{
	"s": 1e9, "seconds": 1e9, "ms": 1e6, "milliseconds": 1e6, "us": 1e3, "microseconds": 1e3, "ns": 1, "nanoseconds": 1,
}

// unitOf guesses the unit of an integer time from its number of digits: 10 are seconds
// from 2001 to 2286, 13, 16 and 19 are the same years in finer units.
func unitOf(text string) int64 {
	switch len(strings.TrimPrefix(text, "-")) {
	case 9, 10:
		return 1e9
	case 12, 13:
		return 1e6
	case 15, 16:
		return 1e3
	case 18, 19:
		return 1
	}
	return 0
}

var layouts = []string{
	"2006-01-02 15:04:05.999999999", "2006-01-02T15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02T15:04:05.999999999",
	"2006-01-02 15:04:05.999999999 -0700", "2006-01-02 15:04:05.999999999 UTC", "2006-01-02T15:04:05.999999999Z0700", "2006-01-02 15:04", "2006-01-02",
}

// parseTime reads a time as nanoseconds since 1970 UTC: the text forms of Timestream and of ISO 8601, UTC where
// they name no zone, or an integer in unit (ns; 0 where integers are no times).
func parseTime(text string, unit int64) (int64, error) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		switch {
		case unit == 0:
			return 0, fmt.Errorf("%q is a number whose unit is not known: give --time-unit", text)
		case n > math.MaxInt64/unit || n < math.MinInt64/unit:
			return 0, fmt.Errorf("time %s is out of range; is --time-unit right?", text)
		}
		return n * unit, nil
	}
	for _, layout := range layouts {
		t, err := time.Parse(layout, text)
		if err != nil {
			continue
		}
		if t.Year() < 1678 || t.Year() > 2261 && t.After(time.Unix(0, math.MaxInt64)) {
			return 0, fmt.Errorf("time %s is out of range", text)
		}
		return t.UnixNano(), nil
	}
	return 0, fmt.Errorf("%.64q is no time; want 2031-02-03 04:05:06.000000007, ISO 8601 or a number with --time-unit", text)
}
