package iam

import "slices"

func noUser(name string) error {
	return refuse("NoSuchEntity", "The user with name %s cannot be found.", name)
}

func (u *User) clone() User {
	c := *u
	c.Entity = u.Entity.clone()
	c.Keys = slices.Clone(u.Keys)
	return c
}

// CreateUser adds a user.
func (d *Directory) CreateUser(name, path string, tags []Tag) (User, error) {
	if len(tags) > maxTagsPerEntity {
		return User{}, refuse("LimitExceeded", "The number of tags has reached the maximum limit of %d.", maxTagsPerEntity)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.users[name] != nil {
		return User{}, refuse("EntityAlreadyExists", "User with name %s already exists.", name)
	}
	if len(d.users) >= maxUsers {
		return User{}, refuse("LimitExceeded", "Cannot exceed quota for UsersPerAccount: %d", maxUsers)
	}
	u := &User{Entity: Entity{Name: name, ID: newID("AIDA", 17), Path: path, ARN: d.arn("user", path, name), Created: d.opt.Now().UTC(), Tags: tags}}
	return d.putUserLocked(u)
}

func (d *Directory) putUserLocked(u *User) (User, error) {
	if err := d.save(kindUser, u.Name, u); err != nil {
		return User{}, err
	}
	if old := d.users[u.Name]; old != nil {
		for _, k := range old.Keys {
			delete(d.keys, k.ID)
		}
	}
	for _, k := range u.Keys {
		d.keys[k.ID] = u.Name
	}
	d.users[u.Name] = u
	return u.clone(), nil
}

// User returns a user.
func (d *Directory) User(name string) (User, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	u := d.users[name]
	if u == nil {
		return User{}, noUser(name)
	}
	return u.clone(), nil
}

// Users returns the users whose path starts with prefix, by name.
func (d *Directory) Users(prefix string) []User {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return sorted(d.users, prefix, func(u *User) string { return u.Path }, func(u *User) string { return u.Name }, (*User).clone)
}

// ChangeUser replaces a user by what change makes of a copy of it; an error of
// change leaves it as it is.
func (d *Directory) ChangeUser(name string, change func(*User) error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	old := d.users[name]
	if old == nil {
		return noUser(name)
	}
	u := old.clone()
	if err := change(&u); err != nil {
		return err
	}
	_, err := d.putUserLocked(&u)
	return err
}

// DeleteUser removes a user that has no keys and policies left.
func (d *Directory) DeleteUser(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	u := d.users[name]
	if u == nil {
		return noUser(name)
	}
	if len(u.Keys) > 0 {
		return refuse("DeleteConflict", "Cannot delete entity, must delete access keys first.")
	}
	if err := u.deletable(); err != nil {
		return err
	}
	if err := d.opt.Store.Delete(kindUser, name); err != nil {
		return err
	}
	delete(d.users, name)
	return nil
}

// CreateAccessKey gives the user a new key.
func (d *Directory) CreateAccessKey(user string) (AccessKey, error) {
	key := AccessKey{ID: newID("AKIA", 16), Secret: randomText(40), Active: true, Created: d.opt.Now().UTC()}
	err := d.ChangeUser(user, func(u *User) error {
		if len(u.Keys) >= maxKeysPerUser {
			return refuse("LimitExceeded", "Cannot exceed quota for AccessKeysPerUser: %d", maxKeysPerUser)
		}
		u.Keys = append(u.Keys, key)
		return nil
	})
	return key, err
}

// ChangeAccessKey switches a key of the user on or off, or removes it.
func (d *Directory) ChangeAccessKey(user, keyID string, active, remove bool) error {
	return d.ChangeUser(user, func(u *User) error {
		i := slices.IndexFunc(u.Keys, func(k AccessKey) bool { return k.ID == keyID })
		if i < 0 {
			return refuse("NoSuchEntity", "The Access Key with id %s cannot be found.", keyID)
		}
		if remove {
			u.Keys = slices.Delete(u.Keys, i, i+1)
		} else {
			u.Keys[i].Active = active
		}
		return nil
	})
}
