package wal

import "path"

// DurableFile is a file of an open log as far as it is durable.
type DurableFile struct {
	Name      string // below the log's file system
	SizeBytes int64  // up to the end of its last durable frame; more may follow in the file
}

// DurableFiles returns the log's files, oldest first, such that a log of their first SizeBytes
// bytes holds every record whose Wait returned nil before the call, and is whole. Files may be
// deleted by TruncateBefore at any moment, the oldest first.
func (l *Log) DurableFiles() []DurableFile {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := make([]DurableFile, len(l.files))
	for i, f := range l.files {
		list[i] = DurableFile{path.Join(l.opts.Dir, f.name), headerBytes + int64(f.end-f.base)}
	}
	return list
}
