package importer

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
)

// format is how a file is written.
type format uint8

const (
	formatCSV format = iota + 1
	formatParquet
	formatLine
)

var formatNames = map[string]format{"csv": formatCSV, "parquet": formatParquet, "line": formatLine}

// source is one file to import.
type source struct {
	name    string // as found, for messages and the state
	format  format
	size    int64
	columns []column // of CSV that UNLOAD wrote; nil: the file says it
	parts   []column // in the path
	cells   []cell   // their values
	unload  bool
	want    int64 // rows, by the manifest; -1: not known
}

// discover lists the files that paths name: themselves, what the manifests of UNLOAD below
// a folder list, or, where there is none, the data files below it. ignored counts files
// below folders that were left out.
func discover(paths []string, forced format) (list []*source, ignored []string, err error) {
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, nil, err
		}
		if !info.IsDir() {
			f, err := fileSource(path, info.Size(), forced)
			if err != nil {
				return nil, nil, err
			}
			list = append(list, f)
			continue
		}
		files, left, err := folder(path, forced)
		if err != nil {
			return nil, nil, err
		}
		list, ignored = append(list, files...), append(ignored, left...)
	}
	seen := map[string]bool{}
	for _, f := range list {
		if abs, err := filepath.Abs(f.name); err == nil && seen[abs] {
			return nil, nil, fmt.Errorf("%s is named twice", f.name)
		} else if seen[abs] = true; err != nil {
			return nil, nil, err
		}
	}
	return list, ignored, nil
}

func folder(dir string, forced format) (list []*source, ignored []string, err error) {
	var manifests, files []string
	err = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		switch base := filepath.Base(name); {
		case err != nil:
			return err
		case name != dir && (base[0] == '.' || base[0] == '_'): // also Spark's _SUCCESS
			if d.IsDir() {
				return fs.SkipDir
			}
		case d.IsDir(), isState(base), strings.HasSuffix(base, "_metadata.json"):
		case strings.HasSuffix(base, "_manifest.json"):
			manifests = append(manifests, name)
		default:
			files = append(files, name)
		}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	for _, m := range manifests {
		found, err := readManifest(m)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", m, err)
		}
		list = append(list, found...)
	}
	listed := map[string]bool{}
	for _, f := range list {
		listed[f.name] = true
	}
	for _, name := range files {
		if listed[name] {
			continue
		}
		if len(manifests) > 0 {
			ignored = append(ignored, name)
			continue
		}
		f, err := folderFile(dir, name, forced)
		if err != nil {
			return nil, nil, err
		}
		if f == nil {
			ignored = append(ignored, name)
			continue
		}
		list = append(list, f)
	}
	if len(list) == 0 && len(manifests) == 0 {
		return nil, nil, fmt.Errorf("%s holds no file that ends in .csv, .tsv, .parquet, .lp or .line (also .gz), and no manifest of UNLOAD", dir)
	}
	return list, ignored, nil
}

// folderFile is a file below a folder, with the columns in its path; nil if its name does not
// say that it is data.
func folderFile(dir, name string, forced format) (*source, error) {
	if forced == 0 && formatOf(name) == 0 && !strings.HasSuffix(name, ".gz") {
		return nil, nil
	}
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	f, err := fileSource(name, info.Size(), forced)
	if err != nil {
		return nil, err
	}
	rel, err := filepath.Rel(dir, name)
	if err == nil {
		f.parts, f.cells = partitionsOf(filepath.ToSlash(rel))
	}
	return f, err
}

func formatOf(name string) format {
	switch filepath.Ext(strings.TrimSuffix(strings.ToLower(name), ".gz")) {
	case ".csv", ".tsv":
		return formatCSV
	case ".parquet", ".pq":
		return formatParquet
	case ".lp", ".line", ".influx":
		return formatLine
	}
	return 0
}

// fileSource looks at a file's first bytes, then at its name.
func fileSource(name string, size int64, forced format) (*source, error) {
	s := &source{name: name, size: size, format: forced, want: -1}
	if forced != 0 {
		return s, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var magic [4]byte
	_, _ = io.ReadFull(f, magic[:])
	if s.format = formatOf(name); string(magic[:]) == "PAR1" {
		s.format = formatParquet
	}
	if s.format == 0 && strings.HasSuffix(strings.ToLower(name), ".gz") {
		s.format = formatCSV // how UNLOAD and others name it
	}
	if s.format == 0 {
		return nil, fmt.Errorf("%s: its name does not say what it is; give --format csv, parquet or line", name)
	}
	return s, nil
}

// partitionsOf reads the folders name=value of a path (Hive's layout).
func partitionsOf(path string) (names []column, cells []cell) {
	parts := strings.Split(path, "/")
	for _, part := range parts[:len(parts)-1] {
		name, value, ok := strings.Cut(part, "=")
		if !ok || name == "" {
			continue
		}
		names = append(names, column{name: unescapePath(name), partition: true})
		cells = append(cells, cell{unescapePath(value), value == "" || value == "__HIVE_DEFAULT_PARTITION__"})
	}
	return names, cells
}

func unescapePath(text string) string {
	if plain, err := url.PathUnescape(text); err == nil {
		return plain
	}
	return text
}

// manifest and metadata are what UNLOAD writes next to its results (api.md, section 14.4).
type manifest struct {
	Files []struct {
		URL      string `json:"url"`
		Metadata struct {
			Bytes int64 `json:"content_length_in_bytes"`
			Rows  int64 `json:"row_count"`
		} `json:"file_metadata"`
	} `json:"result_files"`
	Query struct {
		Rows   int64  `json:"total_row_count"`
		Format string `json:"result_format"`
	} `json:"query_metadata"`
}

type metadata struct {
	ColumnInfo []struct {
		Name string
		Type struct{ ScalarType string }
	}
}

// readManifest lists the files of one UNLOAD. They are looked for below the manifest's folder, where
// the bucket's layout was kept, or right in it.
func readManifest(name string) ([]*source, error) {
	var m manifest
	if err := readJSON(name, &m); err != nil {
		return nil, err
	}
	f := formatNames[strings.ToLower(m.Query.Format)]
	if f == 0 || f == formatLine {
		return nil, fmt.Errorf("result_format is %q, want CSV or PARQUET: is this a manifest of UNLOAD?", m.Query.Format)
	}
	columns, err := readMetadata(strings.TrimSuffix(name, "_manifest.json") + "_metadata.json")
	if err != nil {
		return nil, err
	}
	var list []*source
	total := int64(0)
	for _, r := range m.Files {
		s, err := resultFile(filepath.Dir(name), r.URL)
		if err != nil {
			return nil, err
		}
		if s.size != r.Metadata.Bytes {
			return nil, fmt.Errorf("%s has %d bytes, the manifest says %d: copy it again", s.name, s.size, r.Metadata.Bytes)
		}
		s.format, s.want, s.unload = f, r.Metadata.Rows, true
		total += s.want
		if err := s.describe(columns); err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	if total != m.Query.Rows {
		return nil, fmt.Errorf("the files have %d rows, total_row_count is %d", total, m.Query.Rows)
	}
	return list, nil
}

func readJSON(name string, v any) error {
	text, err := os.ReadFile(name)
	if err == nil {
		err = json.Unmarshal(text, v)
	}
	return err
}

func readMetadata(name string) ([]column, error) {
	var m metadata
	if err := readJSON(name, &m); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%s is missing; it says what the columns are: copy it too", filepath.Base(name))
		}
		return nil, fmt.Errorf("%s: %w", filepath.Base(name), err)
	}
	var cols []column
	for _, c := range m.ColumnInfo {
		k := kindNames[strings.ToLower(c.Type.ScalarType)]
		switch {
		case c.Type.ScalarType == "DATE":
			k = timestamp
		case strings.HasPrefix(c.Type.ScalarType, "INTERVAL"):
			k = varchar
		case k == unknown:
			k = nested
		}
		cols = append(cols, column{name: c.Name, kind: k})
	}
	return cols, nil
}

// resultFile finds the local copy of an object that a manifest lists.
func resultFile(dir, object string) (*source, error) {
	_, key, _ := strings.Cut(strings.TrimPrefix(object, "s3://"), "/")
	candidates := []string{}
	for rest := "/" + key; ; {
		i := strings.Index(rest, "/results/")
		if i < 0 {
			break
		}
		candidates = append(candidates, rest[i+1:])
		rest = rest[i+len("/results"):]
	}
	parts := strings.Split(key, "/")
	candidates = append(candidates, parts[len(parts)-1])
	for _, c := range candidates {
		if !filepath.IsLocal(filepath.FromSlash(c)) {
			continue
		}
		// Tools that copy buckets may keep the escapes of a partition's value, or undo them.
		for _, local := range []string{c, unescapePath(c)} {
			name := filepath.Join(dir, filepath.FromSlash(local))
			if info, err := os.Stat(name); err == nil && info.Mode().IsRegular() {
				s := &source{name: name, size: info.Size()}
				s.parts, s.cells = partitionsOf(c)
				return s, nil
			}
		}
	}
	return nil, fmt.Errorf("lists %s, which is not below %s: copy the whole folder of the UNLOAD", object, dir)
}

// describe gives a file the columns of the metadata; those in its path take their type from there.
func (s *source) describe(columns []column) error {
	s.columns = nil
	inPath := map[string]int{}
	for i, p := range s.parts {
		inPath[p.name] = i
	}
	for _, c := range columns {
		i, ok := inPath[c.name]
		if !ok {
			s.columns = append(s.columns, c)
			continue
		}
		s.parts[i].kind = c.kind
		delete(inPath, c.name)
	}
	for name := range inPath {
		return fmt.Errorf("%s: the folder %s=… is no column of the metadata", s.name, name)
	}
	if len(s.columns) == 0 {
		return fmt.Errorf("%s: the metadata names no columns", s.name)
	}
	return nil
}

// openRows opens a table from its start; done grows to the file's size.
func (s *source) openRows(d csvDialect, names []column, done *atomic.Int64) (rows, error) {
	r, err := s.openTable(d, names, done)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.name, err)
	}
	if len(s.parts) > 0 {
		r = &partitioned{rows: r, names: s.parts, cells: s.cells}
	}
	return r, nil
}

func (s *source) openTable(d csvDialect, names []column, done *atomic.Int64) (rows, error) {
	if s.format == formatParquet {
		f, err := os.Open(s.name)
		if err != nil {
			return nil, err
		}
		r, err := openParquet(f, s.size, done)
		if err != nil {
			f.Close()
			return nil, err
		}
		return r, nil
	}
	in, closer, err := s.openText(done)
	if err != nil {
		return nil, err
	}
	if s.unload {
		names = s.columns
	}
	r, err := newCSVRows(in, closer, d, slices.Clone(names))
	if err != nil {
		_ = closer()
		return nil, err
	}
	return r, nil
}

// openText opens a text, compressed with gzip or not, whatever its name says.
func (s *source) openText(done *atomic.Int64) (io.Reader, func() error, error) {
	f, err := os.Open(s.name)
	if err != nil {
		return nil, nil, err
	}
	in := bufio.NewReaderSize(&meter{f, done}, 256<<10)
	if magic, _ := in.Peek(2); string(magic) != "\x1f\x8b" {
		return in, f.Close, nil
	}
	z, err := gzip.NewReader(in)
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return z, f.Close, nil
}
