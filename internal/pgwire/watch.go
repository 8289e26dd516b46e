package pgwire

import (
	"context"
	"net"
	"time"

	"github.com/weir-db/weir/internal/fault"
)

// lookEvery is how often it is looked whether the client of a query that runs is still there.
const lookEvery = 250 * time.Millisecond

var errGone = fault.New(fault.Cancelled, "The client closed the connection.")

// watch cancels when the client closes its connection; stop ends that.
func (c *session) watch(cancel context.CancelCauseFunc) (stop func()) {
	tcp, ok := c.raw.(*net.TCPConn)
	if !ok {
		return func() {}
	}
	socket, err := tcp.SyscallConn()
	if err != nil {
		return func() {}
	}
	done := make(chan struct{})
	var look func()
	look = func() {
		select {
		case <-done:
			return
		default:
		}
		gone := false
		if err := socket.Control(func(fd uintptr) { gone = hasEnded(fd) }); err != nil || gone {
			cancel(errGone)
			return
		}
		time.AfterFunc(lookEvery, look)
	}
	first := time.AfterFunc(lookEvery, look)
	return func() {
		first.Stop()
		close(done)
	}
}
