package objstore

import (
	"context"
	"path"
	"slices"
	"strings"
)

// ListOptions narrow a list of objects.
type ListOptions struct {
	Prefix string // only keys that begin so
	// After: only keys behind it; with a Delimiter, no common prefix up to it either.
	After     string
	Delimiter string // keys that have it after Prefix are told as one common prefix
	Limit     int    // of objects and common prefixes together; 0 means no limit
}

// Listing is a page of a bucket's keys in the order of their bytes.
type Listing struct {
	Objects        []ObjectInfo
	CommonPrefixes []string
	Next           string // After for the next page, or "" if there is none
}

// List lists the objects of a bucket; the error is ErrNoBucket. Objects that come and go meanwhile may
// be in it or not.
func (b *Buckets) List(ctx context.Context, bucket string, o ListOptions) (Listing, error) {
	if _, err := b.Bucket(bucket); err != nil {
		return Listing{}, err
	}
	w := &walker{b: b, ctx: ctx, opt: o}
	err := w.folder(bucket, "")
	if !w.more {
		w.out.Next = ""
	}
	return w.out, err
}

// walker goes through the folders that can hold what is asked for, in the order of keys.
type walker struct {
	b    *Buckets
	ctx  context.Context
	opt  ListOptions
	skip string // the last common prefix: what is below it is told
	out  Listing
	more bool // the page is full and there is another
}

// entry is a name in a folder. A folder comes up twice: by its name, then by the key that
// sorts it.
type entry struct {
	sort   string // what decides the order, below the folder
	name   string
	folder bool
}

// folder walks one folder whose keys begin with above.
func (w *walker) folder(dir, above string) error {
	if err := context.Cause(w.ctx); err != nil {
		return err
	}
	listed, err := w.b.fs.List(dir)
	if err != nil {
		if notThere(err) {
			return nil
		}
		return err
	}
	todo := w.entries(listed, above)
	var pending []entry // folders, sorted
	for len(todo)+len(pending) > 0 && !w.more && !w.told(above) {
		var e entry
		if len(pending) > 0 && (len(todo) == 0 || pending[0].sort < todo[0].sort) {
			e, pending = pending[0], pending[1:]
		} else {
			e, todo = todo[0], todo[1:]
		}
		if e.folder {
			if err := w.folder(path.Join(dir, e.name), above+e.sort); err != nil {
				return err
			}
			continue
		}
		if pending, err = w.look(dir, above, e, pending); err != nil {
			return err
		}
	}
	return nil
}

// entries returns the names that may matter, sorted.
func (w *walker) entries(listed []string, above string) []entry {
	todo := make([]entry, 0, len(listed))
	for _, n := range listed {
		text, _, ok := plain(n)
		// Keys of the name and of those below it are less than the name with the byte
		// after the slash.
		if ok && w.mayHold(above+text) && (w.opt.After == "" || above+text+"0" > w.opt.After || strings.HasPrefix(w.opt.After, above+text)) {
			todo = append(todo, entry{sort: text, name: n})
		}
	}
	slices.SortFunc(todo, func(a, b entry) int { return strings.Compare(a.sort, b.sort) })
	return todo
}

// mayHold reports whether keys that begin with start can match the prefix.
func (w *walker) mayHold(start string) bool {
	return strings.HasPrefix(start, w.opt.Prefix) || strings.HasPrefix(w.opt.Prefix, start)
}

// look adds a file to the page, or a folder to the pending ones.
func (w *walker) look(dir, above string, e entry, pending []entry) ([]entry, error) {
	text, goesOn, _ := plain(e.name)
	if w.told(above + text) {
		return pending, nil
	}
	file := place{dir, strings.TrimSuffix(e.name, besideDir)}
	info, err := w.b.fs.Stat(path.Join(dir, e.name))
	switch {
	case err != nil && notThere(err):
		return pending, nil
	case err != nil:
		return pending, err
	case info.IsDir():
		if !goesOn {
			text += "/"
		}
		i, _ := slices.BinarySearchFunc(pending, text, func(p entry, s string) int { return strings.Compare(p.sort, s) })
		if w.told(above+text) || !w.mayHold(above+text) {
			return pending, nil
		}
		return slices.Insert(pending, i, entry{sort: text, name: e.name, folder: true}), nil
	}
	key := above + text
	if !strings.HasPrefix(key, w.opt.Prefix) || w.opt.After != "" && key <= w.opt.After {
		return pending, nil
	}
	if d := w.opt.Delimiter; d != "" {
		if i := strings.Index(key[len(w.opt.Prefix):], d); i >= 0 {
			w.common(key[:len(w.opt.Prefix)+i+len(d)])
			return pending, nil
		}
	}
	if !w.full() {
		o := w.b.describe(file, info)
		o.Key = key
		w.out.Objects = append(w.out.Objects, o)
		w.out.Next = key
	}
	return pending, nil
}

// told reports whether all keys that begin so are told by the last common prefix.
func (w *walker) told(start string) bool {
	return w.skip != "" && strings.HasPrefix(start, w.skip)
}

func (w *walker) common(prefix string) {
	w.skip = prefix
	if w.opt.After != "" && prefix <= w.opt.After || w.full() {
		return
	}
	w.out.CommonPrefixes = append(w.out.CommonPrefixes, prefix)
	w.out.Next = prefix
}

// full reports whether the page has no room, and notes that there is more.
func (w *walker) full() bool {
	w.more = w.opt.Limit > 0 && len(w.out.Objects)+len(w.out.CommonPrefixes) >= w.opt.Limit
	return w.more
}
