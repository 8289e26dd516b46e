// Package iam holds the principals of one account: users with access keys,
// roles, and the policies of both; and gives out temporary credentials.
//
// A [Directory] keeps everything in memory and writes each change through a
// [Store] before it takes effect, one JSON document per user, role and managed
// policy, so what a caller was told is done survives a restart. Policies are checked for
// their form and kept as they were given; [Directory.Allow] decides by them, [Directory.MayAssume]
// and [Directory.ServiceMayAssume] by the trust policies of roles.
//
// Temporary credentials are not stored: the session token carries who it is for and
// until when, under a key that the store holds, and the secret is derived from the
// access key id. So they survive a restart, and cost nothing to give out.
// Secrets of lasting access keys are stored as they are, because SigV4 needs them.
//
// All methods of a Directory may be called concurrently. Values that it returns
// are copies.
package iam

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/weir-db/weir/internal/fault"
)

// Store keeps small documents by kind and key. Save and Delete are durable once
// they return nil; deleting what is not there is no error. Load calls each for
// every document of a kind, in any order, and ends with its first error.
type Store interface {
	Load(kind string, each func(key string, doc []byte) error) error
	Save(kind, key string, doc []byte) error
	Delete(kind, key string) error
}

// The kinds of documents.
const (
	kindRole   = "iam.role"
	kindUser   = "iam.user"
	kindPolicy = "iam.policy"
	kindSecret = "iam.secret"
)

// Limits as AWS sets them for a new account.
const (
	maxRoles         = 1000
	maxUsers         = 5000
	maxPolicies      = 1500
	maxKeysPerUser   = 2
	maxAttached      = 10
	maxInlineChars   = 10240 // of all inline policies of one principal
	maxPolicyChars   = 6144  // of a managed policy
	maxTrustChars    = 4096
	maxTagsPerEntity = 50
)

// Error is a refusal with the code that the IAM API gives it.
type Error struct {
	Code    string // e.g. "NoSuchEntity"
	Message string
}

func (e *Error) Error() string { return e.Message }

// FaultKind makes an Error a fault.
func (e *Error) FaultKind() fault.Kind {
	switch e.Code {
	case "NoSuchEntity":
		return fault.NotFound
	case "EntityAlreadyExists", "DeleteConflict":
		return fault.Conflict
	case "LimitExceeded":
		return fault.Quota
	case "AccessDenied":
		return fault.Denied
	}
	return fault.Invalid
}

func refuse(code, format string, args ...any) error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Tag is a name and a value on a principal.
type Tag struct{ Key, Value string }

// Attached is a managed policy on a principal.
type Attached struct{ Name, ARN string }

// Entity is what users and roles have in common.
type Entity struct {
	Name     string
	ID       string // AROA… or AIDA…, never used again
	Path     string // "/" or "/…/"
	ARN      string
	Created  time.Time
	Tags     []Tag             // in the order given
	Inline   map[string]string // policy documents by name
	Attached []Attached        // in the order of attachment
}

func (e Entity) clone() Entity {
	e.Tags = slices.Clone(e.Tags)
	e.Attached = slices.Clone(e.Attached)
	e.Inline = maps.Clone(e.Inline)
	return e
}

// Role is a role.
type Role struct {
	Entity
	Description       string
	MaxSessionSeconds int
	Trust             string // the document that says who may assume it
}

// AccessKey is a lasting key of a user.
type AccessKey struct {
	ID, Secret string
	Active     bool
	Created    time.Time
}

// User is a user.
type User struct {
	Entity
	Keys []AccessKey // oldest first
}

// Policy is a managed policy of this account. It has one version, v1.
type Policy struct {
	Name, ID, Path, ARN, Description string
	Document                         string
	Created                          time.Time
}

// Options of a directory. Store and AccountID are needed.
type Options struct {
	Store     Store
	AccountID string // 12 digits

	// The keys of the account's root user; empty means that it has none.
	RootAccessKeyID, RootSecretAccessKey string

	Now func() time.Time // dates what is created; default time.Now
	// MachineNow says when sessions end; it is the machine's clock, as for signatures,
	// because clients compare it with theirs. Default time.Now.
	MachineNow func() time.Time
}

// Directory is the account's principals; see [Open].
type Directory struct {
	opt       Options
	masterKey []byte // signs session tokens
	compiled  documents

	mu       sync.RWMutex // guards the fields below; held while the store writes
	roles    map[string]*Role
	users    map[string]*User
	policies map[string]*Policy // by ARN
	keys     map[string]string  // access key id to user name
}

// Open reads the directory from its store.
func Open(opt Options) (*Directory, error) {
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.MachineNow == nil {
		opt.MachineNow = time.Now
	}
	d := &Directory{
		opt:      opt,
		roles:    map[string]*Role{},
		users:    map[string]*User{},
		policies: map[string]*Policy{},
		keys:     map[string]string{},
	}
	if err := load(opt.Store, kindRole, d.roles); err != nil {
		return nil, err
	}
	if err := load(opt.Store, kindUser, d.users); err != nil {
		return nil, err
	}
	if err := load(opt.Store, kindPolicy, d.policies); err != nil {
		return nil, err
	}
	for name, u := range d.users {
		for _, k := range u.Keys {
			d.keys[k.ID] = name
		}
	}
	return d, d.loadMasterKey()
}

func load[T any](s Store, kind string, into map[string]*T) error {
	err := s.Load(kind, func(key string, doc []byte) error {
		v := new(T)
		if err := json.Unmarshal(doc, v); err != nil {
			return fault.Wrap(fault.Corrupt, err, "The stored document %s %q is damaged.", kind, key)
		}
		into[key] = v
		return nil
	})
	if err != nil {
		return fmt.Errorf("load %s: %w", kind, err)
	}
	return nil
}

func (d *Directory) loadMasterKey() error {
	err := d.opt.Store.Load(kindSecret, func(_ string, doc []byte) error {
		d.masterKey = slices.Clone(doc)
		return nil
	})
	if err != nil {
		return fmt.Errorf("load %s: %w", kindSecret, err)
	}
	if len(d.masterKey) >= 32 {
		return nil
	}
	d.masterKey = []byte(randomText(43))
	return d.opt.Store.Save(kindSecret, "session", d.masterKey)
}

// save writes v to the store; the caller publishes v in memory after it succeeded.
func (d *Directory) save(kind, key string, v any) error {
	doc, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("bug: marshal %s: %w", kind, err)
	}
	return d.opt.Store.Save(kind, key, doc)
}

// newID returns prefix and n random characters of base32.
func newID(prefix string, n int) string {
	raw := make([]byte, n)
	rand.Read(raw) // never fails; see crypto/rand
	return prefix + base32.StdEncoding.EncodeToString(raw)[:n]
}

// randomText returns n random characters of base64.
func randomText(n int) string {
	raw := make([]byte, n)
	rand.Read(raw)
	return base64.StdEncoding.EncodeToString(raw)[:n]
}

func (d *Directory) arn(what, path, name string) string {
	return "arn:aws:iam::" + d.opt.AccountID + ":" + what + path + name
}

// sorted returns copies of the values of m whose path starts with prefix, by name.
func sorted[T any](m map[string]*T, prefix string, path func(*T) string, name func(*T) string, clone func(*T) T) []T {
	var all []T
	for _, v := range m {
		if strings.HasPrefix(path(v), prefix) {
			all = append(all, clone(v))
		}
	}
	slices.SortFunc(all, func(a, b T) int { return strings.Compare(name(&a), name(&b)) })
	return all
}

// mem is a Store in memory.
type mem struct {
	mu   sync.Mutex
	docs map[string]map[string][]byte
}

// NewMemStore returns a store in memory, for servers without a folder and for tests.
func NewMemStore() Store { return &mem{docs: map[string]map[string][]byte{}} }

func (m *mem) Load(kind string, each func(string, []byte) error) error {
	m.mu.Lock()
	docs := maps.Clone(m.docs[kind])
	m.mu.Unlock()
	for k, v := range docs {
		if err := each(k, v); err != nil {
			return err
		}
	}
	return nil
}

func (m *mem) Save(kind, key string, doc []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.docs[kind] == nil {
		m.docs[kind] = map[string][]byte{}
	}
	m.docs[kind][key] = slices.Clone(doc)
	return nil
}

func (m *mem) Delete(kind, key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.docs[kind], key)
	return nil
}
