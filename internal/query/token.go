package query

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"strconv"
	"strings"

	"github.com/weir-db/weir/internal/fault"
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

var errToken = fault.New(fault.Invalid, "Invalid pagination token")

func parseToken(token string) (id string, page int, err error) {
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return "", 0, errToken
	}
	id, number, ok := strings.Cut(string(b), ".")
	page, err = strconv.Atoi(number)
	if !ok || err != nil || page < 2 {
		return "", 0, errToken
	}
	return id, page, nil
}
