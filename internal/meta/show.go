package meta

import (
	"encoding/json"
	"fmt"
	"regexp"
)

// secretField finds the text of a field that is named Secret (or secret, SecretKey, …).
var secretField = regexp.MustCompile(`("[Ss]ecret[A-Za-z]*"\s*:\s*)"(?:[^"\\]|\\.)*"`)

// shown is a document as [Dump] prints it: secrets hidden, and what is no JSON (a key
// that signs sessions) by its length alone, so that the output can go into a bug report.
func shown(doc []byte) []byte {
	if !json.Valid(doc) {
		return fmt.Appendf(nil, "(%d bytes, not shown)", len(doc))
	}
	return secretField.ReplaceAll(doc, []byte(`$1"(hidden)"`))
}
