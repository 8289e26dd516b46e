// Package iamsts is the door to package iam: the parts of the IAM and STS APIs that
// set up roles, users, access keys and policies, and that give out temporary
// credentials. Both speak the Query protocol (a form in, XML out), to which
// package wire gives one shape; see reference/api.md, section 17.2.
//
// Nothing here keeps state; the services may be used concurrently.
package iamsts

import (
	"context"
	"encoding/base64"
	"errors"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/weir-db/weir/internal/awsapi/wire"
	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/iam"
)

// Options of both services. Directory and AccountID are needed.
type Options struct {
	Directory *iam.Directory
	AccountID string

	// AnyAccount lets AssumeRole give out credentials for roles of other accounts,
	// whose existence cannot be checked: right where requests are not verified.
	AnyAccount bool
}

var kinds = map[fault.Kind]wire.Shape{
	fault.Internal:    {Name: "ServiceFailure", Status: 500, Receiver: true},
	fault.Invalid:     {Name: "ValidationError", Status: 400},
	fault.Unavailable: {Name: "ServiceUnavailable", Status: 503, Receiver: true},
	fault.Throttled:   {Name: "Throttling", Status: 400},
	fault.Denied:      {Name: "AccessDenied", Status: 403},
}

var statuses = map[string]int{
	"NoSuchEntity":        404,
	"EntityAlreadyExists": 409,
	"DeleteConflict":      409,
	"LimitExceeded":       409,
	"AccessDenied":        403,
}

// door gives handlers the directory and its errors their codes.
type door struct{ Options }

// op makes a handler of a method of door.
func op[In any](d *door, f func(*door, *wire.Call, *In) (any, error)) wire.Handler {
	return wire.Typed(func(_ context.Context, c *wire.Call, in *In) (any, error) {
		out, err := f(d, c, in)
		var refused *iam.Error
		if errors.As(err, &refused) {
			status := statuses[refused.Code]
			if status == 0 {
				status = 400
			}
			return nil, wire.Newf(wire.Shape{Name: refused.Code, Status: status}, "%s", refused.Message)
		}
		return out, err
	})
}

// IAM returns the service behind the API version 2010-05-08.
func IAM(opt Options) *wire.Service {
	d := &door{opt}
	return &wire.Service{
		Name:         "iam",
		Version:      "2010-05-08",
		XMLNamespace: "https://iam.amazonaws.com/doc/2010-05-08/",
		Errors:       kinds,
		Operations: map[string]wire.Handler{
			"CreateRole":               op(d, (*door).createRole),
			"GetRole":                  op(d, (*door).getRole),
			"ListRoles":                op(d, (*door).listRoles),
			"UpdateRole":               op(d, (*door).updateRole),
			"UpdateRoleDescription":    op(d, (*door).updateRoleDescription),
			"DeleteRole":               op(d, (*door).deleteRole),
			"UpdateAssumeRolePolicy":   op(d, (*door).updateAssumeRolePolicy),
			"PutRolePolicy":            op(d, (*door).putRolePolicy),
			"GetRolePolicy":            op(d, (*door).getRolePolicy),
			"ListRolePolicies":         op(d, (*door).listRolePolicies),
			"DeleteRolePolicy":         op(d, (*door).deleteRolePolicy),
			"AttachRolePolicy":         op(d, (*door).attachRolePolicy),
			"DetachRolePolicy":         op(d, (*door).detachRolePolicy),
			"ListAttachedRolePolicies": op(d, (*door).listAttachedRolePolicies),
			"TagRole":                  op(d, (*door).tagRole),
			"UntagRole":                op(d, (*door).untagRole),
			"ListRoleTags":             op(d, (*door).listRoleTags),

			"ListInstanceProfilesForRole": op(d, (*door).listInstanceProfilesForRole),

			"CreateUser":               op(d, (*door).createUser),
			"GetUser":                  op(d, (*door).getUser),
			"ListUsers":                op(d, (*door).listUsers),
			"DeleteUser":               op(d, (*door).deleteUser),
			"PutUserPolicy":            op(d, (*door).putUserPolicy),
			"GetUserPolicy":            op(d, (*door).getUserPolicy),
			"ListUserPolicies":         op(d, (*door).listUserPolicies),
			"DeleteUserPolicy":         op(d, (*door).deleteUserPolicy),
			"AttachUserPolicy":         op(d, (*door).attachUserPolicy),
			"DetachUserPolicy":         op(d, (*door).detachUserPolicy),
			"ListAttachedUserPolicies": op(d, (*door).listAttachedUserPolicies),
			"CreateAccessKey":          op(d, (*door).createAccessKey),
			"ListAccessKeys":           op(d, (*door).listAccessKeys),
			"UpdateAccessKey":          op(d, (*door).updateAccessKey),
			"DeleteAccessKey":          op(d, (*door).deleteAccessKey),

			"CreatePolicy":     op(d, (*door).createPolicy),
			"GetPolicy":        op(d, (*door).getPolicy),
			"GetPolicyVersion": op(d, (*door).getPolicyVersion),
			"ListPolicies":     op(d, (*door).listPolicies),
			"DeletePolicy":     op(d, (*door).deletePolicy),
		},
	}
}

var (
	namePattern = regexp.MustCompile(`^[\w+=,.@-]+$`)
	pathPattern = regexp.MustCompile(`^(/|/[!-~]+/)$`)
)

// checkName notes a name that is missing, too long or has a wrong character.
func checkName(v *wire.Violations, value, path string, max int) {
	switch {
	case value == "":
		v.AddNull(path)
	case len(value) > max:
		v.Length(value, path, len(value), 1, max)
	case !namePattern.MatchString(value):
		v.Add(value, path, `Member must satisfy regular expression pattern: [\w+=,.@-]+`)
	}
}

func checkPath(v *wire.Violations, value *string) {
	if *value == "" {
		*value = "/"
	}
	v.Length(*value, "path", len(*value), 1, 512)
	if !pathPattern.MatchString(*value) {
		v.Add(*value, "path", `Member must satisfy regular expression pattern: (\u002F)|(\u002F[\u0021-\u007F]+\u002F)`)
	}
}

func checkDocument(v *wire.Violations, value, path string) {
	if value == "" {
		v.AddNull(path)
	}
	v.Length("", path, len(value), 0, 131072)
}

func checkTags(v *wire.Violations, tags []tag) {
	for _, t := range tags {
		v.Length(t.Key, "tags", len([]rune(t.Key)), 1, 128)
		v.Length(t.Value, "tags", len([]rune(t.Value)), 0, 256)
	}
}

// encoded returns a document as IAM's answers carry it, URL-encoded (RFC 3986).
func encoded(document string) string {
	return strings.ReplaceAll(url.QueryEscape(document), "+", "%20")
}

type tag struct{ Key, Value string }

func tagsIn(in []tag) []iam.Tag {
	out := make([]iam.Tag, len(in))
	for i, t := range in {
		out[i] = iam.Tag(t)
	}
	return out
}

func tagsOut(in []iam.Tag) []tag {
	out := make([]tag, len(in))
	for i, t := range in {
		out[i] = tag(t)
	}
	return out
}

// pageIn is what every list takes.
type pageIn struct {
	Marker   string
	MaxItems int
}

// page returns the part of all, sorted by name, that in asks for, and the
// marker of the next one, or "".
func page[T any](in pageIn, all []T, name func(T) string) (part []T, marker string, err error) {
	if in.MaxItems == 0 {
		in.MaxItems = 100
	}
	var v wire.Violations
	v.Range("maxItems", int64(in.MaxItems), 1, 1000)
	if err := v.Err(); err != nil {
		return nil, "", err
	}
	if in.Marker != "" {
		after, err := base64.RawURLEncoding.DecodeString(in.Marker)
		if err != nil {
			return nil, "", wire.Newf(wire.Shape{Name: "ValidationError", Status: 400}, "Invalid Marker.")
		}
		for len(all) > 0 && name(all[0]) <= string(after) {
			all = all[1:]
		}
	}
	if len(all) > in.MaxItems {
		all = all[:in.MaxItems]
		marker = base64.RawURLEncoding.EncodeToString([]byte(name(all[len(all)-1])))
	}
	if all == nil {
		all = []T{}
	}
	return all, marker, nil
}

// STS returns the service behind the API version 2011-06-15.
func STS(opt Options) *wire.Service {
	d := &door{opt}
	return &wire.Service{
		Name:         "sts",
		Version:      "2011-06-15",
		XMLNamespace: "https://sts.amazonaws.com/doc/2011-06-15/",
		Errors:       kinds,
		Operations: map[string]wire.Handler{
			"GetCallerIdentity": op(d, (*door).getCallerIdentity),
			"AssumeRole":        op(d, (*door).assumeRole),
		},
	}
}

type callerIdentityOut struct {
	ARN     string `wire:"Arn"`
	UserID  string `wire:"UserId"`
	Account string
}

func (d *door) getCallerIdentity(c *wire.Call, _ *struct{}) (any, error) {
	return callerIdentityOut{ARN: c.Caller.ARN, UserID: c.Caller.UserID, Account: c.Caller.AccountID}, nil
}

type assumeRoleIn struct {
	RoleArn         string
	RoleSessionName string
	DurationSeconds *int
	Policy          string
	ExternalID      string `wire:"ExternalId"`
}

type credentialsOut struct {
	AccessKeyID     string `wire:"AccessKeyId"`
	SecretAccessKey string
	SessionToken    string
	Expiration      time.Time
}

type assumedRoleUserOut struct {
	AssumedRoleID string `wire:"AssumedRoleId"`
	ARN           string `wire:"Arn"`
}

type assumeRoleOut struct {
	Credentials     credentialsOut
	AssumedRoleUser assumedRoleUserOut
}

func (d *door) assumeRole(c *wire.Call, in *assumeRoleIn) (any, error) {
	var v wire.Violations
	seconds := 3600
	if in.DurationSeconds != nil {
		seconds = *in.DurationSeconds
	}
	v.Length(in.RoleArn, "roleArn", len(in.RoleArn), 20, 2048)
	checkName(&v, in.RoleSessionName, "roleSessionName", 64)
	if len(in.RoleSessionName) == 1 {
		v.Length(in.RoleSessionName, "roleSessionName", 1, 2, 64)
	}
	v.Range("durationSeconds", int64(seconds), 900, 43200)
	if err := v.Err(); err != nil {
		return nil, err
	}
	if in.Policy != "" {
		if _, err := iam.ParsePolicy(in.Policy, iam.IdentityBased); err != nil {
			return nil, err
		}
		if !d.AnyAccount {
			return nil, fault.New(fault.Invalid, "Session policies are not supported: give the role itself the narrower policy.")
		}
	}
	s, err := d.Directory.AssumeRole(in.RoleArn, in.RoleSessionName, time.Duration(seconds)*time.Second, c.Caller.ARN, d.AnyAccount)
	if err != nil {
		return nil, err
	}
	return assumeRoleOut{
		Credentials:     credentialsOut{AccessKeyID: s.AccessKeyID, SecretAccessKey: s.Secret, SessionToken: s.Token, Expiration: s.Expires},
		AssumedRoleUser: assumedRoleUserOut{AssumedRoleID: s.UserID, ARN: s.ARN},
	}, nil
}
