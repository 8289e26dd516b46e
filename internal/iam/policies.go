package iam

import (
	"bytes"
	"encoding/json"
	"io"
	"slices"
	"strings"
)

func noPolicy(name string) error {
	return refuse("NoSuchEntity", "The policy with name %s cannot be found.", name)
}

// CreatePolicy adds a managed policy.
func (d *Directory) CreatePolicy(name, path, description, document string) (Policy, error) {
	if _, err := ParsePolicy(document, IdentityBased); err != nil {
		return Policy{}, err
	}
	if significantChars(document) > maxPolicyChars {
		return Policy{}, refuse("LimitExceeded", "Cannot exceed quota for PolicySize: %d", maxPolicyChars)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range d.policies {
		if p.Name == name {
			return Policy{}, refuse("EntityAlreadyExists", "A policy called %s already exists. Duplicate names are not allowed.", name)
		}
	}
	if len(d.policies) >= maxPolicies {
		return Policy{}, refuse("LimitExceeded", "Cannot exceed quota for PoliciesPerAccount: %d", maxPolicies)
	}
	p := &Policy{Name: name, ID: newID("ANPA", 17), Path: path, ARN: d.arn("policy", path, name), Description: description,
		Document: document, Created: d.opt.Now().UTC()}
	if err := d.save(kindPolicy, p.ARN, p); err != nil {
		return Policy{}, err
	}
	d.policies[p.ARN] = p
	return *p, nil
}

// Policy returns a managed policy of this account.
func (d *Directory) Policy(arn string) (Policy, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if p := d.policies[arn]; p != nil {
		return *p, nil
	}
	return Policy{}, noPolicyARN(arn)
}

func noPolicyARN(arn string) error {
	return refuse("NoSuchEntity", "Policy %s does not exist or is not attachable.", arn)
}

// Policies returns the managed policies of this account whose path starts with
// prefix, by name.
func (d *Directory) Policies(prefix string) []Policy {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return sorted(d.policies, prefix, func(p *Policy) string { return p.Path }, func(p *Policy) string { return p.Name }, func(p *Policy) Policy { return *p })
}

// Attachments counts the principals that a managed policy is attached to.
func (d *Directory) Attachments(arn string) int {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.attachmentsLocked(arn)
}

func (d *Directory) attachmentsLocked(arn string) int {
	n := 0
	count := func(e *Entity) {
		if e.attachment(arn) >= 0 {
			n++
		}
	}
	for _, r := range d.roles {
		count(&r.Entity)
	}
	for _, u := range d.users {
		count(&u.Entity)
	}
	return n
}

// DeletePolicy removes a managed policy that is attached to nothing.
func (d *Directory) DeletePolicy(arn string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.policies[arn] == nil {
		return noPolicyARN(arn)
	}
	if d.attachmentsLocked(arn) > 0 {
		return refuse("DeleteConflict", "Cannot delete a policy attached to entities.")
	}
	if err := d.opt.Store.Delete(kindPolicy, arn); err != nil {
		return err
	}
	delete(d.policies, arn)
	return nil
}

// Attachable returns the name of a managed policy that may be attached: one of
// this account, or any of AWS's own, whose contents are not checked.
func (d *Directory) Attachable(arn string) (Attached, error) {
	if rest, ok := strings.CutPrefix(arn, awsPolicies); ok && rest != "" {
		return Attached{Name: rest[strings.LastIndexByte(rest, '/')+1:], ARN: arn}, nil
	}
	p, err := d.Policy(arn)
	return Attached{Name: p.Name, ARN: arn}, err
}

func (e *Entity) attachment(arn string) int {
	return slices.IndexFunc(e.Attached, func(a Attached) bool { return a.ARN == arn })
}

// Attach attaches a managed policy; attaching it again changes nothing.
func (e *Entity) Attach(a Attached) error {
	if e.attachment(a.ARN) >= 0 {
		return nil
	}
	if len(e.Attached) >= maxAttached {
		return refuse("LimitExceeded", "Cannot exceed quota for PoliciesPerRole: %d", maxAttached)
	}
	e.Attached = append(e.Attached, a)
	return nil
}

// Detach detaches a managed policy.
func (e *Entity) Detach(arn string) error {
	i := e.attachment(arn)
	if i < 0 {
		return refuse("NoSuchEntity", "Policy %s was not found.", arn)
	}
	e.Attached = slices.Delete(e.Attached, i, i+1)
	return nil
}

// PolicyUse says where a policy document stands, which decides whether it names
// principals or resources.
type PolicyUse uint8

// The uses.
const (
	IdentityBased PolicyUse = iota // on a user or role: no Principal, a Resource
	Trust                          // on a role: a Principal, no Resource
)

// Document is a policy document (IAM user guide, "Grammar of the IAM JSON policy
// language").
type Document struct {
	Version    string
	ID         string               `json:"Id"`
	Statements oneOrMany[Statement] `json:"Statement"`
}

// Statement is one statement of a policy.
type Statement struct {
	Sid          string
	Effect       string
	Principal    json.RawMessage
	NotPrincipal json.RawMessage
	Action       oneOrMany[string]
	NotAction    oneOrMany[string]
	Resource     oneOrMany[string]
	NotResource  oneOrMany[string]
	Condition    map[string]map[string]oneOrMany[any]
}

// oneOrMany reads a value or a list of them.
type oneOrMany[T any] []T

// UnmarshalJSON takes both forms.
func (o *oneOrMany[T]) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '[' {
		return json.Unmarshal(b, (*[]T)(o))
	}
	var one T
	if err := json.Unmarshal(b, &one); err != nil {
		return err
	}
	*o = oneOrMany[T]{one}
	return nil
}

func malformed(format string, args ...any) error {
	return refuse("MalformedPolicyDocument", format, args...)
}

// ParsePolicy reads and checks a policy document. The error has the code
// MalformedPolicyDocument.
func ParsePolicy(document string, use PolicyUse) (*Document, error) {
	dec := json.NewDecoder(strings.NewReader(document))
	dec.DisallowUnknownFields()
	doc := new(Document)
	if err := dec.Decode(doc); err != nil {
		if !json.Valid([]byte(document)) {
			return nil, malformed("This policy contains invalid Json")
		}
		return nil, malformed("Syntax errors in policy.")
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, malformed("This policy contains invalid Json")
	}
	if doc.Version != "" && doc.Version != "2012-10-17" && doc.Version != "2008-10-17" {
		return nil, malformed("Syntax errors in policy.")
	}
	if len(doc.Statements) == 0 {
		return nil, malformed("Syntax errors in policy.")
	}
	sids := map[string]bool{}
	for i := range doc.Statements {
		s := &doc.Statements[i]
		if s.Sid != "" && sids[s.Sid] {
			return nil, malformed("Statement IDs (SID) in a single policy must be unique.")
		}
		sids[s.Sid] = true
		if err := s.check(use); err != nil {
			return nil, err
		}
	}
	return doc, nil
}

func (s *Statement) check(use PolicyUse) error {
	switch {
	case s.Effect == "":
		return malformed("Missing required field Effect")
	case s.Effect != "Allow" && s.Effect != "Deny":
		return malformed("Invalid effect: %s", s.Effect)
	case len(s.Action) == 0 && len(s.NotAction) == 0:
		return malformed("Policy statement must contain actions.")
	case len(s.Action) > 0 && len(s.NotAction) > 0:
		return malformed("Syntax errors in policy.")
	}
	for _, a := range slices.Concat(s.Action, s.NotAction) {
		if vendor, name, ok := strings.Cut(a, ":"); a != "*" && (!ok || vendor == "" || name == "") {
			return malformed("Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.")
		}
	}
	for name := range s.Condition {
		if _, ok := parseCondition(name); !ok {
			return malformed("Invalid Condition type : %s.", name)
		}
	}
	hasPrincipal := isSet(s.Principal) || isSet(s.NotPrincipal)
	hasResource := len(s.Resource) > 0 || len(s.NotResource) > 0
	switch {
	case use == Trust && !hasPrincipal:
		return malformed("Missing required field Principal")
	case use == Trust && hasResource:
		return malformed("Has prohibited field Resource")
	case use == IdentityBased && hasPrincipal:
		return malformed("Policy document should not specify a principal.")
	case use == IdentityBased && !hasResource:
		return malformed("Policy statement must contain resources.")
	}
	for _, r := range slices.Concat(s.Resource, s.NotResource) {
		if r != "*" && !strings.HasPrefix(r, "arn:") && !strings.HasPrefix(r, "*") {
			return malformed("Resource %s must be in ARN format or \"*\".", r)
		}
	}
	return nil
}

func isSet(raw json.RawMessage) bool {
	return len(raw) > 0 && !bytes.Equal(raw, []byte("null"))
}
