package ingest

import "strings"

// nameFits reports whether a dimension, measure or attribute name may be used
// (Timestream guide, naming constraints): not a reserved name or prefix, no colon,
// and nothing that could not be quoted in SQL. Length is checked elsewhere.
func nameFits(name string) bool {
	if len(name) > 0 && (name[0] == 't' || name[0] == 'm') && reserved(name) {
		return false
	}
	for i := range len(name) {
		if c := name[i]; c == ':' || c == '"' || c < ' ' || c == 0x7f {
			return false
		}
	}
	return true
}

func reserved(name string) bool {
	return name == "time" || strings.HasPrefix(name, "ts_") ||
		strings.HasPrefix(name, "measure_name") || strings.HasPrefix(name, "measure_value")
}

const nameRule = "A name must not be time, start with ts_, measure_name or measure_value, or contain a colon, a double quote or a control character."
