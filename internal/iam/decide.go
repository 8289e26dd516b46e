package iam

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/weir-db/weir/internal/arn"
)

// Request is what a principal wants to do.
type Request struct {
	Principal string // ARN of the root user, a user, a role or a session of a role
	Action    string // "timestream:WriteRecords"
	Resource  string // an ARN; "*" for actions that have no resource

	// Context returns the values of a condition key, by its name in lower case; none: it is not in
	// the request. Keys about the principal and the time are known without it. May be nil.
	Context func(key string) []string
}

// Allow decides a request as AWS does for identity-based policies (IAM user guide, "Policy
// evaluation logic"): a statement that denies wins, else one must allow. The root user may do
// all. The error has the code AccessDenied and the words of AWS.
func (d *Directory) Allow(r Request) error {
	e := d.entity(r.Principal)
	if e == rootEntity {
		return nil
	}
	switch d.judge(e, &r) {
	case allowed:
		return nil
	case denied:
		return refuse("AccessDenied", "User: %s is not authorized to perform: %s on resource: %s with an explicit deny in an identity-based policy", r.Principal, r.Action, r.Resource)
	}
	return refuse("AccessDenied", "User: %s is not authorized to perform: %s on resource: %s because no identity-based policy allows the %s action", r.Principal, r.Action, r.Resource, r.Action)
}

type contextKey struct{}

// WithContext keeps condition keys in a context, for decisions further down.
func WithContext(ctx context.Context, keys func(string) []string) context.Context {
	return context.WithValue(ctx, contextKey{}, keys)
}

// ContextOf returns the condition keys that ctx keeps, or nil.
func ContextOf(ctx context.Context) func(string) []string {
	keys, _ := ctx.Value(contextKey{}).(func(string) []string)
	return keys
}

// RequestKeys returns the condition keys that every request has; region is that of its signature.
func RequestKeys(r *http.Request, region string) func(key string) []string {
	return func(key string) []string {
		switch key {
		case "aws:sourceip":
			if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
				return []string{host}
			}
		case "aws:securetransport":
			return []string{strconv.FormatBool(r.TLS != nil)}
		case "aws:requestedregion":
			return []string{region}
		case "aws:useragent":
			if agent := r.UserAgent(); agent != "" {
				return []string{agent}
			}
		}
		return nil
	}
}

// verdict is what policies say of a request.
type verdict uint8

const (
	silent verdict = iota
	allowed
	denied
)

// rootEntity stands for the root user, whom no policy binds.
var rootEntity = new(Entity)

// entity returns the principal of that ARN as it is now; nil if there is none. It must not be
// changed: those in the directory are replaced, never written to.
func (d *Directory) entity(principal string) *Entity {
	a, err := arn.Parse(principal)
	if err != nil || a.AccountID != d.opt.AccountID {
		return nil
	}
	kind, path, _ := strings.Cut(a.Resource, "/")
	name := path[strings.LastIndexByte(path, '/')+1:]
	d.mu.RLock()
	defer d.mu.RUnlock()
	switch {
	case a.Service == "iam" && a.Resource == "root":
		return rootEntity
	case a.Service == "iam" && kind == "user":
		if u := d.users[name]; u != nil && u.ARN == principal {
			return &u.Entity
		}
	case a.Service == "iam" && kind == "role":
		if r := d.roles[name]; r != nil && r.ARN == principal {
			return &r.Entity
		}
	case a.Service == "sts" && kind == "assumed-role":
		role, _, _ := strings.Cut(path, "/")
		if r := d.roles[role]; r != nil {
			return &r.Entity
		}
	}
	return nil
}

// judge asks the policies of a principal.
func (d *Directory) judge(e *Entity, r *Request) verdict {
	if e == nil {
		return silent
	}
	return d.weigh(&evaluation{d: d, r: r, e: e}, d.documents(e))
}

// AllowedBy decides a request by these policy documents alone, such as those of a device's
// certificate. They must have passed [ParsePolicy].
func (d *Directory) AllowedBy(documents []string, r Request) bool {
	return d.weigh(&evaluation{d: d, r: &r}, documents) == allowed
}

func (d *Directory) weigh(x *evaluation, documents []string) verdict {
	v := silent
	for _, text := range documents {
		doc := d.compiled.of(text)
		for i := range doc.Statements {
			s := &doc.Statements[i]
			x.allows = s.Effect == "Allow"
			if !s.covers(x.r.Action) || !x.about(s) || !x.conditions(s) {
				continue
			}
			if s.Effect == "Deny" {
				return denied
			}
			v = allowed
		}
	}
	return v
}

// documents returns the texts of the policies of a principal.
func (d *Directory) documents(e *Entity) []string {
	list := make([]string, 0, len(e.Inline)+len(e.Attached))
	for _, text := range e.Inline {
		list = append(list, text)
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	for _, a := range e.Attached {
		if p := d.policies[a.ARN]; p != nil {
			list = append(list, p.Document)
		} else if name, ok := strings.CutPrefix(a.ARN, awsPolicies); ok && awsManaged[name] != "" {
			list = append(list, awsManaged[name])
		}
	}
	return list
}

// covers says whether the statement is about an action, whose letters' case does not count.
func (s *Statement) covers(action string) bool {
	action = strings.ToLower(action)
	match := func(pattern string) bool { return glob(strings.ToLower(pattern), action) }
	if len(s.NotAction) > 0 {
		return !slices.ContainsFunc(s.NotAction, match)
	}
	return slices.ContainsFunc(s.Action, match)
}

// evaluation is a request against the policies of one principal.
type evaluation struct {
	d *Directory
	r *Request
	e *Entity

	allows bool // the statement at hand would
	lacks  bool // a variable had no value
}

// matchesNone says whether a statement that holds for all but some texts holds, given a test that none of these may
// pass. What a variable without a value excludes is not known, so that a statement that allows does not hold.
func (x *evaluation) matchesNone(patterns []string, match func(string) bool) bool {
	x.lacks = false
	return !slices.ContainsFunc(patterns, match) && !(x.lacks && x.allows)
}

// about says whether the statement is about the resource. Statements about principals, those of a
// trust policy, have none.
func (x *evaluation) about(s *Statement) bool {
	match := func(pattern string) bool { return x.matches(pattern, x.r.Resource) }
	switch {
	case len(s.NotResource) > 0:
		return x.matchesNone(s.NotResource, match)
	case len(s.Resource) > 0:
		return slices.ContainsFunc(s.Resource, match)
	}
	return true
}

// matches compares a text with a pattern that may have variables. One without a value matches
// nothing.
func (x *evaluation) matches(pattern, text string) bool {
	if !strings.Contains(pattern, "${") {
		return glob(pattern, text)
	}
	tokens, ok := x.expand(pattern)
	return ok && match(tokens, text)
}

// expand replaces policy variables: ${key}, ${key, 'default'}, and ${*}, ${?}, ${$} for these
// signs themselves. Their values are literal.
func (x *evaluation) expand(pattern string) (tokens []rune, ok bool) {
	for pattern != "" {
		before, rest, found := strings.Cut(pattern, "${")
		tokens = append(tokens, wildcards(before)...)
		if !found {
			break
		}
		name, after, closed := strings.Cut(rest, "}")
		if !closed {
			return append(tokens, []rune("${"+rest)...), true
		}
		pattern = after
		if name == "*" || name == "?" || name == "$" {
			tokens = append(tokens, rune(name[0]))
			continue
		}
		key, fallback, hasFallback := strings.Cut(name, ",")
		values := x.key(strings.ToLower(strings.TrimSpace(key)))
		switch {
		case len(values) == 1 && strings.HasPrefix(strings.ToLower(strings.TrimSpace(key)), "iot:") && strings.ContainsAny(values[0], "*$+?#"):
			x.lacks = true // a client id such as + would be a wildcard of MQTT in a topic filter
			return nil, false
		case len(values) == 1:
			tokens = append(tokens, []rune(values[0])...)
		case hasFallback:
			tokens = append(tokens, []rune(strings.Trim(strings.TrimSpace(fallback), "'"))...)
		default:
			x.lacks = true
			return nil, false
		}
	}
	return tokens, true
}

// The wildcards of a pattern, as runes that no text has.
const (
	anyRunes rune = -1 - iota
	oneRune
)

func wildcards(pattern string) []rune {
	tokens := []rune(pattern)
	for i, r := range tokens {
		switch r {
		case '*':
			tokens[i] = anyRunes
		case '?':
			tokens[i] = oneRune
		}
	}
	return tokens
}

// glob matches * against any run of characters and ? against one.
func glob(pattern, text string) bool {
	if pattern == "*" || pattern == text {
		return true
	}
	return match(wildcards(pattern), text)
}

// match takes time proportional to the product of the lengths at worst.
func match(pattern []rune, text string) bool {
	t := []rune(text)
	p, i := 0, 0
	star, from := -1, 0
	for i < len(t) {
		switch {
		case p < len(pattern) && pattern[p] == anyRunes:
			star, from = p, i
			p++
		case p < len(pattern) && (pattern[p] == oneRune || pattern[p] == t[i]):
			p++
			i++
		case star >= 0:
			from++
			p, i = star+1, from
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == anyRunes {
		p++
	}
	return p == len(pattern)
}

// MayAssume decides whether a caller may have credentials of a role of this account: its trust
// policy must name the caller, and where it names only the account, the caller's own policies must
// allow it too. context is that of [Request].
func (d *Directory) MayAssume(role *Role, caller string, context func(string) []string) error {
	e := d.entity(caller)
	if e == rootEntity {
		return nil
	}
	r := Request{Principal: caller, Action: "sts:AssumeRole", Resource: role.ARN, Context: context}
	own := d.judge(e, &r)
	trusted, byName := d.trusts(role, &evaluation{d: d, r: &r, e: e}, func(p *principals) (bool, bool) { return p.names(caller, e, d.opt.AccountID) })
	if own == denied || trusted != allowed || !byName && own != allowed {
		return refuse("AccessDenied", "User: %s is not authorized to perform: sts:AssumeRole on resource: %s", caller, role.ARN)
	}
	return nil
}

// ServiceMayAssume decides whether a service such as "timestream.amazonaws.com" may act as a role.
func (d *Directory) ServiceMayAssume(roleARN, service string) error {
	name := roleARN[strings.LastIndexByte(roleARN, '/')+1:]
	role, err := d.Role(name)
	if err == nil && role.ARN == roleARN {
		r := Request{Principal: service, Action: "sts:AssumeRole", Resource: role.ARN}
		if v, _ := d.trusts(&role, &evaluation{d: d, r: &r}, func(p *principals) (bool, bool) { return (p.Any || p.Service.has(service)) != p.Not, true }); v == allowed {
			return nil
		}
	}
	return refuse("AccessDenied", "The role %s cannot be assumed by %s: it must exist, and its trust policy must allow that service sts:AssumeRole.", roleARN, service)
}

// trusts asks the trust policy of a role. byName: a statement that allows names the caller itself, not only
// its account.
func (d *Directory) trusts(role *Role, x *evaluation, named func(*principals) (match, byName bool)) (v verdict, byName bool) {
	doc := d.compiled.of(role.Trust)
	for i := range doc.Statements {
		s := &doc.Statements[i]
		match, name := named(s.principals())
		x.allows = s.Effect == "Allow"
		if !match || !s.covers(x.r.Action) || !x.conditions(s) {
			continue
		}
		if s.Effect == "Deny" {
			return denied, false
		}
		v, byName = allowed, byName || name
	}
	return v, byName
}

// principals is whom a statement names.
type principals struct {
	Any     bool `json:"-"`
	Not     bool `json:"-"` // all but these
	AWS     oneOrMany[string]
	Service oneOrMany[string]
}

func (o oneOrMany[T]) has(v T) bool {
	return slices.ContainsFunc(o, func(x T) bool { return any(x) == any(v) })
}

func (s *Statement) principals() *principals {
	raw, p := s.Principal, new(principals)
	if !isSet(raw) {
		raw, p.Not = s.NotPrincipal, true
	}
	var text string
	if json.Unmarshal(raw, &text) == nil {
		p.Any = text == "*"
		return p
	}
	// Federated principals do not exist here. A form that is none names nobody.
	if json.Unmarshal(raw, p) != nil {
		return &principals{}
	}
	p.Any = p.AWS.has("*")
	return p
}

// names says whether the principals hold a caller, and by its own name, or its role's, rather than its account's.
func (p *principals) names(caller string, e *Entity, account string) (match, byName bool) {
	byName = p.Any || slices.ContainsFunc(p.AWS, func(name string) bool { return name == caller || e != nil && name == e.ARN })
	match = byName || p.AWS.has(account) || p.AWS.has("arn:aws:iam::"+account+":root")
	if p.Not {
		return !match, false
	}
	return match, byName
}
