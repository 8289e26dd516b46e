package iamsts

import (
	"slices"
	"strings"
	"time"

	"github.com/weir-db/weir/internal/awsapi/wire"
	"github.com/weir-db/weir/internal/iam"
)

func (d *door) attachable(policyARN string) (iam.Attached, error) {
	var v wire.Violations
	v.Length(policyARN, "policyArn", len(policyARN), 20, 2048)
	if err := v.Err(); err != nil {
		return iam.Attached{}, err
	}
	return d.Directory.Attachable(policyARN)
}

// inlineNames lists the names of a principal's inline policies.
func inlineNames(in pageIn, e iam.Entity) (any, error) {
	names := make([]string, 0, len(e.Inline))
	for name := range e.Inline {
		names = append(names, name)
	}
	slices.Sort(names)
	part, marker, err := page(in, names, func(s string) string { return s })
	return struct {
		PolicyNames []string
		IsTruncated bool
		Marker      string
	}{part, marker != "", marker}, err
}

type attachedOut struct{ PolicyName, PolicyArn string }

// attachedPolicies lists the managed policies of a principal.
func attachedPolicies(in pageIn, e iam.Entity) (any, error) {
	all := make([]attachedOut, len(e.Attached))
	for i, a := range e.Attached {
		all[i] = attachedOut{a.Name, a.ARN}
	}
	slices.SortFunc(all, func(a, b attachedOut) int { return strings.Compare(a.PolicyArn, b.PolicyArn) })
	part, marker, err := page(in, all, func(a attachedOut) string { return a.PolicyArn })
	return struct {
		AttachedPolicies []attachedOut
		IsTruncated      bool
		Marker           string
	}{part, marker != "", marker}, err
}

type policyOut struct {
	PolicyName       string
	PolicyID         string `wire:"PolicyId"`
	ARN              string `wire:"Arn"`
	Path             string
	DefaultVersionID string `wire:"DefaultVersionId"`
	AttachmentCount  int
	IsAttachable     bool
	Description      string
	CreateDate       time.Time
	UpdateDate       time.Time
}

func (d *door) policyOut(p iam.Policy) policyOut {
	created := p.Created.Truncate(time.Second)
	return policyOut{PolicyName: p.Name, PolicyID: p.ID, ARN: p.ARN, Path: p.Path, DefaultVersionID: "v1",
		AttachmentCount: d.Directory.Attachments(p.ARN), IsAttachable: true, Description: p.Description, CreateDate: created, UpdateDate: created}
}

type createPolicyIn struct{ PolicyName, Path, PolicyDocument, Description string }

func (d *door) createPolicy(_ *wire.Call, in *createPolicyIn) (any, error) {
	var v wire.Violations
	checkName(&v, in.PolicyName, "policyName", 128)
	checkPath(&v, &in.Path)
	checkDocument(&v, in.PolicyDocument, "policyDocument")
	v.Length(in.Description, "description", len([]rune(in.Description)), 0, 1000)
	if err := v.Err(); err != nil {
		return nil, err
	}
	p, err := d.Directory.CreatePolicy(in.PolicyName, in.Path, in.Description, in.PolicyDocument)
	if err != nil {
		return nil, err
	}
	return struct{ Policy policyOut }{d.policyOut(p)}, nil
}

type policyIn struct {
	PolicyArn string
	VersionID string `wire:"VersionId"`
}

func (d *door) getPolicy(_ *wire.Call, in *policyIn) (any, error) {
	p, err := d.Directory.Policy(in.PolicyArn)
	if err != nil {
		return nil, err
	}
	return struct{ Policy policyOut }{d.policyOut(p)}, nil
}

func (d *door) getPolicyVersion(_ *wire.Call, in *policyIn) (any, error) {
	p, err := d.Directory.Policy(in.PolicyArn)
	if err != nil {
		return nil, err
	}
	if in.VersionID != "v1" {
		return nil, wire.Newf(wire.Shape{Name: "NoSuchEntity", Status: 404}, "Policy %s version %s does not exist or is not attachable.", in.PolicyArn, in.VersionID)
	}
	type version struct {
		Document         string
		VersionID        string `wire:"VersionId"`
		IsDefaultVersion bool
		CreateDate       time.Time
	}
	return struct{ PolicyVersion version }{version{encoded(p.Document), "v1", true, p.Created.Truncate(time.Second)}}, nil
}

type listPoliciesIn struct {
	Scope      string
	PathPrefix string
	Marker     string
	MaxItems   int
}

func (d *door) listPolicies(_ *wire.Call, in *listPoliciesIn) (any, error) {
	var v wire.Violations
	if in.Scope != "" {
		v.Enum(in.Scope, "scope", "All", "AWS", "Local")
	}
	if err := v.Err(); err != nil {
		return nil, err
	}
	all := d.Directory.Policies(in.PathPrefix)
	if in.Scope == "AWS" {
		all = nil // AWS's own policies can be attached, but their texts are not here
	}
	part, marker, err := page(pageIn{in.Marker, in.MaxItems}, all, func(p iam.Policy) string { return p.Name })
	out := struct {
		Policies    []policyOut
		IsTruncated bool
		Marker      string
	}{Policies: []policyOut{}, IsTruncated: marker != "", Marker: marker}
	for _, p := range part {
		out.Policies = append(out.Policies, d.policyOut(p))
	}
	return out, err
}

func (d *door) deletePolicy(_ *wire.Call, in *policyIn) (any, error) {
	return nil, d.Directory.DeletePolicy(in.PolicyArn)
}
