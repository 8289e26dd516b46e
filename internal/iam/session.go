package iam

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/weir-db/weir/internal/arn"
)

// Why a key is refused.
var (
	ErrUnknownKey = errors.New("unknown access key or session token")
	ErrExpired    = errors.New("session expired")
)

// Identity is who an access key acts as.
type Identity struct {
	Secret    string
	AccountID string
	ARN       string
	UserID    string
}

// Credential returns who an access key acts as, given the session token that came
// with it. The error is ErrUnknownKey or ErrExpired.
func (d *Directory) Credential(accessKeyID, token string) (Identity, error) {
	if strings.HasPrefix(accessKeyID, "ASIA") {
		return d.session(accessKeyID, token)
	}
	if token != "" {
		return Identity{}, ErrUnknownKey
	}
	if id := d.opt.RootAccessKeyID; id != "" && subtle.ConstantTimeCompare([]byte(id), []byte(accessKeyID)) == 1 {
		return Identity{Secret: d.opt.RootSecretAccessKey, AccountID: d.opt.AccountID, ARN: "arn:aws:iam::" + d.opt.AccountID + ":root", UserID: d.opt.AccountID}, nil
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	if u := d.users[d.keys[accessKeyID]]; u != nil {
		for _, k := range u.Keys {
			if k.ID == accessKeyID && k.Active {
				return Identity{Secret: k.Secret, AccountID: d.opt.AccountID, ARN: u.ARN, UserID: u.ID}, nil
			}
		}
	}
	return Identity{}, ErrUnknownKey
}

// Session is a set of temporary credentials.
type Session struct {
	AccessKeyID, Secret, Token string
	Expires                    time.Time
	UserID, ARN                string // of the assumed role
}

// claims is what a session token says, under the directory's signature.
type claims struct {
	Key     string `json:"k"`
	Account string `json:"a"`
	ARN     string `json:"r"`
	UserID  string `json:"u"`
	Expires int64  `json:"e"` // seconds since 1970
}

// AssumeRole gives out credentials of a role. A role of this account must exist
// and limits the duration; a role of another account is taken at its word if
// foreign is set, and refused otherwise.
func (d *Directory) AssumeRole(roleARN, sessionName string, duration time.Duration, caller string, foreign bool) (Session, error) {
	denied := refuse("AccessDenied", "User: %s is not authorized to perform: sts:AssumeRole on resource: %s", caller, roleARN)
	a, err := arn.Parse(roleARN)
	if err != nil || a.Service != "iam" || a.AccountID == "" || !strings.HasPrefix(a.Resource, "role/") {
		return Session{}, refuse("ValidationError", "%s is invalid", roleARN)
	}
	name := a.Resource[strings.LastIndexByte(a.Resource, '/')+1:]
	roleID := ""
	switch {
	case a.AccountID == d.opt.AccountID:
		r, err := d.Role(name)
		if err != nil || r.ARN != roleARN {
			return Session{}, denied
		}
		if duration > time.Duration(r.MaxSessionSeconds)*time.Second {
			return Session{}, refuse("ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
		}
		roleID = r.ID
	case foreign:
		roleID = foreignID(roleARN)
	default:
		return Session{}, denied
	}
	expires := d.opt.MachineNow().Add(duration).Truncate(time.Second).UTC()
	return d.newSession(claims{
		Account: a.AccountID,
		ARN:     "arn:aws:sts::" + a.AccountID + ":assumed-role/" + name + "/" + sessionName,
		UserID:  roleID + ":" + sessionName,
		Expires: expires.Unix(),
	}), nil
}

// foreignID invents the unique id of another account's role, the same each time.
func foreignID(roleARN string) string {
	sum := sha256.Sum256([]byte(roleARN))
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	id := []byte("AROA")
	for _, b := range sum[:17] {
		id = append(id, letters[b%32])
	}
	return string(id)
}

func (d *Directory) newSession(c claims) Session {
	c.Key = newID("ASIA", 16)
	payload, err := json.Marshal(c)
	if err != nil {
		panic("bug: " + err.Error())
	}
	token := base64.StdEncoding.EncodeToString(append(d.mac("token", payload), payload...))
	return Session{AccessKeyID: c.Key, Secret: d.secretOf(c.Key), Token: token, Expires: time.Unix(c.Expires, 0).UTC(), UserID: c.UserID, ARN: c.ARN}
}

func (d *Directory) mac(use string, text []byte) []byte {
	h := hmac.New(sha256.New, d.masterKey)
	h.Write([]byte(use))
	h.Write(text)
	return h.Sum(nil)
}

func (d *Directory) secretOf(accessKeyID string) string {
	return base64.StdEncoding.EncodeToString(d.mac("secret", []byte(accessKeyID)))[:40]
}

// isRole says whether the role of a session is there: one that was made anew under its name is another.
func (d *Directory) isRole(userID, arn string) bool {
	_, path, _ := strings.Cut(arn, ":assumed-role/")
	name, _, _ := strings.Cut(path, "/")
	id, _, _ := strings.Cut(userID, ":")
	d.mu.RLock()
	defer d.mu.RUnlock()
	r := d.roles[name]
	return r != nil && r.ID == id
}

func (d *Directory) session(accessKeyID, token string) (Identity, error) {
	raw, err := base64.StdEncoding.DecodeString(token)
	if err != nil || len(raw) <= sha256.Size {
		return Identity{}, ErrUnknownKey
	}
	sum, payload := raw[:sha256.Size], raw[sha256.Size:]
	var c claims
	if !hmac.Equal(sum, d.mac("token", payload)) || json.Unmarshal(payload, &c) != nil || c.Key != accessKeyID {
		return Identity{}, ErrUnknownKey
	}
	if !d.opt.MachineNow().Before(time.Unix(c.Expires, 0)) {
		return Identity{}, ErrExpired
	}
	if c.Account == d.opt.AccountID && !d.isRole(c.UserID, c.ARN) {
		return Identity{}, ErrUnknownKey
	}
	return Identity{Secret: d.secretOf(accessKeyID), AccountID: c.Account, ARN: c.ARN, UserID: c.UserID}, nil
}
