package importer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/weir-db/weir/internal/objstore/s3client"
)

const stateSuffix = ".weir-import.json"

func isState(base string) bool {
	return strings.HasSuffix(base, stateSuffix) || strings.HasSuffix(base, stateSuffix+".new")
}

// TableFile is what an export keeps its settings and those of the table in, beside its results.
const TableFile = "weir-export.json"

// statePath is where the state of an import of paths is kept by default: next to the first, or, if that is not
// on the disk, in the working folder.
func (o *Options) statePath() string {
	if o.Remote != nil {
		return o.Remote.Database + "." + o.Remote.Table + stateSuffix
	}
	paths := o.Paths
	if isObject(paths[0]) {
		bucket, key := s3client.SplitURI(strings.TrimSuffix(paths[0], "/"))
		return strings.ReplaceAll(bucket+"/"+key, "/", "_") + stateSuffix
	}
	first := filepath.Clean(paths[0])
	if info, err := os.Stat(first); err == nil && info.IsDir() {
		return filepath.Join(first, "state"+stateSuffix)
	}
	return first + stateSuffix
}

// state is how far an import got. It is written after the server has acknowledged
// what it counts, so that what follows it may be sent again but nothing is left out; a record that is
// sent again is the same record to the server.
type state struct {
	Version int
	Into    string // endpoint and table
	How     string // what changes the records that a row becomes
	Files   map[string]*fileState
	Windows []window `json:",omitempty"` // of a table of another endpoint
}

// fileState counts the rows at the start of a file that are done.
type fileState struct {
	Bytes    int64 // of the file, to see that it is the same
	Modified int64 // ns since 1970
	Rows     int64
	Ingested int64
	Rejected int64
	Done     bool
}

// loadState reads the state of an earlier run of the same import; one without anything if there
// is none.
func loadState(name, into, how string, restart bool) (*state, error) {
	fresh := &state{Version: 1, Into: into, How: how, Files: map[string]*fileState{}}
	if restart {
		return fresh, nil
	}
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return fresh, nil
	}
	if err != nil {
		return nil, err
	}
	var s state
	switch err := json.Unmarshal(text, &s); {
	case err != nil || s.Version != 1 || s.Files == nil:
		return nil, fmt.Errorf("%s is no state of an import that this version can read; --restart begins anew", name)
	case s.Into != into:
		return nil, fmt.Errorf("%s is of an import into %s, which did not end; --restart begins anew, --state FILE keeps this one's elsewhere", name, s.Into)
	case s.How != how:
		return nil, fmt.Errorf("%s is of an import with other flags, which did not end; run it with the same ones to go on, or --restart begins anew", name)
	}
	return &s, nil
}

// file returns what is known of a file, which must be the one that was begun.
func (s *state) file(name string, now file) (*fileState, error) {
	f := s.Files[name]
	if f == nil {
		f = &fileState{Bytes: now.size, Modified: now.modified}
		s.Files[name] = f
	}
	if f.Bytes != now.size || f.Modified != now.modified {
		return nil, fmt.Errorf("%s has changed since its import began; --restart begins anew", name)
	}
	return f, nil
}

// save replaces the file as a whole; a crash leaves the old or the new one.
func (s *state) save(name string) error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.OpenFile(name+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("keep the state of the import (--state FILE puts it elsewhere): %w", err)
	}
	_, err = f.Write(append(text, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(name+".new", name)
	}
	if err != nil {
		return fmt.Errorf("keep the state of the import (--state FILE puts it elsewhere): %w", err)
	}
	return nil
}
