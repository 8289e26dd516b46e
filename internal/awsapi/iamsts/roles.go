package iamsts

import (
	"time"

	"github.com/weir-db/weir/internal/awsapi/wire"
	"github.com/weir-db/weir/internal/iam"
)

type roleOut struct {
	Path                     string
	RoleName                 string
	RoleID                   string `wire:"RoleId"`
	ARN                      string `wire:"Arn"`
	CreateDate               time.Time
	AssumeRolePolicyDocument string
	Description              string
	MaxSessionDuration       int
	Tags                     []tag
}

func newRoleOut(r iam.Role, withTags bool) roleOut {
	out := roleOut{Path: r.Path, RoleName: r.Name, RoleID: r.ID, ARN: r.ARN, CreateDate: r.Created.Truncate(time.Second),
		AssumeRolePolicyDocument: encoded(r.Trust), Description: r.Description, MaxSessionDuration: r.MaxSessionSeconds}
	if withTags && len(r.Tags) > 0 {
		out.Tags = tagsOut(r.Tags)
	}
	return out
}

type createRoleIn struct {
	RoleName                 string
	Path                     string
	AssumeRolePolicyDocument string
	Description              string
	MaxSessionDuration       *int
	Tags                     []tag
}

func (d *door) createRole(_ *wire.Call, in *createRoleIn) (any, error) {
	var v wire.Violations
	checkName(&v, in.RoleName, "roleName", 64)
	checkPath(&v, &in.Path)
	checkDocument(&v, in.AssumeRolePolicyDocument, "assumeRolePolicyDocument")
	v.Length(in.Description, "description", len([]rune(in.Description)), 0, 1000)
	checkTags(&v, in.Tags)
	seconds := 3600
	if in.MaxSessionDuration != nil {
		seconds = *in.MaxSessionDuration
		v.Range("maxSessionDuration", int64(seconds), 3600, 43200)
	}
	if err := v.Err(); err != nil {
		return nil, err
	}
	r, err := d.Directory.CreateRole(iam.NewRole{Name: in.RoleName, Path: in.Path, Description: in.Description,
		Trust: in.AssumeRolePolicyDocument, MaxSessionSeconds: seconds, Tags: tagsIn(in.Tags)})
	return struct{ Role roleOut }{newRoleOut(r, true)}, err
}

// roleName is the input of calls that only name a role.
type roleName struct{ RoleName string }

func (in *roleName) check() error {
	var v wire.Violations
	checkName(&v, in.RoleName, "roleName", 64)
	return v.Err()
}

func (d *door) getRole(_ *wire.Call, in *roleName) (any, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	r, err := d.Directory.Role(in.RoleName)
	return struct{ Role roleOut }{newRoleOut(r, true)}, err
}

func (d *door) deleteRole(_ *wire.Call, in *roleName) (any, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	return nil, d.Directory.DeleteRole(in.RoleName)
}

// changeRole checks the role's name and changes it; the answer has no result.
func (d *door) changeRole(name string, change func(*iam.Role) error) (any, error) {
	if err := (&roleName{name}).check(); err != nil {
		return nil, err
	}
	return nil, d.Directory.ChangeRole(name, change)
}

type listIn struct {
	PathPrefix string
	Marker     string
	MaxItems   int
}

func (d *door) listRoles(_ *wire.Call, in *listIn) (any, error) {
	part, marker, err := page(pageIn{in.Marker, in.MaxItems}, d.Directory.Roles(in.PathPrefix), func(r iam.Role) string { return r.Name })
	out := struct {
		Roles       []roleOut
		IsTruncated bool
		Marker      string
	}{Roles: []roleOut{}, IsTruncated: marker != "", Marker: marker}
	for _, r := range part {
		out.Roles = append(out.Roles, newRoleOut(r, false))
	}
	return out, err
}

type updateRoleIn struct {
	RoleName           string
	Description        *string
	MaxSessionDuration *int
}

func (d *door) updateRole(_ *wire.Call, in *updateRoleIn) (any, error) {
	var v wire.Violations
	if in.MaxSessionDuration != nil {
		v.Range("maxSessionDuration", int64(*in.MaxSessionDuration), 3600, 43200)
	}
	if err := v.Err(); err != nil {
		return nil, err
	}
	if _, err := d.changeRole(in.RoleName, func(r *iam.Role) error {
		if in.Description != nil {
			r.Description = *in.Description
		}
		if in.MaxSessionDuration != nil {
			r.MaxSessionSeconds = *in.MaxSessionDuration
		}
		return nil
	}); err != nil {
		return nil, err
	}
	return struct{}{}, nil
}

func (d *door) updateRoleDescription(c *wire.Call, in *updateRoleIn) (any, error) {
	if _, err := d.updateRole(c, &updateRoleIn{RoleName: in.RoleName, Description: in.Description}); err != nil {
		return nil, err
	}
	return d.getRole(c, &roleName{in.RoleName})
}

type updateTrustIn struct{ RoleName, PolicyDocument string }

func (d *door) updateAssumeRolePolicy(_ *wire.Call, in *updateTrustIn) (any, error) {
	var v wire.Violations
	checkDocument(&v, in.PolicyDocument, "policyDocument")
	if err := v.Err(); err != nil {
		return nil, err
	}
	return d.changeRole(in.RoleName, func(r *iam.Role) error { return r.SetTrust(in.PolicyDocument) })
}

type rolePolicyIn struct{ RoleName, PolicyName, PolicyDocument string }

func (d *door) putRolePolicy(_ *wire.Call, in *rolePolicyIn) (any, error) {
	if err := checkInline(in.PolicyName, in.PolicyDocument, true); err != nil {
		return nil, err
	}
	return d.changeRole(in.RoleName, func(r *iam.Role) error { return r.PutInline(in.PolicyName, in.PolicyDocument) })
}

func checkInline(name, document string, withDocument bool) error {
	var v wire.Violations
	checkName(&v, name, "policyName", 128)
	if withDocument {
		checkDocument(&v, document, "policyDocument")
	}
	return v.Err()
}

func (d *door) getRolePolicy(_ *wire.Call, in *rolePolicyIn) (any, error) {
	if err := checkInline(in.PolicyName, "", false); err != nil {
		return nil, err
	}
	r, err := d.Directory.Role(in.RoleName)
	if err != nil {
		return nil, err
	}
	doc, err := r.InlinePolicy(in.PolicyName)
	return struct{ RoleName, PolicyName, PolicyDocument string }{in.RoleName, in.PolicyName, encoded(doc)}, err
}

func (d *door) deleteRolePolicy(_ *wire.Call, in *rolePolicyIn) (any, error) {
	return d.changeRole(in.RoleName, func(r *iam.Role) error { return r.DeleteInline(in.PolicyName) })
}

type roleListIn struct {
	RoleName string
	Marker   string
	MaxItems int
}

func (d *door) listRolePolicies(_ *wire.Call, in *roleListIn) (any, error) {
	r, err := d.Directory.Role(in.RoleName)
	if err != nil {
		return nil, err
	}
	return inlineNames(pageIn{in.Marker, in.MaxItems}, r.Entity)
}

type roleAttachIn struct{ RoleName, PolicyArn string }

func (d *door) attachRolePolicy(_ *wire.Call, in *roleAttachIn) (any, error) {
	a, err := d.attachable(in.PolicyArn)
	if err != nil {
		return nil, err
	}
	return d.changeRole(in.RoleName, func(r *iam.Role) error { return r.Attach(a) })
}

func (d *door) detachRolePolicy(_ *wire.Call, in *roleAttachIn) (any, error) {
	return d.changeRole(in.RoleName, func(r *iam.Role) error { return r.Detach(in.PolicyArn) })
}

func (d *door) listAttachedRolePolicies(_ *wire.Call, in *roleListIn) (any, error) {
	r, err := d.Directory.Role(in.RoleName)
	if err != nil {
		return nil, err
	}
	return attachedPolicies(pageIn{in.Marker, in.MaxItems}, r.Entity)
}

type tagRoleIn struct {
	RoleName string
	Tags     []tag
	TagKeys  []string
}

func (d *door) tagRole(_ *wire.Call, in *tagRoleIn) (any, error) {
	var v wire.Violations
	checkTags(&v, in.Tags)
	if err := v.Err(); err != nil {
		return nil, err
	}
	return d.changeRole(in.RoleName, func(r *iam.Role) error { return r.SetTags(tagsIn(in.Tags)) })
}

func (d *door) untagRole(_ *wire.Call, in *tagRoleIn) (any, error) {
	return d.changeRole(in.RoleName, func(r *iam.Role) error { r.RemoveTags(in.TagKeys); return nil })
}

func (d *door) listRoleTags(_ *wire.Call, in *roleName) (any, error) {
	r, err := d.Directory.Role(in.RoleName)
	return struct {
		Tags        []tag
		IsTruncated bool
	}{Tags: tagsOut(r.Tags)}, err
}

// listInstanceProfilesForRole is asked by tools before they delete a role. There
// are no instance profiles here, so the list is empty.
func (d *door) listInstanceProfilesForRole(_ *wire.Call, in *roleName) (any, error) {
	_, err := d.Directory.Role(in.RoleName)
	return struct {
		InstanceProfiles []string
		IsTruncated      bool
	}{InstanceProfiles: []string{}}, err
}
