// Package registry keeps what AWS IoT Core knows about devices: things, X.509
// certificates, and the IoT policies that say what a certificate's connection may do.
//
// It owns a certificate authority, made at the first certificate it signs and kept with
// the rest; private keys of devices are handed out once and never kept. A certificate is
// known by its id, the SHA-256 of its DER form, so that those of other authorities can
// be registered too: no chain is verified, the registry's word is what counts.
//
// Documents, all JSON: ca, thing/NAME, cert/ID (with the names of the policies and
// things attached to it), policy/NAME. A change is one document or one transaction. What
// the maps hold is replaced, never modified, so that readers may keep it. A Registry is
// safe for concurrent use.
package registry

import (
	"cmp"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/weir-db/weir/internal/arn"
	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/iam"
)

// The quotas: those of AWS, but for the counts, which bound memory.
const (
	maxThings      = 100_000
	maxCerts       = 100_000
	maxPolicies    = 1000
	maxAttributes  = 3 // of a thing without a type
	maxAttached    = 10
	maxCertThings  = 100
	maxPolicyChars = 2048
)

// The statuses of a certificate. Only an active one connects; revoked is the last.
const (
	Active   = "ACTIVE"
	Inactive = "INACTIVE"
	Revoked  = "REVOKED"
)

// Documents keeps small JSON texts by name.
type Documents interface {
	// Each calls f for every document, in any order. f may keep doc.
	Each(f func(key string, doc []byte) error) error
	// Apply makes all changes durable or none; a nil document deletes its key.
	Apply(changes map[string][]byte) error
}

// Options configure a Registry. All but Ended are required.
type Options struct {
	Documents Documents
	Now       func() time.Time
	Region    string
	AccountID string
	// Judge says whether policy documents allow a request; [iam.Directory.AllowedBy].
	Judge func(documents []string, r iam.Request) bool
}

// Error is a refusal that AWS IoT has a name for.
type Error struct {
	Code    string // e.g. "DeleteConflictException"
	Message string
	ARN, ID string // of what exists already
}

func (e *Error) Error() string { return e.Message }

// FaultKind classes the refusal.
func (e *Error) FaultKind() fault.Kind {
	switch e.Code {
	case "ResourceNotFoundException":
		return fault.NotFound
	case "LimitExceededException":
		return fault.Quota
	case "InvalidRequestException", "MalformedPolicyException", "CertificateValidationException":
		return fault.Invalid
	}
	return fault.Conflict
}

func refuse(code, format string, args ...any) error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

func invalid(format string, args ...any) error {
	return refuse("InvalidRequestException", format, args...)
}
func missing(kind, name string) error {
	return refuse("ResourceNotFoundException", "The %s %s does not exist.", kind, name)
}
func exists(kind, id, arn string) error {
	return &Error{"ResourceAlreadyExistsException", fmt.Sprintf("The %s %s already exists.", kind, id), arn, id}
}

// Thing is a device.
type Thing struct {
	Name, ID   string
	Attributes map[string]string
	Version    int64
}

// Certificate is one that was made here or registered.
type Certificate struct {
	ID                string
	PEM               string
	Status            string
	Own               bool // signed by the registry's authority
	Created, Modified time.Time
	Policies          []string // attached, sorted
	Things            []string // attached, sorted

	leaf *x509.Certificate
}

// Validity returns the certificate's own bounds.
func (c *Certificate) Validity() (from, to time.Time) { return c.leaf.NotBefore, c.leaf.NotAfter }

func (c *Certificate) valid(now time.Time) bool {
	return !now.Before(c.leaf.NotBefore) && !now.After(c.leaf.NotAfter)
}

// Policy is an IoT policy.
type Policy struct {
	Name, Document    string
	Created, Modified time.Time
}

// Registry holds it all. See [Open].
type Registry struct {
	opt Options

	mu       sync.RWMutex // guards the fields below; held for writing across the write to disk
	ca       *authority
	things   map[string]*Thing
	certs    map[string]*Certificate
	policies map[string]*Policy
	ended    func(certificateID string)
}

// Open returns the registry that the documents hold. A document that is none of its own
// is damage (fault.Corrupt).
func Open(opt Options) (*Registry, error) {
	r := &Registry{opt: opt, things: map[string]*Thing{}, certs: map[string]*Certificate{}, policies: map[string]*Policy{}}
	err := opt.Documents.Each(func(key string, doc []byte) error {
		if err := r.load(key, doc); err != nil {
			return fault.Wrap(fault.Corrupt, fmt.Errorf("document %q: %w", key, err), "The stored registry of devices is damaged.")
		}
		return nil
	})
	return r, err
}

func (r *Registry) load(key string, doc []byte) (err error) {
	kind, name, _ := strings.Cut(key, "/")
	found := name
	switch kind {
	case "ca":
		r.ca, err = readAuthority(doc)
	case "thing":
		t := new(Thing)
		err = json.Unmarshal(doc, t)
		r.things[name], found = t, t.Name
	case "cert":
		c := new(Certificate)
		if err = json.Unmarshal(doc, c); err == nil {
			c.leaf, err = parseCertificate(c.PEM)
		}
		if err == nil && idOf(c.leaf) != c.ID {
			err = errors.New("it holds another certificate")
		}
		r.certs[name], found = c, c.ID
	case "policy":
		p := new(Policy)
		err = json.Unmarshal(doc, p)
		r.policies[name], found = p, p.Name
	default:
		return fmt.Errorf("unknown kind %q", kind)
	}
	if err == nil && found != name {
		return fmt.Errorf("it is about %q", found)
	}
	return err
}

// SetEnded sets what is called, after the change, when a certificate stops being active.
func (r *Registry) SetEnded(f func(certificateID string)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = f
}

// tell calls Ended; without the lock.
func (r *Registry) tell(id string) {
	r.mu.RLock()
	f := r.ended
	r.mu.RUnlock()
	if f != nil {
		f(id)
	}
}

// save keeps one document; v is nil to delete it.
func (r *Registry) save(key string, v any) error {
	var doc []byte
	if v != nil {
		var err error
		if doc, err = json.Marshal(v); err != nil {
			return fmt.Errorf("encode %s: %w", key, err)
		}
	}
	if err := r.opt.Documents.Apply(map[string][]byte{key: doc}); err != nil {
		return fmt.Errorf("keep %s: %w", key, err)
	}
	return nil
}

// ARN returns the ARN of a "thing", "cert" or "policy".
func (r *Registry) ARN(kind, name string) string {
	return arn.New("iot", r.opt.Region, r.opt.AccountID, kind+"/"+name).String()
}

var (
	thingName  = regexp.MustCompile(`^[a-zA-Z0-9:_-]{1,128}$`)
	policyName = regexp.MustCompile(`^[\w+=,.@-]{1,128}$`)
	attrName   = regexp.MustCompile(`^[a-zA-Z0-9_.,@/:#=\[\]-]{1,128}$`)
	attrValue  = regexp.MustCompile(`^[a-zA-Z0-9_.,@/:#=\[\]-]{0,800}$`)
	certID     = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

func checkAttributes(attributes map[string]string) error {
	if len(attributes) > maxAttributes {
		return invalid("A thing without a type has at most %d attributes, not %d.", maxAttributes, len(attributes))
	}
	for k, v := range attributes {
		if !attrName.MatchString(k) || !attrValue.MatchString(v) {
			return invalid("The attribute %q, or its value, is invalid: letters, digits and _.,@/:#=[]- are taken, 128 and 800 of them.", k)
		}
	}
	return nil
}

// CreateThing adds a thing. The same once more is answered with the one that is there.
func (r *Registry) CreateThing(name string, attributes map[string]string) (*Thing, error) {
	if !thingName.MatchString(name) {
		return nil, invalid("The thing name %q is invalid: 1 to 128 letters, digits, colons, _ and - are taken.", name)
	}
	if err := checkAttributes(attributes); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if t := r.things[name]; t != nil {
		if maps.Equal(t.Attributes, attributes) {
			return t, nil
		}
		return nil, exists("thing", name, r.ARN("thing", name))
	}
	if len(r.things) >= maxThings {
		return nil, refuse("LimitExceededException", "There are %d things, the limit.", maxThings)
	}
	t := &Thing{Name: name, ID: newID(), Attributes: attributes, Version: 1}
	if err := r.save("thing/"+name, t); err != nil {
		return nil, err
	}
	r.things[name] = t
	return t, nil
}

func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// Thing returns a thing.
func (r *Registry) Thing(name string) (*Thing, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if t := r.things[name]; t != nil {
		return t, nil
	}
	return nil, missing("thing", name)
}

// UpdateThing replaces the attributes of a thing or, if merge is set, changes those
// given: an empty value then removes its attribute. nil changes none. expected, if not
// 0, is the version that the thing must have.
func (r *Registry) UpdateThing(name string, attributes map[string]string, merge bool, expected int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.things[name]
	if old == nil {
		return missing("thing", name)
	}
	if err := checkVersion(old, expected); err != nil {
		return err
	}
	next := *old
	next.Version++
	switch {
	case merge && attributes != nil:
		next.Attributes = maps.Clone(old.Attributes)
		if next.Attributes == nil {
			next.Attributes = map[string]string{}
		}
		maps.Copy(next.Attributes, attributes)
		maps.DeleteFunc(next.Attributes, func(_, v string) bool { return v == "" })
	case attributes != nil:
		next.Attributes = attributes
	}
	if err := checkAttributes(next.Attributes); err != nil {
		return err
	}
	if err := r.save("thing/"+name, &next); err != nil {
		return err
	}
	r.things[name] = &next
	return nil
}

func checkVersion(t *Thing, expected int64) error {
	if expected != 0 && expected != t.Version {
		return refuse("VersionConflictException", "The thing %s has version %d, not %d.", t.Name, t.Version, expected)
	}
	return nil
}

// DeleteThing removes a thing that no certificate is attached to; one that is not there
// is deleted already.
func (r *Registry) DeleteThing(name string, expected int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.things[name]
	if t == nil {
		return nil
	}
	if err := checkVersion(t, expected); err != nil {
		return err
	}
	for _, c := range r.certs {
		if slices.Contains(c.Things, name) {
			return invalid("Cannot delete the thing %s: it is attached to one or more principals.", name)
		}
	}
	if err := r.save("thing/"+name, nil); err != nil {
		return err
	}
	delete(r.things, name)
	return nil
}

// Things returns all things, by name.
func (r *Registry) Things() []*Thing {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return sorted(r.things)
}

func sorted[V any](m map[string]V) []V {
	out := make([]V, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, m[k])
	}
	return out
}

// CreatePolicy adds a policy.
func (r *Registry) CreatePolicy(name, document string) (*Policy, error) {
	if !policyName.MatchString(name) {
		return nil, invalid("The policy name %q is invalid: 1 to 128 letters, digits and _+=,.@- are taken.", name)
	}
	if _, err := iam.ParsePolicy(document, iam.IdentityBased); err != nil {
		return nil, refuse("MalformedPolicyException", "The policy document is malformed: %s", err)
	}
	if n := len(strings.Join(strings.Fields(document), "")); n > maxPolicyChars {
		return nil, refuse("MalformedPolicyException", "The policy document has %d characters without white space, more than %d.", n, maxPolicyChars)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.policies[name] != nil {
		return nil, exists("policy", name, r.ARN("policy", name))
	}
	if len(r.policies) >= maxPolicies {
		return nil, refuse("LimitExceededException", "There are %d policies, the limit.", maxPolicies)
	}
	now := r.opt.Now().UTC()
	p := &Policy{name, document, now, now}
	if err := r.save("policy/"+name, p); err != nil {
		return nil, err
	}
	r.policies[name] = p
	return p, nil
}

// Policy returns a policy.
func (r *Registry) Policy(name string) (*Policy, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if p := r.policies[name]; p != nil {
		return p, nil
	}
	return nil, missing("policy", name)
}

// Policies returns all policies, by name.
func (r *Registry) Policies() []*Policy {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return sorted(r.policies)
}

// DeletePolicy removes a policy that is attached to nothing.
func (r *Registry) DeletePolicy(name string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.policies[name] == nil {
		return missing("policy", name)
	}
	for _, c := range r.certs {
		if slices.Contains(c.Policies, name) {
			return refuse("DeleteConflictException", "The policy cannot be deleted as the policy is attached to one or more principals (name=%s)", name)
		}
	}
	if err := r.save("policy/"+name, nil); err != nil {
		return err
	}
	delete(r.policies, name)
	return nil
}

// changeCert replaces a certificate by what f makes of its copy; f may clone and change
// its lists.
func (r *Registry) changeCert(id string, f func(c *Certificate) error) error {
	old := r.certs[id]
	if old == nil {
		return missing("certificate", id)
	}
	next := *old
	next.Policies, next.Things = slices.Clone(old.Policies), slices.Clone(old.Things)
	if err := f(&next); err != nil {
		return err
	}
	if err := r.save("cert/"+id, &next); err != nil {
		return err
	}
	r.certs[id] = &next
	return nil
}

// insert adds a name to a sorted list that has at most most.
func insert(list *[]string, name string, most int, of string) error {
	i, found := slices.BinarySearch(*list, name)
	switch {
	case found:
		return nil
	case len(*list) >= most:
		return refuse("LimitExceededException", "The certificate has %d %s, the limit.", most, of)
	}
	*list = slices.Insert(*list, i, name)
	return nil
}

func remove(list *[]string, name string) {
	*list = slices.DeleteFunc(*list, func(s string) bool { return s == name })
}

// target returns the id in a certificate's ARN.
func (r *Registry) target(text string) (string, error) {
	id, ok := strings.CutPrefix(text, r.ARN("cert", ""))
	if !ok || !certID.MatchString(id) {
		return "", invalid("%q is not the ARN of a certificate of this account and region: no other principals exist.", text)
	}
	return id, nil
}

// AttachPolicy attaches a policy to a certificate, by ARN; again changes nothing.
func (r *Registry) AttachPolicy(name, certificateARN string) error {
	id, err := r.target(certificateARN)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.policies[name] == nil {
		return missing("policy", name)
	}
	return r.changeCert(id, func(c *Certificate) error { return insert(&c.Policies, name, maxAttached, "policies") })
}

// DetachPolicy takes a policy off a certificate; one that is not attached is detached
// already.
func (r *Registry) DetachPolicy(name, certificateARN string) error {
	id, err := r.target(certificateARN)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.changeCert(id, func(c *Certificate) error { remove(&c.Policies, name); return nil })
}

// AttachThing attaches a thing to a certificate, by ARN; again changes nothing.
func (r *Registry) AttachThing(name, certificateARN string) error {
	id, err := r.target(certificateARN)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.things[name] == nil {
		return missing("thing", name)
	}
	return r.changeCert(id, func(c *Certificate) error { return insert(&c.Things, name, maxCertThings, "things") })
}

// DetachThing takes a thing off a certificate.
func (r *Registry) DetachThing(name, certificateARN string) error {
	id, err := r.target(certificateARN)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.things[name] == nil {
		return missing("thing", name)
	}
	return r.changeCert(id, func(c *Certificate) error { remove(&c.Things, name); return nil })
}

// CertificatesOf returns the ARNs of the certificates that a thing or a policy is attached to, sorted.
func (r *Registry) CertificatesOf(kind, name string) ([]string, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if kind == "thing" && r.things[name] == nil || kind == "policy" && r.policies[name] == nil {
		return nil, missing(kind, name)
	}
	out := []string{}
	for _, c := range r.certs {
		list := c.Things
		if kind == "policy" {
			list = c.Policies
		}
		if slices.Contains(list, name) {
			out = append(out, r.ARN("cert", c.ID))
		}
	}
	slices.SortFunc(out, cmp.Compare[string])
	return out, nil
}

// CertificateByARN returns the certificate of an ARN.
func (r *Registry) CertificateByARN(text string) (*Certificate, error) {
	id, err := r.target(text)
	if err != nil {
		return nil, err
	}
	return r.Certificate(id)
}
