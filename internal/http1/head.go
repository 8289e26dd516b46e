package http1

import (
	"bytes"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
)

// plainLine is the request line of every plain request.
const plainLine = "POST / HTTP/1.1\r\n"

// maxHeaders bounds the headers of a plain request.
const maxHeaders = 64

// name is a header's name as it was sent and as net/http writes it.
type name struct{ sent, canonical string }

// mayBePlain reports whether more bytes can make head, which has no end yet, that of a plain request.
func mayBePlain(head []byte) bool {
	n := min(len(head), len(plainLine))
	if string(head[:n]) != plainLine[:n] {
		return false
	}
	// net/http takes lines that end without a carriage return, and then this head may be whole.
	for i := bytes.IndexByte(head, '\n'); i >= 0; {
		if i == 0 || head[i-1] != '\r' {
			return false
		}
		next := bytes.IndexByte(head[i+1:], '\n')
		if next < 0 {
			break
		}
		i += 1 + next
	}
	return true
}

// fields are what the head of a plain request says.
type fields struct {
	host   string
	header http.Header
	length int64 // of the body
}

// parse reads a whole head and reports whether it is plain. Its strings share one copy of the head.
func (c *conn) parse(head []byte, f *fields) bool {
	if !bytes.HasPrefix(head, []byte(plainLine)) {
		return false
	}
	text := string(head[len(plainLine) : len(head)-len("\r\n")])
	lines := strings.Count(text, "\n")
	if lines > maxHeaders {
		return false
	}
	f.header = make(http.Header, lines)
	values := make([]string, lines) // of all headers, in one piece
	for i := range lines {
		line, rest, ok := strings.Cut(text, "\r\n")
		text = rest
		sent, value, colon := strings.Cut(line, ":")
		key := c.canonical(i, sent)
		value = strings.Trim(value, " \t")
		if !ok || !colon || key == "" || !validValue(value) {
			return false
		}
		switch key {
		case "Host":
			if f.host != "" || value == "" || !validHost(value) {
				return false
			}
			f.host = value
			continue
		case "Content-Length":
			n, ok := length(value)
			if !ok || f.header[key] != nil {
				return false
			}
			f.length = n
		case "Connection":
			if !strings.EqualFold(value, "keep-alive") {
				return false
			}
		case "Transfer-Encoding", "Expect", "Upgrade", "Trailer", "Te", "Pragma":
			return false
		}
		if f.header[key] != nil {
			f.header[key] = append(f.header[key], value)
			continue
		}
		values[i] = value
		f.header[key] = values[i : i+1 : i+1]
	}
	return f.host != ""
}

// canonical returns the canonical name of the i-th header, or "" if it is no name. Clients send the same ones again.
func (c *conn) canonical(i int, sent string) string {
	if i < len(c.names) && c.names[i].sent == sent {
		return c.names[i].canonical
	}
	if sent == "" {
		return ""
	}
	for j := range len(sent) {
		if !tokens[sent[j]] {
			return ""
		}
	}
	n := name{sent: strings.Clone(sent)}
	n.canonical = textproto.CanonicalMIMEHeaderKey(n.sent)
	if i < len(c.names) {
		c.names[i] = n
	} else if i == len(c.names) {
		c.names = append(c.names, n)
	}
	return n.canonical
}

// length reads a Content-Length, digits alone.
func length(s string) (int64, bool) {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

// tokens are the bytes of a name (RFC 9110, section 5.6.2); hosts those of a host and port that nobody doubts.
var tokens, hosts = func() (t, h [256]bool) {
	for b := byte('0'); b <= 'z'; b++ {
		if b <= '9' || b >= 'a' || b >= 'A' && b <= 'Z' {
			t[b], h[b] = true, true
		}
	}
	for _, b := range []byte("!#$%&'*+-.^_`|~") {
		t[b] = true
	}
	for _, b := range []byte(".-_:[]") {
		h[b] = true
	}
	return t, h
}()

func validHost(s string) bool {
	for i := range len(s) {
		if !hosts[s[i]] {
			return false
		}
	}
	return true
}

// validValue reports whether a header's value is of printable ASCII and tabs. net/http takes more, and gets it.
func validValue(s string) bool {
	for i := range len(s) {
		if b := s[i]; (b < ' ' && b != '\t') || b > '~' {
			return false
		}
	}
	return true
}
