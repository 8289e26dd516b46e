package importer

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/weir-db/weir/internal/objstore/s3client"
	"github.com/weir-db/weir/internal/unloadfiles"
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
	file
	tree    tree
	format  format
	window  *window  // of a table of another endpoint; nil: a file
	columns []column // of CSV that UNLOAD wrote, and of windows; nil: the file says it
	parts   []column // in the path
	cells   []cell   // their values
	unload  bool
	want    int64 // rows, by the manifest; -1: not known
}

// discover lists the files that paths name: themselves, what the manifests of UNLOAD below
// a folder list, or, where there is none, the data files below it. ignored counts files
// below folders that were left out.
func (r *run) discover(ctx context.Context, forced format) (list []*source, ignored []string, err error) {
	for _, path := range r.o.Paths {
		in, err := r.o.treeOf(ctx, path)
		if err != nil {
			return nil, nil, err
		}
		found, below, isFolder, err := in.find(path)
		if err != nil {
			return nil, nil, err
		}
		if !isFolder {
			f, err := fileSource(in, found, forced)
			if err != nil {
				return nil, nil, err
			}
			list = append(list, f)
			continue
		}
		d := &folder{tree: in, name: path, forced: forced, byName: map[string]file{}}
		files, left, err := d.sources(below)
		if err != nil {
			return nil, nil, err
		}
		list, ignored = append(list, files...), append(ignored, left...)
		if d.exported && len(r.o.Columns.Dimensions)+len(r.o.Columns.Measures)+len(r.o.Columns.Skip) == 0 && len(r.o.Paths) == 1 {
			r.o.Columns.Dimensions = d.dimensions
		}
	}
	seen := map[string]bool{}
	for _, f := range list {
		if id, err := f.identity(); err == nil && seen[id] {
			return nil, nil, fmt.Errorf("%s is named twice", f.name)
		} else if seen[id] = true; err != nil {
			return nil, nil, err
		}
	}
	return list, ignored, nil
}

// folder is a folder of files, or the objects of a bucket whose keys begin alike.
type folder struct {
	tree   tree
	name   string
	forced format
	byName map[string]file

	exported   bool     // the folder is an export of weir
	dimensions []string // of the table that it was made of
}

// readRoles reads what an export says of the columns.
func (d *folder) readRoles(f file) error {
	var export struct {
		Complete bool
		Columns  []struct{ Name, Role string }
	}
	if err := d.readJSON(f, &export); err != nil {
		return err
	}
	if !export.Complete {
		return errors.New("the export has not ended: run it again to its end")
	}
	for _, c := range export.Columns {
		if c.Role == "DIMENSION" {
			d.dimensions = append(d.dimensions, c.Name)
		}
	}
	d.exported = true
	return nil
}

func (d *folder) sources(below []file) (list []*source, ignored []string, err error) {
	var manifests, files []file
	for _, f := range below {
		d.byName[f.name] = f
		rel := d.tree.rel(d.name, f.name)
		base := rel[strings.LastIndexByte(rel, '/')+1:]
		switch {
		case slices.ContainsFunc(strings.Split(rel, "/"), isHidden): // also Spark's _SUCCESS
		case isState(base), base == TableFile, unloadfiles.IsMetadata(base):
		case unloadfiles.IsManifest(base):
			manifests = append(manifests, f)
		default:
			files = append(files, f)
		}
	}
	if f, ok := d.byName[d.tree.join(d.name, TableFile)]; ok {
		if err := d.readRoles(f); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", f.name, err)
		}
	}
	for _, m := range manifests {
		found, err := d.readManifest(m)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", m.name, err)
		}
		list = append(list, found...)
	}
	listed := map[string]bool{}
	for _, f := range list {
		listed[f.name] = true
	}
	for _, f := range files {
		if listed[f.name] {
			continue
		}
		if len(manifests) > 0 {
			ignored = append(ignored, f.name)
			continue
		}
		s, err := d.fileSource(f)
		if err != nil {
			return nil, nil, err
		}
		if s == nil {
			ignored = append(ignored, f.name)
			continue
		}
		list = append(list, s)
	}
	if len(list) == 0 && len(manifests) == 0 {
		return nil, nil, fmt.Errorf("%s holds no file that ends in .csv, .tsv, .parquet, .lp or .line (also .gz), and no manifest of UNLOAD", d.name)
	}
	return list, ignored, nil
}

func isHidden(name string) bool { return name != "" && (name[0] == '.' || name[0] == '_') }

// fileSource is a file below a folder, with the columns in its path; nil if its name does not
// say that it is data.
func (d *folder) fileSource(f file) (*source, error) {
	if d.forced == 0 && formatOf(f.name) == 0 && !strings.HasSuffix(f.name, ".gz") {
		return nil, nil
	}
	s, err := fileSource(d.tree, f, d.forced)
	if err != nil {
		return nil, err
	}
	s.parts, s.cells = partitionsOf(d.tree.rel(d.name, f.name))
	return s, nil
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
func fileSource(in tree, f file, forced format) (*source, error) {
	s := &source{file: f, tree: in, format: forced, want: -1}
	if forced != 0 {
		return s, nil
	}
	c, err := in.open(f)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	var magic [4]byte
	_, _ = io.ReadFull(c, magic[:])
	if s.format = formatOf(f.name); string(magic[:]) == "PAR1" {
		s.format = formatParquet
	}
	if s.format == 0 && strings.HasSuffix(strings.ToLower(f.name), ".gz") {
		s.format = formatCSV // how UNLOAD and others name it
	}
	if s.format == 0 {
		return nil, fmt.Errorf("%s: its name does not say what it is; give --format csv, parquet or line", f.name)
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

// readManifest lists the files of one UNLOAD. They are looked for below the manifest's folder, where
// the bucket's layout was kept, or right in it.
func (d *folder) readManifest(at file) ([]*source, error) {
	var m unloadfiles.Manifest
	if err := d.readJSON(at, &m); err != nil {
		return nil, err
	}
	f := formatNames[strings.ToLower(m.QueryMetadata.Format)]
	if f == 0 || f == formatLine {
		return nil, fmt.Errorf("result_format is %q, want CSV or PARQUET: is this a manifest of UNLOAD?", m.QueryMetadata.Format)
	}
	columns, err := d.readMetadata(unloadfiles.MetadataOf(at.name))
	if err != nil {
		return nil, err
	}
	rel := d.tree.rel(d.name, at.name)
	below := d.tree.join(d.name, rel[:strings.LastIndexByte(rel, '/')+1])
	var list []*source
	if err := m.Check(); err != nil {
		return nil, err
	}
	for _, r := range m.ResultFiles {
		s, err := d.resultFile(below, r.URL)
		if err != nil {
			return nil, err
		}
		if s.size != r.Metadata.Bytes {
			return nil, fmt.Errorf("%s has %d bytes, the manifest says %d: copy it again", s.name, s.size, r.Metadata.Bytes)
		}
		s.format, s.want, s.unload = f, r.Metadata.Rows, true
		if err := s.describe(columns); err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, nil
}

func (d *folder) readJSON(f file, v any) error {
	c, err := d.tree.open(f)
	if err != nil {
		return err
	}
	defer c.Close()
	return json.NewDecoder(c).Decode(v)
}

func (d *folder) readMetadata(name string) ([]column, error) {
	var m unloadfiles.Metadata
	base := name[strings.LastIndexAny(name, `/\`)+1:]
	f, ok := d.byName[name]
	if !ok {
		return nil, fmt.Errorf("%s is missing; it says what the columns are: copy it too", base)
	}
	if err := d.readJSON(f, &m); err != nil {
		return nil, fmt.Errorf("%s: %w", base, err)
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

// resultFile finds the copy of an object that a manifest lists, below the manifest's folder.
func (d *folder) resultFile(below, object string) (*source, error) {
	_, key := s3client.SplitURI(object)
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
			if f, ok := d.byName[d.tree.join(below, local)]; ok {
				s := &source{file: f, tree: d.tree}
				s.parts, s.cells = partitionsOf(c)
				return s, nil
			}
		}
	}
	return nil, fmt.Errorf("lists %s, which is not below %s: copy the whole folder of the UNLOAD", object, below)
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
		f, err := s.tree.open(s.file)
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
	f, err := s.tree.open(s.file)
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
