package mqtt

import (
	"context"
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/weir-db/weir/internal/iotrule"
)

// FuzzConnection sends bytes after a good CONNECT and without one. The broker must
// outlive them, and so must another client's session.
func FuzzConnection(f *testing.F) {
	connect := func(version byte, id string) []byte {
		b := []byte{0x10, 0, 0, 4, 'M', 'Q', 'T', 'T', version, 2, 0, 60}
		if version == 5 {
			b = append(b, 0)
		}
		b = append(b, 0, byte(len(id)))
		b = append(b, id...)
		b[1] = byte(len(b) - 2)
		return b
	}
	f.Add(byte(4), []byte{0x32, 6, 0, 1, 'a', 0, 7, 'x', 0xc0, 0, 0xe0, 0})
	f.Add(byte(5), []byte{0x32, 7, 0, 1, 'a', 0, 7, 0, 'x', 0x82, 7, 0, 9, 0, 0, 1, '#', 0})
	f.Add(byte(5), []byte{0x82, 6, 0, 9, 0, 0, 1, 'a'})
	f.Add(byte(0), []byte("GET / HTTP/1.1\r\n\r\n"))
	f.Add(byte(5), []byte{0x30, 8, 0, 0, 3, 0x23, 0, 1, 'x', 'y'})
	b, err := New(Options{OnMessage: func(context.Context, *iotrule.Message) error { return nil }})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { b.Close(context.Background()) })
	f.Fuzz(func(t *testing.T, version byte, data []byte) {
		if version > 3 {
			data = append(connect(version, "fuzz"), data...)
		}
		theirs, ours := net.Pipe()
		_ = theirs.SetDeadline(time.Now().Add(10 * time.Second))
		b.accept(ours)
		go io.Copy(io.Discard, theirs)
		_, _ = theirs.Write(data)
		theirs.Close()
		for deadline := time.Now().Add(10 * time.Second); b.open.Load() > 0; runtime.Gosched() {
			if time.Now().After(deadline) {
				t.Fatal("the connection never ends")
			}
		}
		if _, there := b.server.Clients.Get("fuzz"); there && version != 5 {
			t.Fatal("a clean session outlives its connection")
		}
	})
}
