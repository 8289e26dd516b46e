package mqtt

import (
	"encoding/binary"
	"fmt"
	"runtime/debug"
	"sync"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// maxAhead bounds the messages of one connection that are being stored at once.
const maxAhead = 64

// ahead stores the messages of one connection side by side, so that they share commits, though the
// library takes up its packets one after the other.
//
// It looks at the bytes that each Read gives to the library. If several PUBLISH are whole with
// them, it starts Options.OnMessage for each, and [hook.OnPublish], when the library comes to a message, waits for
// what was begun. So acknowledgements and deliveries keep their order. Messages of one topic are stored one after
// the other in their order (MQTT 5 §4.6 promises order within a topic), and none after one that failed.
//
// The library reads only when it has dealt with all packets before, so nothing is ever begun past
// what one Read gave, and a client that sends faster than the server stores is held up by its socket.
// A packet that is not a plain message ends what a Read begins: what follows may depend on it. If the connection ends,
// what was begun is stored and not acknowledged, and the client sends it again.
//
// Only the connection's reader calls its methods.
type ahead struct {
	hook  *hook
	off   bool // for good: the input is malformed or uses topic aliases
	part  []byte
	queue []*begun // of the PUBLISH that the library has yet to come to; nil: not begun
	now   *begun   // of the PUBLISH that it is at
	tasks sync.WaitGroup
}

// begun is a message that is being stored.
type begun struct {
	pk   packets.Packet
	done chan struct{}
	err  error // once done is closed
}

// see looks at what was read.
func (a *ahead) see(c *conn, p []byte) {
	if a.off || len(p) == 0 {
		return
	}
	input := p
	if len(a.part) > 0 {
		a.part = append(a.part, p...)
		input = a.part
	}
	var messages []*begun
	plain := c.version != 0
	for {
		size, whole := a.frame(input)
		if a.off || !whole {
			break
		}
		packet := input[:size]
		input = input[size:]
		kind := packet[0] >> 4
		plain = plain && (kind == packets.Publish || kind == packets.Puback || kind == packets.Pingreq)
		if kind != packets.Publish {
			continue
		}
		var m *begun
		if plain && len(messages) < maxAhead {
			m = a.decode(c, packet)
		}
		plain = m != nil
		if plain {
			messages = append(messages, m)
		}
		a.queue = append(a.queue, m)
	}
	switch {
	case a.off, len(input) == 0:
		a.part = nil
	case len(input) != len(a.part): // else nothing of it was whole
		a.part = append([]byte(nil), input...)
	}
	if len(messages) > 1 {
		a.begin(c, messages)
	} else {
		for i := range a.queue {
			a.queue[i] = nil // alone, it is stored when the library comes to it
		}
	}
}

// frame returns the size of the first packet of input.
func (a *ahead) frame(input []byte) (size int, whole bool) {
	if len(input) < 2 {
		return 0, false
	}
	remaining, n := binary.Uvarint(input[1:min(5, len(input))]) // MQTT's lengths are of this kind, in at most 4 bytes
	if n <= 0 {
		a.off = n < 0 || len(input) >= 5
		return 0, false
	}
	if remaining > uint64(a.hook.b.opt.Limits.PacketBytes) {
		a.off = true // the library ends the connection
		return 0, false
	}
	size = 1 + n + int(remaining)
	return size, len(input) >= size
}

// decode returns the message of a PUBLISH that may be stored now; nil if that is for the
// library to find out when it comes to it.
func (a *ahead) decode(c *conn, packet []byte) *begun {
	m := &begun{pk: packets.Packet{ProtocolVersion: c.version}}
	if m.pk.FixedHeader.Decode(packet[0]) != nil {
		return nil
	}
	remaining, n := binary.Uvarint(packet[1:])
	m.pk.FixedHeader.Remaining = int(remaining)
	if m.pk.PublishDecode(append([]byte(nil), packet[1+n:]...)) != nil {
		return nil
	}
	if m.pk.Properties.TopicAliasFlag {
		a.off = true
		return nil
	}
	if code, _ := a.hook.checkPublish(&m.pk); code != packets.CodeSuccess || m.pk.PublishValidate(0) != packets.CodeSuccess || !mochi.IsValidFilter(m.pk.TopicName, true) {
		return nil
	}
	if !a.hook.mayPublish(c, &m.pk) {
		return nil
	}
	a.hook.clampExpiry(&m.pk)
	m.done = make(chan struct{})
	return m
}

// begin stores messages, those of one topic in their order.
func (a *ahead) begin(c *conn, messages []*begun) {
	topics := make(map[string][]*begun, len(messages))
	for _, m := range messages {
		topics[m.pk.TopicName] = append(topics[m.pk.TopicName], m)
	}
	for _, list := range topics {
		a.tasks.Go(func() {
			var err error
			for _, m := range list {
				if err == nil {
					err = a.try(c, &m.pk)
				}
				m.err = err
				close(m.done)
			}
		})
	}
}

// try stores a message. A panic loses the connection, as one in its own goroutine does.
func (a *ahead) try(c *conn, pk *packets.Packet) (err error) {
	defer func() {
		if p := recover(); p != nil {
			a.hook.b.opt.Log.Debug("bug: storing an MQTT message panicked", "err", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("bug: panic: %v", p)
		}
	}()
	return a.hook.store(c, pk)
}

// next is told of each PUBLISH that the library takes up.
func (a *ahead) next() {
	a.now = nil
	if len(a.queue) > 0 {
		a.now = a.queue[0]
		if a.queue = a.queue[1:]; len(a.queue) == 0 {
			a.queue = nil
		}
	}
}

// stored returns when the message that the library is at is stored.
func (a *ahead) stored(c *conn, pk *packets.Packet) error {
	m := a.now
	a.now = nil
	if m == nil || m.pk.TopicName != pk.TopicName || m.pk.PacketID != pk.PacketID {
		return a.hook.store(c, pk)
	}
	<-m.done
	return m.err
}
