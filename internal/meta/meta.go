// Package meta keeps small documents durably in one file, in transactions: the
// catalog, topic rules, roles and users. The file is a bbolt database with one bucket
// per kind of document; keys are in byte order.
//
// # Checks
//
// A value is the CRC-32C (u32, little-endian) of kind, 0, key, 0 and document, then the document. The
// sequence number of a bucket is the sum of 2^32 + checksum over its documents, so that
// a lost one is noticed, and the bucket "weir.kinds" has an empty document for each kind. All
// of it, and the pages below ([verify]), is checked when a file is opened; what is damaged
// is an error of kind fault.Corrupt that says where, never a smaller catalog. The one
// thing that cannot be told from a crash is damage to the newest of the two meta pages:
// it takes the last change back.
//
// A Store is safe for concurrent use; changes are made one at a time, each with a sync
// of the disk. One process opens a file at a time. Files are readable by their owner only:
// users' secret keys are in there.
package meta

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
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

// CorruptError says that a file holds something that this program did not write.
type CorruptError struct {
	Path   string
	Offset int64 // of the page in doubt; -1: a document, which Err names
	Err    error
}

func (e *CorruptError) Error() string {
	if e.Offset < 0 {
		return fmt.Sprintf("%s is damaged: %v", e.Path, e.Err)
	}
	return fmt.Sprintf("%s is damaged at byte %d: %v", e.Path, e.Offset, e.Err)
}

// Unwrap returns what is wrong.
func (e *CorruptError) Unwrap() error { return e.Err }

// FaultKind makes it fault.Corrupt.
func (e *CorruptError) FaultKind() fault.Kind { return fault.Corrupt }

// kindsBucket lists the kinds that there are.
const kindsBucket = "weir.kinds"

// lockTimeout is how long Open waits for another process to leave.
const lockTimeout = 100 * time.Millisecond

// Open opens the file, making it if it is missing. Errors: fault.Unavailable when
// another process has it, fault.Corrupt when it is not what this program wrote.
func Open(path string) (*Store, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = create(path)
	case err == nil && info.Size() == 0: // bbolt would take it for a new one
		err = &CorruptError{path, 0, errors.New("it is empty")}
	case err == nil:
		err = check(path, nil)
	}
	if err != nil {
		return nil, err
	}
	db, err := openDB(path, false)
	if err != nil {
		return nil, err
	}
	return &Store{db, path}, nil
}

// create makes a file without documents. It gets its name when it is whole, so that
// whatever is found under the name, an empty file too, is either good or damaged.
func create(path string) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.new")
	if err != nil {
		return err
	}
	unfinished := f.Name()
	defer os.Remove(unfinished)
	if err := f.Close(); err != nil {
		return err
	}
	db, err := openDB(unfinished, false)
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucket([]byte(kindsBucket))
		return err
	})
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	if err := os.Rename(unfinished, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// openDB opens the database. It may panic on damaged pages only if they were not
// verified and readOnly is false.
func openDB(path string, readOnly bool) (*bbolt.DB, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockTimeout, FreelistType: bbolt.FreelistMapType, ReadOnly: readOnly})
	switch {
	case err == nil:
		return db, nil
	case errors.Is(err, berrors.ErrTimeout):
		return nil, fault.Wrap(fault.Unavailable, err, "%s is in use by another process", path)
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrChecksum), errors.Is(err, berrors.ErrVersionMismatch):
		return nil, &CorruptError{path, 0, err}
	}
	return nil, fmt.Errorf("open %s: %w", path, err)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// check verifies a whole file and shows each its kinds, in order, if each is not nil.
func check(path string, each func(kind string, b *bbolt.Bucket) error) error {
	// The lock that readers share keeps the file still; such an open reads the meta
	// pages only, which have checksums of their own.
	db, err := openDB(path, true)
	if err != nil {
		return err
	}
	defer db.Close()
	file, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var d *damage
	if err := verify(file); errors.As(err, &d) {
		return &CorruptError{path, d.offset, d.err}
	}
	s := &Store{db, path}
	err = s.guard(func() error { return db.View(s.checkSums) })
	if err != nil || each == nil {
		return err
	}
	return db.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(kind []byte, b *bbolt.Bucket) error { return each(string(kind), b) })
	})
}

// checkSums compares every document with its checksum and every kind with its sum.
func (s *Store) checkSums(tx *bbolt.Tx) error {
	kinds := tx.Bucket([]byte(kindsBucket))
	if kinds == nil {
		return s.corrupt(errors.New("the list of kinds is missing"))
	}
	listed := 0
	err := kinds.ForEach(func(kind, _ []byte) error {
		if listed++; tx.Bucket(kind) == nil {
			return s.corrupt(fmt.Errorf("the documents of kind %q are missing", kind))
		}
		return nil
	})
	if err != nil {
		return err
	}
	return tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
		kind := string(name)
		if kind != kindsBucket {
			listed--
		}
		if listed < 0 {
			return s.corrupt(fmt.Errorf("kind %q is not in the list", kind))
		}
		sum := uint64(0)
		err := b.ForEach(func(key, value []byte) error {
			doc, err := s.document(kind, key, value)
			sum += share(kind, key, doc)
			return err
		})
		if err == nil && sum != b.Sequence() {
			err = s.corrupt(fmt.Errorf("documents of kind %q are missing: sum %x, want %x", kind, sum, b.Sequence()))
		}
		return err
	})
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(kind string, key, doc []byte) uint32 {
	head := append([]byte(kind), 0)
	head = append(append(head, key...), 0)
	return crc32.Update(crc32.Checksum(head, castagnoli), castagnoli, doc)
}

// share is what a document adds to the sum of its kind.
func share(kind string, key, doc []byte) uint64 { return 1<<32 + uint64(checksum(kind, key, doc)) }

// document returns what a value holds, once it is checked.
func (s *Store) document(kind string, key, value []byte) ([]byte, error) {
	if len(value) < 4 {
		return nil, s.corrupt(fmt.Errorf("the %s document %q has %d bytes", kind, key, len(value)))
	}
	doc := value[4:]
	if got, want := checksum(kind, key, doc), binary.LittleEndian.Uint32(value); got != want {
		return nil, s.corrupt(fmt.Errorf("the %s document %q has checksum %08x, want %08x", kind, key, got, want))
	}
	return doc, nil
}

func (s *Store) corrupt(err error) error { return &CorruptError{s.path, -1, err} }

// guard turns the panics by which bbolt answers damaged pages into errors. The file was
// good when it was opened, but a disk may fail later.
func (s *Store) guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
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
	var keys []string
	var docs [][]byte
	// each runs outside: its panics are its own, and it may change documents.
	err := s.guard(func() error {
		return s.db.View(func(tx *bbolt.Tx) error {
			b := tx.Bucket([]byte(kind))
			if b == nil {
				return nil
			}
			return b.ForEach(func(key, value []byte) error {
				doc, err := s.document(kind, key, value)
				keys, docs = append(keys, string(key)), append(docs, append([]byte(nil), doc...))
				return err
			})
		})
	})
	if err != nil {
		return err
	}
	for i, key := range keys {
		if err := each(key, docs[i]); err != nil {
			return err
		}
	}
	return nil
}

// Apply makes all changes of documents of a kind durable, or none; a nil document
// deletes its key.
func (s *Store) Apply(kind string, changes map[string][]byte) error {
	return s.guard(func() error {
		return s.db.Update(func(tx *bbolt.Tx) error {
			b := tx.Bucket([]byte(kind))
			if b == nil {
				var err error
				if b, err = s.makeKind(tx, kind); err != nil {
					return err
				}
			}
			for key, doc := range changes {
				if err := s.put(b, kind, []byte(key), doc); err != nil {
					return fmt.Errorf("%s %q: %w", kind, key, err)
				}
			}
			return nil
		})
	})
}

// put stores or deletes a document and keeps the sum of its kind.
func (s *Store) put(b *bbolt.Bucket, kind string, key, doc []byte) error {
	sum := b.Sequence()
	if old := b.Get(key); old != nil {
		was, err := s.document(kind, key, old)
		if err != nil {
			return err
		}
		sum -= share(kind, key, was)
	}
	if doc == nil {
		return errors.Join(b.SetSequence(sum), b.Delete(key))
	}
	value := binary.LittleEndian.AppendUint32(make([]byte, 0, 4+len(doc)), checksum(kind, key, doc))
	return errors.Join(b.SetSequence(sum+share(kind, key, doc)), b.Put(key, append(value, doc...)))
}

// makeKind makes the bucket of a kind and lists it.
func (s *Store) makeKind(tx *bbolt.Tx, kind string) (*bbolt.Bucket, error) {
	if err := s.put(tx.Bucket([]byte(kindsBucket)), kindsBucket, []byte(kind), []byte{}); err != nil {
		return nil, err
	}
	return tx.CreateBucket([]byte(kind))
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

// Dump checks a file and prints every document, secrets hidden, for weir inspect. No server
// may have the file open.
func Dump(w io.Writer, path string) error {
	s := &Store{path: path}
	return check(path, func(kind string, b *bbolt.Bucket) error {
		if kind == kindsBucket {
			return nil
		}
		fmt.Fprintf(w, "%s: %d documents\n", kind, b.Stats().KeyN)
		return b.ForEach(func(key, value []byte) error {
			doc, err := s.document(kind, key, value)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(w, "  %s  %s\n", key, shown(doc))
			return err
		})
	})
}
