package iamsts

import (
	"strings"
	"time"

	"github.com/weir-db/weir/internal/awsapi/wire"
	"github.com/weir-db/weir/internal/iam"
)

type userOut struct {
	Path       string
	UserName   string
	UserID     string `wire:"UserId"`
	ARN        string `wire:"Arn"`
	CreateDate time.Time
	Tags       []tag
}

func newUserOut(u iam.User, withTags bool) userOut {
	out := userOut{Path: u.Path, UserName: u.Name, UserID: u.ID, ARN: u.ARN, CreateDate: u.Created.Truncate(time.Second)}
	if withTags && len(u.Tags) > 0 {
		out.Tags = tagsOut(u.Tags)
	}
	return out
}

type createUserIn struct {
	UserName string
	Path     string
	Tags     []tag
}

func (d *door) createUser(_ *wire.Call, in *createUserIn) (any, error) {
	var v wire.Violations
	checkName(&v, in.UserName, "userName", 64)
	checkPath(&v, &in.Path)
	checkTags(&v, in.Tags)
	if err := v.Err(); err != nil {
		return nil, err
	}
	u, err := d.Directory.CreateUser(in.UserName, in.Path, tagsIn(in.Tags))
	return struct{ User userOut }{newUserOut(u, true)}, err
}

type userName struct{ UserName string }

func (in *userName) check() error {
	var v wire.Violations
	checkName(&v, in.UserName, "userName", 128)
	return v.Err()
}

// callersName returns name, or the name of the calling user if it is empty.
func callersName(c *wire.Call, name string) string {
	if name == "" {
		if _, path, ok := strings.Cut(c.Caller.ARN, ":user/"); ok {
			return path[strings.LastIndexByte(path, '/')+1:]
		}
	}
	return name
}

func (d *door) getUser(c *wire.Call, in *userName) (any, error) {
	in.UserName = callersName(c, in.UserName)
	if in.UserName == "" && strings.HasSuffix(c.Caller.ARN, ":root") {
		return struct{ User userOut }{userOut{UserID: c.Caller.UserID, ARN: c.Caller.ARN, CreateDate: time.Unix(0, 0)}}, nil
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	u, err := d.Directory.User(in.UserName)
	return struct{ User userOut }{newUserOut(u, true)}, err
}

func (d *door) listUsers(_ *wire.Call, in *listIn) (any, error) {
	part, marker, err := page(pageIn{in.Marker, in.MaxItems}, d.Directory.Users(in.PathPrefix), func(u iam.User) string { return u.Name })
	out := struct {
		Users       []userOut
		IsTruncated bool
		Marker      string
	}{Users: []userOut{}, IsTruncated: marker != "", Marker: marker}
	for _, u := range part {
		out.Users = append(out.Users, newUserOut(u, false))
	}
	return out, err
}

func (d *door) deleteUser(_ *wire.Call, in *userName) (any, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	return nil, d.Directory.DeleteUser(in.UserName)
}

func (d *door) changeUser(name string, change func(*iam.User) error) (any, error) {
	if err := (&userName{name}).check(); err != nil {
		return nil, err
	}
	return nil, d.Directory.ChangeUser(name, change)
}

type userPolicyIn struct{ UserName, PolicyName, PolicyDocument string }

func (d *door) putUserPolicy(_ *wire.Call, in *userPolicyIn) (any, error) {
	if err := checkInline(in.PolicyName, in.PolicyDocument, true); err != nil {
		return nil, err
	}
	return d.changeUser(in.UserName, func(u *iam.User) error { return u.PutInline(in.PolicyName, in.PolicyDocument) })
}

func (d *door) getUserPolicy(_ *wire.Call, in *userPolicyIn) (any, error) {
	u, err := d.Directory.User(in.UserName)
	if err != nil {
		return nil, err
	}
	doc, err := u.InlinePolicy(in.PolicyName)
	return struct{ UserName, PolicyName, PolicyDocument string }{in.UserName, in.PolicyName, encoded(doc)}, err
}

func (d *door) deleteUserPolicy(_ *wire.Call, in *userPolicyIn) (any, error) {
	return d.changeUser(in.UserName, func(u *iam.User) error { return u.DeleteInline(in.PolicyName) })
}

type userListIn struct {
	UserName string
	Marker   string
	MaxItems int
}

func (d *door) listUserPolicies(_ *wire.Call, in *userListIn) (any, error) {
	u, err := d.Directory.User(in.UserName)
	if err != nil {
		return nil, err
	}
	return inlineNames(pageIn{in.Marker, in.MaxItems}, u.Entity)
}

type userAttachIn struct{ UserName, PolicyArn string }

func (d *door) attachUserPolicy(_ *wire.Call, in *userAttachIn) (any, error) {
	a, err := d.attachable(in.PolicyArn)
	if err != nil {
		return nil, err
	}
	return d.changeUser(in.UserName, func(u *iam.User) error { return u.Attach(a) })
}

func (d *door) detachUserPolicy(_ *wire.Call, in *userAttachIn) (any, error) {
	return d.changeUser(in.UserName, func(u *iam.User) error { return u.Detach(in.PolicyArn) })
}

func (d *door) listAttachedUserPolicies(_ *wire.Call, in *userListIn) (any, error) {
	u, err := d.Directory.User(in.UserName)
	if err != nil {
		return nil, err
	}
	return attachedPolicies(pageIn{in.Marker, in.MaxItems}, u.Entity)
}

func status(active bool) string {
	if active {
		return "Active"
	}
	return "Inactive"
}

func (d *door) createAccessKey(c *wire.Call, in *userName) (any, error) {
	in.UserName = callersName(c, in.UserName)
	if err := in.check(); err != nil {
		return nil, err
	}
	k, err := d.Directory.CreateAccessKey(in.UserName)
	type key struct {
		UserName        string
		AccessKeyID     string `wire:"AccessKeyId"`
		Status          string
		SecretAccessKey string
		CreateDate      time.Time
	}
	return struct{ AccessKey key }{key{in.UserName, k.ID, status(k.Active), k.Secret, k.Created.Truncate(time.Second)}}, err
}

func (d *door) listAccessKeys(c *wire.Call, in *userListIn) (any, error) {
	u, err := d.Directory.User(callersName(c, in.UserName))
	if err != nil {
		return nil, err
	}
	type key struct {
		UserName    string
		AccessKeyID string `wire:"AccessKeyId"`
		Status      string
		CreateDate  time.Time
	}
	out := struct {
		AccessKeyMetadata []key
		IsTruncated       bool
	}{AccessKeyMetadata: []key{}}
	for _, k := range u.Keys {
		out.AccessKeyMetadata = append(out.AccessKeyMetadata, key{u.Name, k.ID, status(k.Active), k.Created.Truncate(time.Second)})
	}
	return out, nil
}

type accessKeyIn struct {
	UserName    string
	AccessKeyID string `wire:"AccessKeyId"`
	Status      string
}

func (d *door) updateAccessKey(c *wire.Call, in *accessKeyIn) (any, error) {
	var v wire.Violations
	v.Enum(in.Status, "status", "Active", "Inactive")
	if err := v.Err(); err != nil {
		return nil, err
	}
	return nil, d.Directory.ChangeAccessKey(callersName(c, in.UserName), in.AccessKeyID, in.Status == "Active", false)
}

func (d *door) deleteAccessKey(c *wire.Call, in *accessKeyIn) (any, error) {
	return nil, d.Directory.ChangeAccessKey(callersName(c, in.UserName), in.AccessKeyID, false, true)
}
