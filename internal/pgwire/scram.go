package pgwire

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// scramIterations is what Postgres uses, and the least that RFC 7677 allows.
const scramIterations = 4096

const scramMechanism = "SCRAM-SHA-256"

var errScram = errors.New("malformed SCRAM message")

// scram is the server's side of one exchange of SCRAM-SHA-256 (RFC 5802, RFC 7677), without channel binding. The
// user's name is that of the startup packet; the one in the exchange is not read, as in Postgres.
type scram struct {
	secret string // of the user; a random one for users that are not known
	salt   []byte // the same each time for a user, known or not

	bare, nonce, first, header string
}

func hmacOf(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// begin takes the client's first message and returns the server's.
func (s *scram) begin(message string) (string, error) {
	// gs2-header: "n,,", or "y,," of one that could bind the channel but was not offered it
	parts := strings.SplitN(message, ",", 3)
	if len(parts) != 3 || parts[0] != "n" && parts[0] != "y" || parts[1] != "" {
		return "", errScram
	}
	s.header, s.bare = parts[0]+",,", parts[2]
	attributes := strings.Split(s.bare, ",")
	if len(attributes) < 2 || !strings.HasPrefix(attributes[0], "n=") || !strings.HasPrefix(attributes[1], "r=") || len(attributes[1]) < 3 {
		return "", errScram
	}
	own := make([]byte, 18)
	rand.Read(own)
	s.nonce = attributes[1][2:] + base64.StdEncoding.EncodeToString(own)
	s.first = fmt.Sprintf("r=%s,s=%s,i=%d", s.nonce, base64.StdEncoding.EncodeToString(s.salt), scramIterations)
	return s.first, nil
}

// finish takes the client's last message and returns the server's; ok says whether the client knows the secret.
func (s *scram) finish(message string) (answer string, ok bool, err error) {
	at := strings.LastIndex(message, ",p=")
	if at < 0 {
		return "", false, errScram
	}
	proof, err := base64.StdEncoding.DecodeString(message[at+3:])
	attributes := strings.Split(message[:at], ",")
	if err != nil || len(proof) != sha256.Size || len(attributes) < 2 ||
		attributes[0] != "c="+base64.StdEncoding.EncodeToString([]byte(s.header)) || attributes[1] != "r="+s.nonce {
		return "", false, errScram
	}
	salted, err := pbkdf2.Key(sha256.New, s.secret, s.salt, scramIterations, sha256.Size)
	if err != nil {
		return "", false, err
	}
	auth := s.bare + "," + s.first + "," + message[:at]
	clientKey := hmacOf(salted, "Client Key")
	stored := sha256.Sum256(clientKey)
	signature := hmacOf(stored[:], auth)
	subtle.XORBytes(proof, proof, signature)
	claimed := sha256.Sum256(proof)
	if subtle.ConstantTimeCompare(claimed[:], stored[:]) == 0 {
		return "", false, nil
	}
	return "v=" + base64.StdEncoding.EncodeToString(hmacOf(hmacOf(salted, "Server Key"), auth)), true, nil
}
