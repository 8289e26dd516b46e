package mqtt

import (
	"errors"
	"maps"
	"sync"
	"time"
)

// Documents keeps small documents by name, durably.
type Documents interface {
	// Each calls f for every document, in any order. f may keep doc.
	Each(f func(key string, doc []byte) error) error
	// Apply makes all changes durable or none; a nil document deletes its key.
	Apply(changes map[string][]byte) error
}

const (
	maxUnwritten = 32 << 20 // bytes; who adds more waits
	retryAfter   = time.Second
)

var (
	errKeeperFull   = errors.New("the retained messages, sessions and queued messages that are on disk have reached their limit")
	errKeeperClosed = errors.New("the MQTT broker is closed")
)

// journal writes changes of documents behind whoever makes them, one commit for all
// that came while the one before was being written. A change that a later one of the same
// key overtakes is never written. What fails is tried again, until it succeeds or the journal is closed.
type journal struct {
	docs Documents
	max  int // bytes of all documents

	mu      sync.Mutex // guards the fields below
	changed *sync.Cond
	sizes   map[string]int // of the documents there are, written or not
	total   int            // sum of sizes
	next    map[string][]byte
	bytes   int    // of next
	seq     uint64 // of the last change
	written uint64 // changes up to this one are durable
	tried   uint64 // changes up to this one are durable or failed
	err     error  // of the last commit
	closed  bool
	done    chan struct{}
}

func newJournal(docs Documents, max int) *journal {
	j := &journal{docs: docs, max: max, sizes: map[string]int{}, next: map[string][]byte{}, done: make(chan struct{})}
	j.changed = sync.NewCond(&j.mu)
	return j
}

// put stores doc under key, or deletes key if doc is nil; it is durable when wait
// has returned nil for seq. Errors: the journal is full, or closed.
func (j *journal) put(key string, doc []byte) (seq uint64, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	old, had := j.sizes[key]
	if doc == nil && !had {
		return j.written, nil
	}
	for doc != nil && j.bytes > maxUnwritten && !j.closed {
		if j.err != nil {
			return 0, j.err
		}
		j.changed.Wait()
	}
	size := len(key) + len(doc)
	switch {
	case j.closed:
		return 0, errKeeperClosed
	case doc == nil:
		delete(j.sizes, key)
		size = 0
	case j.total-old+size > j.max:
		return 0, errKeeperFull
	default:
		j.sizes[key] = size
	}
	j.total += size - old
	if waiting, ok := j.next[key]; ok {
		j.bytes -= len(waiting)
	}
	j.next[key] = doc
	j.bytes += len(doc)
	j.seq++
	j.changed.Broadcast()
	return j.seq, nil
}

// wait returns when the changes up to seq are durable, or with the error that kept them
// from it. They may still be made durable after an error.
func (j *journal) wait(seq uint64) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	for j.written < seq {
		switch {
		case j.tried >= seq && j.err != nil:
			return j.err
		case j.closed && len(j.next) == 0:
			return errKeeperClosed
		}
		j.changed.Wait()
	}
	return nil
}

// run writes until close.
func (j *journal) run() {
	defer close(j.done)
	j.mu.Lock()
	defer j.mu.Unlock()
	for {
		for len(j.next) == 0 && !j.closed {
			j.changed.Wait()
		}
		if len(j.next) == 0 {
			return
		}
		batch, upTo := j.next, j.seq
		j.next, j.bytes = map[string][]byte{}, 0
		j.mu.Unlock()
		err := j.docs.Apply(batch)
		j.mu.Lock()
		j.err, j.tried = err, upTo
		if err == nil {
			j.written = upTo
			j.changed.Broadcast()
			continue
		}
		maps.Copy(batch, j.next) // newer ones win
		j.next, j.bytes = batch, 0
		for _, doc := range batch {
			j.bytes += len(doc)
		}
		j.changed.Broadcast()
		if j.closed {
			j.next = map[string][]byte{}
			return
		}
		j.pause()
	}
}

// pause waits before a failed commit is tried again.
func (j *journal) pause() {
	over := false
	t := time.AfterFunc(retryAfter, func() {
		j.mu.Lock()
		over = true
		j.changed.Broadcast()
		j.mu.Unlock()
	})
	defer t.Stop()
	for from := j.seq; !over && !j.closed && j.seq == from; {
		j.changed.Wait()
	}
}

// close writes what is left and ends run.
func (j *journal) close() error {
	j.mu.Lock()
	j.closed = true
	j.changed.Broadcast()
	j.mu.Unlock()
	<-j.done
	j.mu.Lock()
	defer j.mu.Unlock()
	j.changed.Broadcast()
	return j.err
}
