package mqtt_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/paho"
	paho3 "github.com/eclipse/paho.mqtt.golang"

	"github.com/weir-db/weir/internal/iotrule"
	"github.com/weir-db/weir/internal/mqtt"
)

// patience is how long a test waits for what must happen.
const patience = 10 * time.Second

// quiet is how long a test waits for what must not happen.
const quiet = 50 * time.Millisecond

// recorder is an OnMessage that remembers.
type recorder struct {
	mu  sync.Mutex // guards got
	got []string
	on  func(m *iotrule.Message) error
}

func (r *recorder) message(_ context.Context, m *iotrule.Message) error {
	r.mu.Lock()
	r.got = append(r.got, fmt.Sprintf("%s %s %s", m.ClientID, m.Topic, m.Payload))
	r.mu.Unlock()
	if r.on != nil {
		return r.on(m)
	}
	return nil
}

func (r *recorder) messages() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got)
}

// start returns a broker and its address.
func start(t *testing.T, opt mqtt.Options) (*mqtt.Broker, string) {
	t.Helper()
	b, err := mqtt.New(opt)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- b.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := b.Close(ctx); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return b, ln.Addr().String()
}

// eventually waits for a condition that another goroutine brings about.
func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("it never came to that")
		}
	}
}

// raw is a client that speaks bytes.
type raw struct {
	t *testing.T
	net.Conn
	r *bufio.Reader
}

func dial(t *testing.T, addr string) *raw {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return &raw{t: t, Conn: c, r: bufio.NewReader(c)}
}

func str(s string) []byte { return append(binary.BigEndian.AppendUint16(nil, uint16(len(s))), s...) }

// packet is a fixed header and a body.
func packet(first byte, parts ...[]byte) []byte {
	body := bytes.Join(parts, nil)
	return append(binary.AppendUvarint([]byte{first}, uint64(len(body))), body...)
}

func (c *raw) send(p []byte) {
	c.t.Helper()
	if _, err := c.Write(p); err != nil {
		c.t.Fatal(err)
	}
}

// next returns the next packet whole, or the error of reading it.
func (c *raw) next() (first byte, body []byte, err error) {
	if first, err = c.r.ReadByte(); err != nil {
		return 0, nil, err
	}
	n, err := binary.ReadUvarint(c.r)
	if err != nil {
		return 0, nil, err
	}
	body = make([]byte, n)
	_, err = io.ReadFull(c.r, body)
	return first, body, err
}

func (c *raw) want(what string, first byte, body ...byte) {
	c.t.Helper()
	f, b, err := c.next()
	if err != nil || f != first || !bytes.HasPrefix(b, body) {
		c.t.Fatalf("%s: got %x %x, %v; want %x %x", what, f, b, err, first, body)
	}
}

func (c *raw) wantClosed(what string) {
	c.t.Helper()
	if f, b, err := c.next(); err == nil {
		c.t.Fatalf("%s: got packet %x %x, want a closed connection", what, f, b)
	} else if e := net.Error(nil); errors.As(err, &e) && e.Timeout() {
		c.t.Fatalf("%s: the connection stays open", what)
	}
}

func connect(version byte, id string) []byte {
	parts := [][]byte{str("MQTT"), {version, 2, 0, 60}}
	if version == 5 {
		parts = append(parts, []byte{0})
	}
	return packet(0x10, append(parts, str(id))...)
}

func publish(version, qos byte, topic, payload string) []byte {
	parts := [][]byte{str(topic)}
	if qos > 0 {
		parts = append(parts, []byte{0, 7})
	}
	if version == 5 {
		parts = append(parts, []byte{0})
	}
	return packet(0x30|qos<<1, append(parts, []byte(payload))...)
}

func subscribe(version byte, qos byte, filters ...string) []byte {
	parts := [][]byte{{0, 9}}
	if version == 5 {
		parts = append(parts, []byte{0})
	}
	for _, f := range filters {
		parts = append(parts, str(f), []byte{qos})
	}
	return packet(0x82, parts...)
}

// open dials and connects.
func open(t *testing.T, addr string, version byte, id string) *raw {
	t.Helper()
	c := dial(t, addr)
	c.send(connect(version, id))
	c.want("CONNACK", 0x20, 0, 0)
	return c
}

func TestPubackFollowsTheStoredMessage(t *testing.T) {
	t.Parallel()
	for _, version := range []byte{4, 5} {
		t.Run(fmt.Sprintf("v%d", version), func(t *testing.T) {
			t.Parallel()
			entered, release := make(chan struct{}), make(chan struct{})
			rec := &recorder{on: func(*iotrule.Message) error { entered <- struct{}{}; <-release; return nil }}
			_, addr := start(t, mqtt.Options{OnMessage: rec.message})
			c := open(t, addr, version, "d1")
			c.send(publish(version, 1, "a/b", "x"))
			<-entered
			_ = c.SetReadDeadline(time.Now().Add(quiet))
			if f, _, err := c.next(); err == nil {
				t.Fatalf("got packet %x before the message was stored", f)
			}
			_ = c.SetReadDeadline(time.Now().Add(patience))
			close(release)
			c.want("PUBACK", 0x40, 0, 7)
		})
	}
}

func TestFailedStoreIsNotAcknowledged(t *testing.T) {
	t.Parallel()
	rec := &recorder{on: func(*iotrule.Message) error { return errors.New("no") }}
	_, addr := start(t, mqtt.Options{OnMessage: rec.message})
	c := open(t, addr, 4, "d1")
	c.send(publish(4, 1, "a", "x"))
	c.wantClosed("3.1.1")
	c = open(t, addr, 5, "d2")
	c.send(publish(5, 1, "a", "x"))
	c.want("PUBACK", 0x40, 0, 7, 0x80)
}

func TestBadClientsLoseOnlyTheirConnection(t *testing.T) {
	t.Parallel()
	rec := &recorder{}
	b, addr := start(t, mqtt.Options{OnMessage: rec.message})
	good := open(t, addr, 4, "good")
	after := func(version byte, what string, p []byte, code byte) {
		t.Helper()
		c := open(t, addr, version, "bad")
		c.send(p)
		if version == 5 && code != 0 {
			c.want(what, 0xe0, code)
		}
		c.wantClosed(what)
	}
	after(4, "QoS 2 PUBLISH", publish(4, 2, "a", "x"), 0)
	after(5, "QoS 2 PUBLISH", publish(5, 2, "a", "x"), 0x9b)
	after(4, "QoS 2 SUBSCRIBE", subscribe(4, 2, "a"), 0)
	after(5, "QoS 2 SUBSCRIBE", subscribe(5, 2, "a"), 0x9b)
	after(4, "8 slashes", publish(4, 1, "1/2/3/4/5/6/7/8/9", "x"), 0)
	after(5, "8 slashes", publish(5, 1, "1/2/3/4/5/6/7/8/9", "x"), 0x90)
	after(4, "long topic", publish(4, 1, strings.Repeat("t", 257), "x"), 0)
	after(4, "reserved topic", publish(4, 1, "$SYS/x", "x"), 0)
	after(5, "reserved topic", publish(5, 1, "$aws/things/x/shadow/update", "x"), 0x90)
	after(4, "wildcard topic", publish(4, 0, "a/+", "x"), 0)
	after(5, "payload", publish(5, 0, "a", strings.Repeat("x", 128<<10+1)), 0x95)
	after(4, "packet", packet(0x30, make([]byte, 200<<10)), 0)
	after(4, "9 filters", subscribe(4, 0, "1", "2", "3", "4", "5", "6", "7", "8", "9"), 0)
	after(5, "subscription identifier", packet(0x82, []byte{0, 9, 2, 0x0b, 1}, str("a"), []byte{0}), 0xa1)
	after(4, "PUBREL", []byte{0x62, 2, 0, 7}, 0)
	after(5, "AUTH", []byte{0xf0, 2, 0x18, 0}, 0x82)
	after(4, "second CONNECT", connect(4, "bad"), 0)
	after(5, "SUBSCRIBE cut short", packet(0x82, []byte{0, 9, 0}, str("a")), 0)
	after(4, "reserved type", []byte{0x00, 0}, 0)
	after(4, "long length", []byte{0x30, 0xff, 0xff, 0xff, 0xff, 0x7f}, 0)

	for _, garbage := range [][]byte{
		[]byte("GET / HTTP/1.1\r\n\r\n"), {0x16, 3, 1, 0, 200}, {0xff, 0xff, 0xff, 0xff, 0xff}, {0}, publish(4, 0, "a", "x"),
		packet(0x10, str("MQTT")), packet(0x10, str("MQTT"), []byte{5, 2, 0, 60, 0xff, 0xff, 0xff, 0xff}), packet(0x10, str("HTTP"), []byte{4, 2, 0, 60}, str("x")),
	} {
		c := dial(t, addr)
		c.send(garbage)
		_ = c.Conn.(*net.TCPConn).CloseWrite()
		for {
			if _, _, err := c.next(); err != nil {
				break
			}
		}
	}
	c := dial(t, addr)
	c.send(connect(4, "$bad"))
	c.want("CONNACK", 0x20, 0, 2)
	c = dial(t, addr)
	c.send(connect(5, strings.Repeat("i", 129)))
	c.want("CONNACK", 0x20, 0, 0x85)

	good.send(publish(4, 1, "a", "still here"))
	good.want("PUBACK", 0x40, 0, 7)
	if got := rec.messages(); !slices.Equal(got, []string{"good a still here"}) {
		t.Errorf("messages: %q", got)
	}
	eventually(t, func() bool {
		s := b.Sessions()
		return len(s) == 1 && s[0].ClientID == "good" && s[0].Connected
	})
}

func TestSubscriptionsFollowAWS(t *testing.T) {
	t.Parallel()
	b, addr := start(t, mqtt.Options{OnMessage: (&recorder{}).message})
	for _, topic := range []string{"x", "x/1"} {
		if err := b.Publish(context.Background(), &iotrule.Message{Topic: topic, Payload: []byte("kept"), Retain: true}); err != nil {
			t.Fatal(err)
		}
	}
	c := open(t, addr, 4, "c")
	c.send(subscribe(4, 1, "x/#"))
	c.want("SUBACK", 0x90, 0, 9, 1)
	deliver := func(topic, payload string) {
		t.Helper()
		if err := b.Publish(context.Background(), &iotrule.Message{Topic: topic, Payload: []byte(payload)}); err != nil {
			t.Fatal(err)
		}
	}
	deliver("x", "not for x/#")
	deliver("x/1", "one")
	// No retained message for a wildcard, none for the parent level.
	c.want("PUBLISH", 0x30, append(str("x/1"), "one"...)...)
	// An equal filter gets the retained message, with its flag.
	c.send(subscribe(4, 1, "x"))
	c.want("SUBACK", 0x90, 0, 9, 1)
	c.want("PUBLISH", 0x31, append(str("x"), "kept"...)...)
	deliver("x", "now subscribed")
	c.want("PUBLISH", 0x30, append(str("x"), "now subscribed"...)...)
	// Refused filters.
	c.send(subscribe(4, 0, "a/#/b", "$aws/rules/r", "a+", "ok/+"))
	c.want("SUBACK", 0x90, 0, 9, 0x80, 0x80, 0x80, 0)
	five := open(t, addr, 5, "five")
	five.send(subscribe(5, 0, "a/#/b", "1/2/3/4/5/6/7/8/9", "ok"))
	five.want("SUBACK", 0x90, 0, 9, 0, 0x8f, 0x8f, 0)
	// 50 subscriptions.
	for i := range 7 {
		filters := make([]string, 7)
		for j := range filters {
			filters[j] = fmt.Sprintf("f/%d/%d", i, j)
		}
		five.send(subscribe(5, 0, filters...))
		five.want("SUBACK", 0x90, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0)
	}
	five.send(subscribe(5, 0, "one too many"))
	five.want("SUBACK", 0x90, 0, 9, 0, 0x97)
	five.send(subscribe(5, 0, "ok"))
	five.want("SUBACK", 0x90, 0, 9, 0, 0)
	if m, ok := b.RetainedMessage("x"); !ok || string(m.Payload) != "kept" || len(b.Retained()) != 2 {
		t.Errorf("retained: %+v %v, %d in all", m, ok, len(b.Retained()))
	}
}

func TestBasicIngestIsStoredAndNotDelivered(t *testing.T) {
	t.Parallel()
	rec := &recorder{}
	_, addr := start(t, mqtt.Options{OnMessage: rec.message})
	c := open(t, addr, 4, "c")
	c.send(subscribe(4, 0, "#"))
	c.want("SUBACK", 0x90, 0, 9, 0)
	c.send(publish(4, 1, "$aws/rules/r/1/2/3/4/5/6/7/8", "x"))
	c.want("PUBACK", 0x40, 0, 7)
	c.send(publish(4, 0, "a", "y"))
	c.want("PUBLISH", 0x30, append(str("a"), 'y')...)
	if got := rec.messages(); !slices.Equal(got, []string{"c $aws/rules/r/1/2/3/4/5/6/7/8 x", "c a y"}) {
		t.Errorf("messages: %q", got)
	}
}

func TestKeepAliveIsClamped(t *testing.T) {
	t.Parallel()
	_, addr := start(t, mqtt.Options{OnMessage: (&recorder{}).message})
	for _, c := range []struct{ asked, told uint16 }{{0, 1200}, {5, 30}, {60, 0}, {5000, 1200}} {
		r := dial(t, addr)
		r.send(packet(0x10, str("MQTT"), []byte{5, 2}, binary.BigEndian.AppendUint16(nil, c.asked), []byte{0}, str("k")))
		_, body, err := r.next()
		if err != nil || body[1] != 0 {
			t.Fatalf("CONNACK %x, %v", body, err)
		}
		told := binary.BigEndian.AppendUint16([]byte{0x13}, c.told)
		if has := bytes.Contains(body, told); has != (c.told != 0) {
			t.Errorf("keep alive %d: CONNACK %x, want server keep alive %d", c.asked, body, c.told)
		}
		if !bytes.Contains(body, []byte{0x24, 1}) || !bytes.Contains(body, []byte{0x29, 0}) {
			t.Errorf("CONNACK %x lacks maximum QoS 1 or subscription identifiers 0", body)
		}
	}
}

func TestWillReachesRulesAndSubscribers(t *testing.T) {
	t.Parallel()
	rec := &recorder{}
	_, addr := start(t, mqtt.Options{OnMessage: rec.message})
	sub := open(t, addr, 4, "sub")
	sub.send(subscribe(4, 0, "last"))
	sub.want("SUBACK", 0x90, 0, 9, 0)
	c := dial(t, addr)
	c.send(packet(0x10, str("MQTT"), []byte{4, 6, 0, 60}, str("dying"), str("last"), str("words")))
	c.want("CONNACK", 0x20, 0, 0)
	c.Close()
	sub.want("PUBLISH", 0x30, append(str("last"), "words"...)...)
	eventually(t, func() bool { return len(rec.messages()) > 0 })
	if got := rec.messages(); !slices.Equal(got, []string{"dying last words"}) {
		t.Errorf("messages: %q", got)
	}
}

func TestOfflineSessionKeepsItsMessages(t *testing.T) {
	t.Parallel()
	b, addr := start(t, mqtt.Options{OnMessage: (&recorder{}).message})
	persistent := packet(0x10, str("MQTT"), []byte{4, 0, 0, 60}, str("p"))
	c := dial(t, addr)
	c.send(persistent)
	c.want("CONNACK", 0x20, 0, 0)
	c.send(subscribe(4, 1, "q/#"))
	c.want("SUBACK", 0x90, 0, 9, 1)
	c.send([]byte{0xe0, 0})
	c.wantClosed("DISCONNECT")
	for _, topic := range []string{"q/1", "q"} {
		if err := b.Publish(context.Background(), &iotrule.Message{Topic: topic, Payload: []byte("m"), QoS: 1}); err != nil {
			t.Fatal(err)
		}
	}
	c = dial(t, addr)
	c.send(persistent)
	c.want("CONNACK", 0x20, 1, 0)
	first, body, err := c.next()
	if err != nil || first&0xf6 != 0x32 || !bytes.HasPrefix(body, str("q/1")) {
		t.Fatalf("got %x %x, %v", first, body, err)
	}
	if err := b.Deliver(context.Background(), &iotrule.Message{Topic: "q"}); err != nil { // still not for q/#
		t.Fatal(err)
	}
	c.send([]byte{0xc0, 0})
	c.want("PINGRESP", 0xd0)
}

func TestTakeOverClosesTheFirst(t *testing.T) {
	t.Parallel()
	b, addr := start(t, mqtt.Options{OnMessage: (&recorder{}).message})
	for _, version := range []byte{4, 5} {
		one := open(t, addr, version, "same")
		two := open(t, addr, version, "same")
		if version == 5 {
			one.want("DISCONNECT", 0xe0, 0x8e)
		}
		one.wantClosed("take-over")
		two.send([]byte{0xc0, 0})
		two.want("PINGRESP", 0xd0)
	}
	if !b.Disconnect("same") || b.Disconnect("nobody") {
		t.Error("Disconnect does not know who is there")
	}
}

func TestAuthorizationDecides(t *testing.T) {
	t.Parallel()
	rec := &recorder{}
	_, addr := start(t, mqtt.Options{
		OnMessage: rec.message,
		Authenticate: func(c *mqtt.ConnectInfo) (string, error) {
			if c.ClientID == "stranger" {
				return "", errors.New("who?")
			}
			return "p-" + c.ClientID, nil
		},
		Authorize: func(by mqtt.Peer, action, resource string) bool {
			principal := by.Principal
			return !strings.Contains(resource, "secret") || principal == "p-boss" && action != "iot:Receive"
		},
	})
	c := dial(t, addr)
	c.send(connect(4, "stranger"))
	c.want("CONNACK", 0x20, 0, 5)
	c = dial(t, addr)
	c.send(connect(5, "stranger"))
	c.want("CONNACK", 0x20, 0, 0x87)
	c = open(t, addr, 5, "worker")
	c.send(subscribe(5, 0, "secret", "#"))
	c.want("SUBACK", 0x90, 0, 9, 0, 0x87, 0)
	boss := open(t, addr, 4, "boss")
	boss.send(publish(4, 1, "secret", "s"))
	boss.want("PUBACK", 0x40, 0, 7)
	boss.send(publish(4, 1, "open", "o"))
	boss.want("PUBACK", 0x40, 0, 7)
	c.want("PUBLISH", 0x30, str("open")...) // not the secret one
	c.send(publish(5, 1, "secret", "s"))
	c.want("PUBACK", 0x40, 0, 7, 0x87)
	c4 := open(t, addr, 4, "w4")
	c4.send(publish(4, 0, "secret", "s"))
	c4.wantClosed("denied publish")
	if got := rec.messages(); !slices.Equal(got, []string{"boss secret s", "boss open o"}) {
		t.Errorf("messages: %q", got)
	}
}

func TestConnectionLimit(t *testing.T) {
	t.Parallel()
	_, addr := start(t, mqtt.Options{OnMessage: (&recorder{}).message, Limits: mqtt.Limits{Connections: 1}})
	one := open(t, addr, 4, "one")
	c := dial(t, addr)
	c.wantClosed("over the limit")
	one.send([]byte{0xe0, 0})
	one.wantClosed("DISCONNECT")
	eventually(t, func() bool {
		c := dial(t, addr)
		_, _ = c.Write(connect(4, "two"))
		_, _, err := c.next()
		return err == nil
	})
}

func TestCloseWaitsForMessagesInWork(t *testing.T) {
	t.Parallel()
	entered, release := make(chan struct{}), make(chan struct{})
	rec := &recorder{on: func(*iotrule.Message) error { entered <- struct{}{}; <-release; return nil }}
	b, addr := start(t, mqtt.Options{OnMessage: rec.message})
	idle := dial(t, addr)
	c := open(t, addr, 5, "c")
	c.send(publish(5, 1, "a", "x"))
	<-entered
	closed := make(chan error, 1)
	go func() { closed <- b.Close(context.Background()) }()
	c.want("DISCONNECT", 0xe0, 0x8b)
	idle.wantClosed("idle")
	select {
	case <-closed:
		t.Error("Close did not wait")
	default:
	}
	close(release)
	if err := <-closed; err != nil {
		t.Error(err)
	}
}

func TestPipelinedMessagesAreAllAcknowledged(t *testing.T) {
	t.Parallel()
	_, addr := start(t, mqtt.Options{OnMessage: (&recorder{}).message})
	c := open(t, addr, 4, "c")
	const n = 1000
	var burst []byte
	for i := range n {
		burst = append(burst, packet(0x32, str("a"), []byte{byte((i + 1) >> 8), byte(i + 1)}, []byte("payload"))...)
	}
	go c.Write(burst)
	for i := range n {
		c.want("PUBACK", 0x40, byte((i+1)>>8), byte(i+1))
	}
}

func TestPahoClients(t *testing.T) {
	t.Parallel()
	rec := &recorder{}
	_, addr := start(t, mqtt.Options{OnMessage: rec.message})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()

	got := make(chan string, 10)
	three := paho3.NewClient(paho3.NewClientOptions().AddBroker("tcp://" + addr).SetClientID("three").SetAutoReconnect(false))
	done := func(tok paho3.Token) {
		t.Helper()
		if !tok.WaitTimeout(patience) || tok.Error() != nil {
			t.Fatal(tok.Error())
		}
	}
	done(three.Connect())
	defer three.Disconnect(100)
	done(three.Subscribe("from/+", 1, func(_ paho3.Client, m paho3.Message) { got <- m.Topic() + " " + string(m.Payload()) }))

	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	five := paho.NewClient(paho.ClientConfig{Conn: nc})
	if ack, err := five.Connect(ctx, &paho.Connect{ClientID: "five", KeepAlive: 60, CleanStart: true}); err != nil || ack.ReasonCode != 0 {
		t.Fatal(ack, err)
	}
	defer five.Disconnect(&paho.Disconnect{})
	ack, err := five.Publish(ctx, &paho.Publish{Topic: "from/five", QoS: 1, Payload: []byte("hello"), Properties: &paho.PublishProperties{User: paho.UserProperties{{Key: "k", Value: "v"}}}})
	if err != nil || ack.ReasonCode != 0 && ack.ReasonCode != 0x10 {
		t.Fatal(ack, err)
	}
	done(three.Publish("from/three", 1, false, "hi"))
	want := []string{"from/five hello", "from/three hi"}
	for range want {
		select {
		case m := <-got:
			if !slices.Contains(want, m) {
				t.Errorf("got %q", m)
			}
		case <-ctx.Done():
			t.Fatal("no message")
		}
	}
	if got := rec.messages(); !slices.Equal(got, []string{"five from/five hello", "three from/three hi"}) {
		t.Errorf("messages: %q", got)
	}
}

func BenchmarkPublishQoS1(b *testing.B) {
	broker, err := mqtt.New(mqtt.Options{OnMessage: func(context.Context, *iotrule.Message) error { return nil }})
	if err != nil {
		b.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	go broker.Serve(ln)
	defer broker.Close(context.Background())
	const conns, window = 10, 20
	payload := strings.Repeat("x", 120)
	b.ResetTimer()
	var wg sync.WaitGroup
	for i := range conns {
		wg.Go(func() {
			c, err := net.Dial("tcp", ln.Addr().String())
			if err != nil {
				b.Error(err)
				return
			}
			defer c.Close()
			r := bufio.NewReader(c)
			c.Write(connect(4, fmt.Sprint("c", i)))
			io.ReadFull(r, make([]byte, 4))
			var burst []byte
			for range window {
				burst = append(burst, publish(4, 1, fmt.Sprint("t/", i), payload)...)
			}
			for range b.N/conns/window + 1 {
				c.Write(burst)
				if _, err := io.ReadFull(r, make([]byte, 4*window)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
}
