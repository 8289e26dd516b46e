package meta

import (
	"bytes"

	"go.etcd.io/bbolt"
)

// Copy returns the file as it is at one moment, between changes. It is as large as the file, which
// Open reads as a whole too, and holds what the file holds: secrets.
func (s *Store) Copy() ([]byte, error) {
	var file bytes.Buffer
	err := s.guard(func() error {
		return s.db.View(func(tx *bbolt.Tx) error {
			file.Grow(int(tx.Size()))
			_, err := tx.WriteTo(&file)
			return err
		})
	})
	return file.Bytes(), err
}
