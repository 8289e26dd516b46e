// Package meta keeps small documents durably in one file, in transactions: the
// catalog, topic rules, roles and users. The file is a bbolt database with one bucket
// per kind of document; keys are in byte order.
//
// A Store is safe for concurrent use; changes are made one at a time, each with a sync
// of the disk. One process opens a file at a time.
package meta

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/weir-db/weir/internal/fault"
)

// Store is an open file.
type Store struct {
	db   *bbolt.DB
	path string
}

// Open opens the file, making it if it is missing. Errors: fault.Unavailable when
// another process has it, fault.Corrupt when it is not what this program wrote.
func Open(path string) (*Store, error) {
	s := &Store{path: path}
	err := s.guard(func() (err error) {
		s.db, err = bbolt.Open(path, 0o644, &bbolt.Options{Timeout: 100 * time.Millisecond, FreelistType: bbolt.FreelistMapType})
		if err != nil {
			return err
		}
		return s.checkSize()
	})
	if err != nil && s.db != nil {
		s.db.Close()
	}
	switch {
	case err == nil:
		return s, nil
	case errors.Is(err, berrors.ErrTimeout):
		return nil, fault.Wrap(fault.Unavailable, err, "%s is in use by another process", path)
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrChecksum), errors.Is(err, berrors.ErrVersionMismatch):
		return nil, s.corrupt(err)
	}
	return nil, err
}

// checkSize refuses a file that lost its end: bbolt would read pages that are not there.
func (s *Store) checkSize() error {
	return s.db.View(func(tx *bbolt.Tx) error {
		info, err := os.Stat(s.path)
		if err == nil && info.Size() < tx.Size() {
			err = s.corrupt(fmt.Errorf("it has %d bytes, want %d", info.Size(), tx.Size()))
		}
		return err
	})
}

func (s *Store) corrupt(err error) error {
	return fault.Wrap(fault.Corrupt, err, "%s is damaged", s.path)
}

// guard turns the panics by which bbolt answers damaged pages into errors.
func (s *Store) guard(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = s.corrupt(fmt.Errorf("%v", p))
		}
	}()
	return f()
}

// Close closes the file. No transaction may be open.
func (s *Store) Close() error { return s.db.Close() }

// Load calls each for every document of a kind, in the order of keys, and ends with
// its first error. each may keep doc.
func (s *Store) Load(kind string, each func(key string, doc []byte) error) error {
	return s.guard(func() error {
		return s.db.View(func(tx *bbolt.Tx) error {
			b := tx.Bucket([]byte(kind))
			if b == nil {
				return nil
			}
			return b.ForEach(func(k, v []byte) error { return each(string(k), append([]byte(nil), v...)) })
		})
	})
}

// Apply makes all changes of documents of a kind durable, or none; a nil document
// deletes its key.
func (s *Store) Apply(kind string, changes map[string][]byte) error {
	return s.guard(func() error {
		return s.db.Update(func(tx *bbolt.Tx) error {
			b, err := tx.CreateBucketIfNotExists([]byte(kind))
			if err != nil {
				return err
			}
			for key, doc := range changes {
				if doc == nil {
					err = b.Delete([]byte(key))
				} else {
					err = b.Put([]byte(key), doc)
				}
				if err != nil {
					return fmt.Errorf("%s %q: %w", kind, key, err)
				}
			}
			return nil
		})
	})
}

// Save makes one document durable.
func (s *Store) Save(kind, key string, doc []byte) error {
	return s.Apply(kind, map[string][]byte{key: doc})
}

// Delete removes one document; removing what is not there is not an error.
func (s *Store) Delete(kind, key string) error {
	return s.Apply(kind, map[string][]byte{key: nil})
}

// Bucket is the documents of one kind.
type Bucket struct {
	store *Store
	kind  string
}

// Bucket returns the documents of a kind.
func (s *Store) Bucket(kind string) Bucket { return Bucket{s, kind} }

// Each is [Store.Load].
func (b Bucket) Each(f func(key string, doc []byte) error) error { return b.store.Load(b.kind, f) }

// Apply is [Store.Apply].
func (b Bucket) Apply(changes map[string][]byte) error { return b.store.Apply(b.kind, changes) }

// Dump prints every document of a file, for weir inspect. It does not need the file to be
// free for writing, only not in use by a server.
func Dump(w io.Writer, path string) error {
	s := &Store{path: path}
	return s.guard(func() error {
		db, err := bbolt.Open(path, 0o400, &bbolt.Options{Timeout: 100 * time.Millisecond, ReadOnly: true})
		if errors.Is(err, berrors.ErrTimeout) {
			return fault.Wrap(fault.Unavailable, err, "%s is in use by a server", path)
		}
		if err != nil {
			return s.corrupt(err)
		}
		defer db.Close()
		return db.View(func(tx *bbolt.Tx) error {
			return tx.ForEach(func(kind []byte, b *bbolt.Bucket) error {
				fmt.Fprintf(w, "%s: %d documents\n", kind, b.Stats().KeyN)
				return b.ForEach(func(k, v []byte) error {
					_, err := fmt.Fprintf(w, "  %s  %s\n", k, v)
					return err
				})
			})
		})
	})
}
