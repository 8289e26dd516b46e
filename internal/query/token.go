package query

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"strconv"
	"strings"
)

var upper32 = base32.StdEncoding.WithPadding(base32.NoPadding)

// newID returns a query id: 63 characters of upper-case base32, as the service's are.
func newID() string {
	var b [39]byte
	rand.Read(b[:]) // never fails
	return upper32.EncodeToString(b[:])
}

// tokenFor returns the token that asks for a page of a query. The id is long and
// random, so a token cannot be guessed.
func tokenFor(id string, page int) string {
	return base64.RawURLEncoding.EncodeToString([]byte(id + "." + strconv.Itoa(page)))
}

// parseToken is the reverse; ok is false for what no tokenFor made.
func parseToken(token string) (id string, page int, ok bool) {
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return "", 0, false
	}
	id, number, ok := strings.Cut(string(b), ".")
	page, err = strconv.Atoi(number)
	return id, page, ok && err == nil && page >= 2
}
