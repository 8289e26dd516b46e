package iam

import "maps"

func noRole(name string) error {
	return refuse("NoSuchEntity", "The role with name %s cannot be found.", name)
}

func (r *Role) clone() Role {
	c := *r
	c.Entity = r.Entity.clone()
	return c
}

// NewRole is what CreateRole is given.
type NewRole struct {
	Name, Path, Description string
	Trust                   string // a policy document
	MaxSessionSeconds       int
	Tags                    []Tag
}

// CreateRole adds a role.
func (d *Directory) CreateRole(n NewRole) (Role, error) {
	if err := checkTrust(n.Trust); err != nil {
		return Role{}, err
	}
	if len(n.Tags) > maxTagsPerEntity {
		return Role{}, refuse("LimitExceeded", "The number of tags has reached the maximum limit of %d.", maxTagsPerEntity)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.roles[n.Name] != nil {
		return Role{}, refuse("EntityAlreadyExists", "Role with name %s already exists.", n.Name)
	}
	if len(d.roles) >= maxRoles {
		return Role{}, refuse("LimitExceeded", "Cannot exceed quota for RolesPerAccount: %d", maxRoles)
	}
	r := &Role{
		Entity: Entity{Name: n.Name, ID: newID("AROA", 17), Path: n.Path, ARN: d.arn("role", n.Path, n.Name),
			Created: d.opt.Now().UTC(), Tags: n.Tags},
		Description: n.Description, MaxSessionSeconds: n.MaxSessionSeconds, Trust: n.Trust,
	}
	return d.putRoleLocked(r)
}

func (d *Directory) putRoleLocked(r *Role) (Role, error) {
	if err := d.save(kindRole, r.Name, r); err != nil {
		return Role{}, err
	}
	d.roles[r.Name] = r
	return r.clone(), nil
}

// Role returns a role.
func (d *Directory) Role(name string) (Role, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	r := d.roles[name]
	if r == nil {
		return Role{}, noRole(name)
	}
	return r.clone(), nil
}

// Roles returns the roles whose path starts with prefix, by name.
func (d *Directory) Roles(prefix string) []Role {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return sorted(d.roles, prefix, func(r *Role) string { return r.Path }, func(r *Role) string { return r.Name }, (*Role).clone)
}

// ChangeRole replaces a role by what change makes of a copy of it; an error of
// change leaves it as it is.
func (d *Directory) ChangeRole(name string, change func(*Role) error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	old := d.roles[name]
	if old == nil {
		return noRole(name)
	}
	r := old.clone()
	if err := change(&r); err != nil {
		return err
	}
	_, err := d.putRoleLocked(&r)
	return err
}

// DeleteRole removes a role that has no policies left.
func (d *Directory) DeleteRole(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	r := d.roles[name]
	if r == nil {
		return noRole(name)
	}
	if err := r.deletable(); err != nil {
		return err
	}
	if err := d.opt.Store.Delete(kindRole, name); err != nil {
		return err
	}
	delete(d.roles, name)
	return nil
}

// SetTrust replaces who may assume the role.
func (r *Role) SetTrust(document string) error {
	if err := checkTrust(document); err != nil {
		return err
	}
	r.Trust = document
	return nil
}

func checkTrust(document string) error {
	if len(document) > maxTrustChars {
		return refuse("LimitExceeded", "Cannot exceed quota for ACLSizePerRole: %d", maxTrustChars)
	}
	_, err := ParsePolicy(document, Trust)
	return err
}

func (e *Entity) deletable() error {
	if len(e.Inline) > 0 {
		return refuse("DeleteConflict", "Cannot delete entity, must delete policies first.")
	}
	if len(e.Attached) > 0 {
		return refuse("DeleteConflict", "Cannot delete entity, must detach all policies first.")
	}
	return nil
}

// PutInline adds or replaces an inline policy.
func (e *Entity) PutInline(name, document string) error {
	if _, err := ParsePolicy(document, IdentityBased); err != nil {
		return err
	}
	inline := maps.Clone(e.Inline)
	if inline == nil {
		inline = map[string]string{}
	}
	inline[name] = document
	total := 0
	for _, doc := range inline {
		total += significantChars(doc)
	}
	if total > maxInlineChars {
		return refuse("LimitExceeded", "Maximum policy size of %d bytes exceeded for %s", maxInlineChars, e.Name)
	}
	e.Inline = inline
	return nil
}

// significantChars counts what AWS counts of a document: all but white space.
func significantChars(doc string) int {
	n := 0
	for i := range len(doc) {
		if c := doc[i]; c != ' ' && c != '\n' && c != '\t' && c != '\r' {
			n++
		}
	}
	return n
}

// InlinePolicy returns the document of an inline policy.
func (e *Entity) InlinePolicy(name string) (string, error) {
	doc, ok := e.Inline[name]
	if !ok {
		return "", noPolicy(name)
	}
	return doc, nil
}

// DeleteInline removes an inline policy.
func (e *Entity) DeleteInline(name string) error {
	if _, err := e.InlinePolicy(name); err != nil {
		return err
	}
	delete(e.Inline, name)
	return nil
}

// SetTags adds tags, replacing those with the same key.
func (e *Entity) SetTags(tags []Tag) error {
	for _, t := range tags {
		e.RemoveTags([]string{t.Key})
		e.Tags = append(e.Tags, t)
	}
	if len(e.Tags) > maxTagsPerEntity {
		return refuse("LimitExceeded", "The number of tags has reached the maximum limit of %d.", maxTagsPerEntity)
	}
	return nil
}

// RemoveTags removes the tags with the given keys.
func (e *Entity) RemoveTags(keys []string) {
	kept := e.Tags[:0:0]
	for _, t := range e.Tags {
		drop := false
		for _, k := range keys {
			drop = drop || k == t.Key
		}
		if !drop {
			kept = append(kept, t)
		}
	}
	e.Tags = kept
}
