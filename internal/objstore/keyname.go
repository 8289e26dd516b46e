package objstore

import (
	"strings"
	"unicode/utf8"
)

// Keys of objects become names of files so that a person finds them: the key a/b.csv is the
// file b.csv in the folder a. What a file system cannot hold is written with a percent
// sign, which no plain name has:
//
//	%XX   a byte: controls, backslash, percent, a dot that begins a name
//	%     alone: an empty segment, as in a//b and a/
//	x%+   a folder: the first part of a segment that is too long; the rest is inside
//	x%f   a file whose plain name is a folder: both a and a/b are keys
//
// Names that begin with a dot are this package's own. The names of a folder, decoded, a
// folder's with a slash behind, sort as the keys do, which lets List page through a bucket
// without reading it all.
const (
	emptyName = "%"
	continued = "%+"
	besideDir = "%f"

	// maxName bounds the escaped bytes of a segment in one name; with what is put around it
	// (".", ".meta") a name stays below 255 bytes.
	maxName = 200
)

// MaxKeyBytes is the longest key (S3 user guide, "Naming objects").
const MaxKeyBytes = 1024

// validKey reports whether a key can be stored.
func validKey(key string) bool {
	return key != "" && len(key) <= MaxKeyBytes && utf8.ValidString(key) && !strings.ContainsRune(key, 0)
}

// names returns the folders and, last, the file of a key.
func names(key string) []string {
	var out []string
	for seg := range strings.SplitSeq(key, "/") {
		out = appendSegment(out, seg)
	}
	return out
}

func appendSegment(out []string, seg string) []string {
	if seg == "" {
		return append(out, emptyName)
	}
	name := make([]byte, 0, len(seg)+8)
	for i, r := range seg {
		for k := range utf8.RuneLen(r) {
			name = appendEscaped(name, seg[i+k], len(name) == 0)
		}
		// Whatever the next character is, it might not fit. Cutting here makes all segments with
		// these first characters meet in one folder, even one that ends here.
		if len(name) > maxName-utf8.UTFMax {
			return appendSegment(append(out, string(name)+continued), seg[i+utf8.RuneLen(r):])
		}
	}
	return append(out, string(name))
}

const upperHex = "0123456789ABCDEF"

func appendEscaped(dst []byte, c byte, first bool) []byte {
	if c < 0x20 || c == 0x7f || c == '%' || c == '\\' || c == '.' && first {
		return append(dst, '%', upperHex[c>>4], upperHex[c&15])
	}
	return append(dst, c)
}

// plain returns the text that a file's or folder's name stands for, and whether a folder's
// segment goes on inside it. ok is false for names that this package did not write.
func plain(name string) (text string, goesOn, ok bool) {
	if strings.HasPrefix(name, ".") {
		return "", false, false
	}
	name, goesOn = strings.CutSuffix(name, continued)
	if !goesOn {
		name = strings.TrimSuffix(name, besideDir)
	}
	if name == emptyName {
		return "", false, true
	}
	if !strings.Contains(name, "%") {
		return name, goesOn, name != ""
	}
	out := make([]byte, 0, len(name))
	for i := 0; i < len(name); i++ {
		if name[i] != '%' {
			out = append(out, name[i])
			continue
		}
		if i+2 >= len(name) {
			return "", false, false
		}
		hi, lo := strings.IndexByte(upperHex, name[i+1]), strings.IndexByte(upperHex, name[i+2])
		if hi < 0 || lo < 0 {
			return "", false, false
		}
		out = append(out, byte(hi<<4|lo))
		i += 2
	}
	return string(out), goesOn, true
}
