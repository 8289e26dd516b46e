package unload

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/objstore"
	"github.com/weir-db/weir/internal/unloadfiles"
)

// Documents keeps the journal, JSON texts by key: a meta.Bucket.
type Documents interface {
	// Each calls f for every document, in any order. f may keep doc.
	Each(f func(key string, doc []byte) error) error
	// Apply makes all changes durable or none; a nil document deletes its key.
	Apply(changes map[string][]byte) error
}

// Journal remembers the UNLOADs that write objects, so that what a killed one left goes away at the next start: AWS
// leaves it, and readers that list a folder, not a manifest, would take it for results. It is safe for concurrent use.
type Journal struct {
	docs    Documents
	objects Objects
	log     *slog.Logger
	left    map[string]destination // by query id, of an earlier process
}

// destination is where an UNLOAD writes.
type destination struct{ Bucket, Prefix string }

// OpenJournal reads which UNLOADs an earlier process did not end.
func OpenJournal(docs Documents, objects Objects, log *slog.Logger) (*Journal, error) {
	j := &Journal{docs: docs, objects: objects, log: log, left: map[string]destination{}}
	err := docs.Each(func(id string, doc []byte) error {
		var d destination
		if err := json.Unmarshal(doc, &d); err != nil {
			return fault.Wrap(fault.Corrupt, err, "the document %q of an UNLOAD cannot be read", id)
		}
		j.left[id] = d
		return nil
	})
	return j, err
}

// Clean removes what the UNLOADs of an earlier process left, unless their result is whole. What cannot be removed now, is at the
// next start.
func (j *Journal) Clean(ctx context.Context) {
	for id, d := range j.left {
		if ctx.Err() != nil {
			return
		}
		if err := j.clean(ctx, id, d); err != nil {
			j.log.Warn("what an interrupted UNLOAD left is not removed", "query", id, "bucket", d.Bucket, "prefix", d.Prefix, "err", err)
		}
	}
}

func (j *Journal) clean(ctx context.Context, id string, d destination) error {
	whole := false
	ours := func(key string) bool {
		name := key[strings.LastIndexByte(key, '/')+1:]
		whole = whole || strings.HasPrefix(name, id+"_") && unloadfiles.IsManifest(name)
		return strings.HasPrefix(name, id+"_") && !whole
	}
	at := d.Prefix
	if at != "" {
		at += "/"
	}
	// Manifest and metadata first.
	err := j.objects.Remove(ctx, d.Bucket, at+id+"_", ours)
	if err == nil && !whole {
		err = j.objects.Remove(ctx, d.Bucket, at+"results/", ours)
	}
	if err != nil && !errors.Is(err, objstore.ErrNoBucket) {
		return err
	}
	j.log.Info("what an interrupted UNLOAD left is removed", "query", id, "bucket", d.Bucket, "prefix", d.Prefix, "whole", whole)
	return j.end(id)
}

func (j *Journal) begin(id string, s *Spec) error {
	doc, err := json.Marshal(destination{s.Bucket, s.Prefix})
	if err == nil {
		err = j.docs.Apply(map[string][]byte{id: doc})
	}
	if err != nil {
		return fmt.Errorf("note the UNLOAD %s: %w", id, err)
	}
	return nil
}

func (j *Journal) end(id string) error { return j.docs.Apply(map[string][]byte{id: nil}) }
