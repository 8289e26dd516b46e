// Package archive is the file that weir backup writes and weir restore reads: files of a data
// folder in a tar archive (POSIX pax), compressed with zstd, that shows whether it is whole.
//
// The first entry, "weir-backup", is JSON that says what the archive is ([Info]). Entries of the
// files follow, each with its name below the data folder, size and time of modification. The last
// entry, "weir-backup-end", is JSON with how many files came before, their bytes, and the SHA-256 of
// all their names, sizes, times and contents ([end]). Or it is "weir-backup-failed", a text that says
// why there is no more. An archive without an end was cut off; nothing in it counts.
//
// A [Writer] and a [Reader] are used by one goroutine each.
package archive

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"path"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/weir-db/weir/internal/fault"
)

const (
	infoName   = "weir-backup"
	endName    = "weir-backup-end"
	failedName = "weir-backup-failed"

	format = 1

	// maxDocument bounds the entries that are not files of the folder.
	maxDocument = 1 << 20
	// maxWindow bounds the memory that an archive can make a reader take.
	maxWindow = 8 << 20
)

// Info says what an archive is.
type Info struct {
	Format  int       `json:"format"`  // of the archive; 1
	Created time.Time `json:"created"` // by the machine's clock
	Region  string    `json:"region"`  // of the server
	Account string    `json:"account"`
}

// end is the last entry. Members may be added; never reuse a name.
type end struct {
	Files  int64  `json:"files"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"` // of all files: see sum
}

// File is a file of the data folder.
type File struct {
	Name      string // slash-separated, below the data folder
	SizeBytes int64
	Modified  time.Time
}

// Totals is how much an archive holds.
type Totals struct{ Files, Bytes int64 }

// sum is the SHA-256 of files: of each, the length of its name, the name, its size and its time in ns,
// as u64 little-endian, and its content.
type sum struct {
	hash.Hash
	totals Totals
}

func (s *sum) begin(f File) {
	head := binary.LittleEndian.AppendUint64(nil, uint64(len(f.Name)))
	head = append(head, f.Name...)
	head = binary.LittleEndian.AppendUint64(head, uint64(f.SizeBytes))
	head = binary.LittleEndian.AppendUint64(head, uint64(f.Modified.UnixNano()))
	s.Write(head)
	s.totals.Files++
	s.totals.Bytes += f.SizeBytes
}

// Writer writes an archive. It ends with Finish or Fail.
type Writer struct {
	zstd *zstd.Encoder
	tar  *tar.Writer
	sum  sum
	buf  []byte
}

// NewWriter begins an archive.
func NewWriter(w io.Writer, info Info) (*Writer, error) {
	z, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20))
	if err != nil {
		return nil, err
	}
	info.Format = format
	a := &Writer{zstd: z, tar: tar.NewWriter(z), sum: sum{Hash: sha256.New()}, buf: make([]byte, 256<<10)}
	return a, a.document(infoName, info)
}

func (a *Writer) document(name string, doc any) error {
	text, err := json.Marshal(doc)
	if err != nil {
		return err
	}
	return a.text(name, text)
}

func (a *Writer) text(name string, text []byte) error {
	if err := a.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o600, Size: int64(len(text)), Format: tar.FormatPAX}); err != nil {
		return err
	}
	_, err := a.tar.Write(text)
	return err
}

// Add appends a file, whose content must have f.SizeBytes bytes.
func (a *Writer) Add(f File, content io.Reader) error {
	if !validName(f.Name) {
		return fmt.Errorf("bug: %q is not a name for a file of a backup", f.Name)
	}
	err := a.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: f.Name, Mode: 0o600, Size: f.SizeBytes, ModTime: f.Modified, Format: tar.FormatPAX})
	if err != nil {
		return err
	}
	a.sum.begin(f)
	n, err := io.CopyBuffer(onlyWriter{io.MultiWriter(a.tar, a.sum)}, io.LimitReader(content, f.SizeBytes), a.buf)
	if err == nil && n != f.SizeBytes {
		err = fmt.Errorf("%s has %d bytes, want %d: %w", f.Name, n, f.SizeBytes, io.ErrUnexpectedEOF)
	}
	return err
}

// onlyWriter hides ReadFrom, so that a copy has the buffer's size.
type onlyWriter struct{ io.Writer }

// Totals is how much was added.
func (a *Writer) Totals() Totals { return a.sum.totals }

// Finish writes the end that makes the archive whole.
func (a *Writer) Finish() error {
	err := a.document(endName, end{a.sum.totals.Files, a.sum.totals.Bytes, hex.EncodeToString(a.sum.Sum(nil))})
	return errors.Join(err, a.tar.Close(), a.zstd.Close())
}

// Fail ends an archive that will not be whole, and tells its reader why, unless a file was cut
// short: then the end of the stream must do.
func (a *Writer) Fail(why string) error {
	err := a.text(failedName, []byte(why))
	return errors.Join(err, a.tar.Close(), a.zstd.Close())
}

// Reader reads an archive. Nothing that it shows counts before Next has returned io.EOF. An archive that is
// damaged, cut off or cannot be read on is an error of kind fault.Corrupt that says after which file.
type Reader struct {
	zstd *zstd.Decoder
	tar  *tar.Reader
	sum  sum
	info Info
	rest int64 // of the file at hand, not read yet
	last string
}

// NewReader reads the beginning of an archive.
func NewReader(r io.Reader) (*Reader, error) {
	z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return nil, err
	}
	a := &Reader{zstd: z, tar: tar.NewReader(z), sum: sum{Hash: sha256.New()}}
	if err := a.begin(); err != nil {
		z.Close()
		return nil, err
	}
	return a, nil
}

func (a *Reader) begin() error {
	h, err := a.tar.Next()
	if err != nil || h.Name != infoName {
		return fault.New(fault.Corrupt, "This is no backup of weir, or less than the beginning of one.")
	}
	if err := a.parse(infoName, &a.info); err != nil {
		return err
	}
	if a.info.Format != format {
		return fault.New(fault.Invalid, "The backup has format %d; this version reads format %d.", a.info.Format, format)
	}
	return nil
}

// Info says what the archive is.
func (a *Reader) Info() Info { return a.info }

// Totals is how much was read.
func (a *Reader) Totals() Totals { return a.sum.totals }

// Next goes to the next file, past what is left of the one before. It returns io.EOF when
// all were read and the archive is whole.
func (a *Reader) Next() (File, error) {
	if _, err := io.Copy(io.Discard, a); err != nil {
		return File{}, err
	}
	h, err := a.tar.Next()
	if err != nil {
		return File{}, a.cut(err)
	}
	switch h.Name {
	case endName:
		return File{}, a.finish()
	case failedName:
		why, _ := io.ReadAll(io.LimitReader(a.tar, maxDocument))
		return File{}, fault.New(fault.Unavailable, "The server could not complete the backup: %s", why)
	}
	f := File{h.Name, h.Size, h.ModTime}
	if h.Typeflag != tar.TypeReg || !validName(h.Name) || h.Size < 0 {
		return File{}, fault.New(fault.Corrupt, "The backup is damaged: it has an entry %q, which is no file of a data folder.", h.Name)
	}
	a.sum.begin(f)
	a.rest, a.last = f.SizeBytes, f.Name
	return f, nil
}

// Read reads the content of the file at hand.
func (a *Reader) Read(p []byte) (int, error) {
	if a.rest == 0 {
		return 0, io.EOF
	}
	n, err := a.tar.Read(p[:min(int64(len(p)), a.rest)])
	a.sum.Write(p[:n])
	if a.rest -= int64(n); a.rest == 0 {
		return n, nil
	}
	if err != nil {
		err = a.cut(err)
	}
	return n, err
}

// cut says that the archive cannot be read on, and why.
func (a *Reader) cut(err error) error {
	where := "at its beginning"
	if a.last != "" {
		where = "after or in " + a.last
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fault.New(fault.Corrupt, "The backup is not whole: it was cut off %s.", where)
	}
	return fault.Wrap(fault.Corrupt, err, "The backup cannot be read %s", where)
}

func (a *Reader) parse(name string, doc any) error {
	text, err := io.ReadAll(io.LimitReader(a.tar, maxDocument))
	if err != nil {
		return a.cut(err)
	}
	return fault.Wrap(fault.Corrupt, json.Unmarshal(text, doc), "The backup is damaged: its entry %s does not parse", name)
}

func (a *Reader) finish() error {
	var e end
	if err := a.parse(endName, &e); err != nil {
		return err
	}
	got := end{a.sum.totals.Files, a.sum.totals.Bytes, hex.EncodeToString(a.sum.Sum(nil))}
	if got != e {
		return fault.New(fault.Corrupt, "The backup is damaged: it holds %d files, %d bytes and SHA-256 %s, want %d, %d and %s.",
			got.Files, got.Bytes, got.SHA256, e.Files, e.Bytes, e.SHA256)
	}
	if _, err := a.tar.Next(); err != io.EOF {
		return fault.New(fault.Corrupt, "The backup is damaged: something follows its end.")
	}
	// The checksum of the compressed stream is behind the archive's last byte.
	if _, err := io.Copy(io.Discard, a.zstd); err != nil {
		return a.cut(err)
	}
	return io.EOF
}

// Close gives back memory; it does not close what is read from.
func (a *Reader) Close() { a.zstd.Close() }

// validName reports whether name can be a file below a folder, and nowhere else.
func validName(name string) bool {
	return fs.ValidPath(name) && name != "." && path.Clean(name) == name
}
