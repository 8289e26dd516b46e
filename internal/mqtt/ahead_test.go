package mqtt_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weir-db/weir/internal/iotrule"
	"github.com/weir-db/weir/internal/mqtt"
)

// burst is n QoS 1 messages with packet ids from 1; topic and payload are made by what.
func burst(n int, what func(i int) (topic, payload string)) []byte {
	var out []byte
	for i := range n {
		topic, payload := what(i)
		out = append(out, packet(0x32, str(topic), []byte{byte((i + 1) >> 8), byte(i + 1)}, []byte(payload))...)
	}
	return out
}

func TestMessagesOfOneConnectionAreStoredSideBySide(t *testing.T) {
	t.Parallel()
	const n = 10
	var inside atomic.Int32
	all := make(chan struct{})
	_, addr := start(t, mqtt.Options{OnMessage: func(context.Context, *iotrule.Message) error {
		if inside.Add(1) == n {
			close(all)
		}
		select {
		case <-all:
			return nil
		case <-time.After(patience):
			return errors.New("alone")
		}
	}})
	c := open(t, addr, 4, "c")
	c.send(burst(n, func(i int) (string, string) { return fmt.Sprint("t/", i), "m" }))
	for i := range n {
		c.want("PUBACK", 0x40, 0, byte(i+1))
	}
}

func TestMessagesOfOneTopicAreStoredAndDeliveredInOrder(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	stored := map[string][]string{}
	_, addr := start(t, mqtt.Options{OnMessage: func(_ context.Context, m *iotrule.Message) error {
		mu.Lock()
		defer mu.Unlock()
		stored[m.Topic] = append(stored[m.Topic], string(m.Payload))
		return nil
	}})
	sub := open(t, addr, 4, "s")
	sub.send(subscribe(4, 0, "t/+"))
	sub.want("SUBACK", 0x90, 0, 9, 0)
	c := open(t, addr, 4, "c")
	const n = 600
	var all []byte
	for i := range n { // each third without a PUBACK, some larger than the reader's buffer
		payload := fmt.Sprintf("%04d", i)
		if i%50 == 0 {
			payload += strings.Repeat("x", 20_000)
		}
		qos := byte(1)
		if i%3 == 0 {
			qos = 0
		}
		all = append(all, publish(4, qos, fmt.Sprint("t/", i%5), payload)...)
	}
	go c.Write(all)
	for i := range n {
		_, body, err := sub.next()
		if want := fmt.Sprintf("%04d", i); err != nil || string(body[5:9]) != want {
			t.Fatalf("got %.20q, %v, want %s", body, err, want)
		}
	}
	for i := range n {
		if i%3 != 0 {
			c.want("PUBACK", 0x40, 0, 7)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	count := 0
	for topic, payloads := range stored {
		count += len(payloads)
		if !slices.IsSorted(payloads) {
			t.Errorf("%s: out of order", topic)
		}
	}
	if count != n {
		t.Errorf("%d messages are stored, want %d", count, n)
	}
}

func TestNoMessageOfATopicIsStoredPastOneThatFailed(t *testing.T) {
	t.Parallel()
	for _, version := range []byte{4, 5} {
		rec := &recorder{on: func(m *iotrule.Message) error {
			if string(m.Payload) == "2" {
				return errors.New("no space left")
			}
			return nil
		}}
		_, addr := start(t, mqtt.Options{OnMessage: rec.message})
		c := dial(t, addr)
		c.send(connect(version, "c"))
		if _, _, err := c.next(); err != nil {
			t.Fatal(err)
		}
		var all []byte
		for i := range 5 {
			all = append(all, publish(version, 1, "t", fmt.Sprint(i))...)
		}
		c.send(all)
		for range 2 {
			if first, _, err := c.next(); err != nil || first != 0x40 {
				t.Fatalf("got %x, %v", first, err)
			}
		}
		if version == 4 {
			c.wantClosed("the message that failed")
		} else if first, body, err := c.next(); err != nil || first != 0x40 || body[2] != 0x80 {
			t.Fatalf("got %x %x, %v", first, body, err)
		}
		if got := rec.messages(); len(got) != 3 {
			t.Errorf("MQTT %d: stored %v", version, got)
		}
	}
}

func TestMessagesThatDependOnTheOneBeforeWaitForIt(t *testing.T) {
	t.Parallel()
	rec := &recorder{}
	_, addr := start(t, mqtt.Options{OnMessage: rec.message})
	c := dial(t, addr)
	c.send(connect(5, "c"))
	if _, _, err := c.next(); err != nil {
		t.Fatal(err)
	}
	alias := func(topic, payload string) []byte {
		return packet(0x32, str(topic), []byte{0, 7, 3, 0x23, 0, 1}, []byte(payload))
	}
	c.send(slices.Concat(publish(5, 1, "a", "0"), alias("a", "1"), alias("", "2"), publish(5, 1, "a", "3"), publish(5, 1, "a", "4")))
	for range 5 {
		if first, _, err := c.next(); err != nil || first != 0x40 {
			t.Fatalf("got %x, %v", first, err)
		}
	}
	want := []string{"c a 0", "c a 1", "c a 2", "c a 3", "c a 4"}
	if got := rec.messages(); !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}

func TestWhatAConnectionBeganEndsBeforeClose(t *testing.T) {
	t.Parallel()
	entered, leave := make(chan struct{}, 100), make(chan struct{})
	var done atomic.Int32
	b, err := mqtt.New(mqtt.Options{OnMessage: func(context.Context, *iotrule.Message) error {
		entered <- struct{}{}
		<-leave
		done.Add(1)
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go b.Serve(ln)
	c := open(t, ln.Addr().String(), 4, "c")
	c.send(burst(5, func(i int) (string, string) { return fmt.Sprint("t/", i), "m" }))
	for range 5 {
		<-entered
	}
	c.Close()
	closed := make(chan error)
	go func() { closed <- b.Close(context.Background()) }()
	close(leave)
	if err := <-closed; err != nil || done.Load() != 5 {
		t.Errorf("%d of 5 had ended, %v", done.Load(), err)
	}
}

// BenchmarkOneConnection has 100 messages of different topics on their way; a message
// takes a commit, which takes a millisecond and is shared by those that wait for it.
func BenchmarkOneConnection(b *testing.B) {
	var mu sync.Mutex
	next := make(chan struct{})
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
			}
			mu.Lock()
			close(next)
			next = make(chan struct{})
			mu.Unlock()
		}
	}()
	broker, err := mqtt.New(mqtt.Options{OnMessage: func(context.Context, *iotrule.Message) error {
		mu.Lock()
		commit := next
		mu.Unlock()
		<-commit
		return nil
	}})
	if err != nil {
		b.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	go broker.Serve(ln)
	defer broker.Close(context.Background())
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	r := bufio.NewReader(c)
	c.Write(connect(4, "gateway"))
	io.ReadFull(r, make([]byte, 4))
	const window = 100
	messages := burst(window, func(i int) (string, string) { return fmt.Sprint("t/", i), strings.Repeat("x", 120) })
	b.ResetTimer()
	for range b.N/window + 1 {
		c.Write(messages)
		if _, err := io.ReadFull(r, make([]byte, 4*window)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
}
