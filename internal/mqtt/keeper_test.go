package mqtt_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
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

// documents is a disk in memory.
type documents struct {
	mu      sync.Mutex // guards the fields below
	docs    map[string][]byte
	commits int
	fail    error
}

func (d *documents) Each(f func(key string, doc []byte) error) error {
	d.mu.Lock()
	all := maps.Clone(d.docs)
	d.mu.Unlock()
	for key, doc := range all {
		if err := f(key, doc); err != nil {
			return err
		}
	}
	return nil
}

func (d *documents) Apply(changes map[string][]byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fail != nil {
		return d.fail
	}
	d.commits++
	if d.docs == nil {
		d.docs = map[string][]byte{}
	}
	for key, doc := range changes {
		if doc == nil {
			delete(d.docs, key)
		} else {
			d.docs[key] = doc
		}
	}
	return nil
}

func (d *documents) setFail(err error) {
	d.mu.Lock()
	d.fail = err
	d.mu.Unlock()
}

// crash returns what is on disk at this moment.
func (d *documents) crash() *documents {
	d.mu.Lock()
	defer d.mu.Unlock()
	return &documents{docs: maps.Clone(d.docs)}
}

func (d *documents) has(prefix string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for key := range d.docs {
		if strings.HasPrefix(key, prefix) {
			n++
		}
	}
	return n
}

func keeping(d *documents) mqtt.Options {
	return mqtt.Options{OnMessage: (&recorder{}).message, Documents: d}
}

func connectPersistent(id string) []byte {
	return packet(0x10, str("MQTT"), []byte{4, 0, 0, 60}, str(id))
}

// away makes a persistent session with a filter and leaves.
func away(t *testing.T, addr, id, filter string) {
	t.Helper()
	c := dial(t, addr)
	c.send(connectPersistent(id))
	c.want("CONNACK", 0x20, 0, 0)
	c.send(subscribe(4, 1, filter))
	c.want("SUBACK", 0x90, 0, 9, 1)
	c.send([]byte{0xe0, 0})
	c.wantClosed("DISCONNECT")
}

// back comes back to its session and expects the messages, in order.
func back(t *testing.T, addr, id string, want ...string) *raw {
	t.Helper()
	c := dial(t, addr)
	c.send(connectPersistent(id))
	c.want("CONNACK", 0x20, 1, 0)
	for _, payload := range want {
		first, body, err := c.next()
		if err != nil || first&0xf6 != 0x32 || !bytes.HasSuffix(body, []byte(payload)) {
			t.Fatalf("got %x %q, %v, want %s", first, body, err, payload)
		}
		topic := int(body[0])<<8 | int(body[1])
		c.send(packet(0x40, body[2+topic:4+topic]))
	}
	c.send([]byte{0xc0, 0})
	c.want("PINGRESP", 0xd0)
	return c
}

func TestAcknowledgedMeansDurableForWhoIsAway(t *testing.T) {
	t.Parallel()
	disk := &documents{}
	_, addr := start(t, keeping(disk))
	away(t, addr, "p", "q/+")
	pub := open(t, addr, 4, "pub")
	var want []string
	for i := range 300 { // more than 256 ids, within one second
		want = append(want, fmt.Sprintf("m%03d", i))
		pub.send(publish(4, 1, "q/1", want[i]))
		pub.want("PUBACK", 0x40, 0, 7)
	}
	after := disk.crash()
	_, addr = start(t, keeping(after))
	back(t, addr, "p", want...)
	eventually(t, func() bool { return after.has("message/") == 0 })
	back(t, addr, "p")
}

func TestRetainedMessagesSurvive(t *testing.T) {
	t.Parallel()
	disk := &documents{}
	b, addr := start(t, keeping(disk))
	pub := open(t, addr, 4, "pub")
	retain := func(topic, payload string) {
		p := publish(4, 1, topic, payload)
		p[0] |= 1
		pub.send(p)
		pub.want("PUBACK", 0x40, 0, 7)
	}
	retain("a", "1")
	retain("a", "2")
	retain("b", "1")
	retain("b", "")
	m := &iotrule.Message{Topic: "c", Payload: []byte("3"), QoS: 1, Retain: true, ContentType: "text/plain",
		UTF8Payload: true}
	if err := b.Publish(context.Background(), m); err != nil {
		t.Fatal(err)
	}
	again, _ := start(t, keeping(disk.crash()))
	all := again.Retained()
	if len(all) != 2 || string(all[0].Payload) != "2" || string(all[1].Payload) != "3" || all[1].ContentType != "text/plain" || !all[1].UTF8Payload || all[1].At.IsZero() {
		t.Fatalf("got %+v", all)
	}
}

func TestWhatCannotBeStoredIsNotAcknowledged(t *testing.T) {
	t.Parallel()
	disk := &documents{}
	_, addr := start(t, keeping(disk))
	away(t, addr, "p", "q")
	disk.setFail(errors.New("no space left"))
	pub := open(t, addr, 4, "pub")
	pub.send(publish(4, 1, "other", "m"))
	pub.want("PUBACK of a message that nobody waits for", 0x40, 0, 7)
	pub.send(publish(4, 1, "q", "m"))
	pub.wantClosed("a message that was not stored")
	disk.setFail(nil)
	pub = open(t, addr, 4, "pub")
	pub.send(publish(4, 1, "q", "m"))
	pub.want("PUBACK", 0x40, 0, 7)
	if n := disk.has("message/p/"); n != 2 {
		t.Fatalf("%d messages are stored", n)
	}
}

func TestStoredStateIsBounded(t *testing.T) {
	t.Parallel()
	disk := &documents{}
	opt := keeping(disk)
	opt.Limits.StoredBytes = 1500
	b, addr := start(t, opt)
	away(t, addr, "p", "q")
	pub := open(t, addr, 4, "pub")
	pub.send(publish(4, 1, "q", strings.Repeat("x", 1500)))
	pub.wantClosed("a message beyond the limit")
	back(t, addr, "p", "x") // it had been delivered
	if err := b.Publish(context.Background(), &iotrule.Message{Topic: "r", Payload: make([]byte, 1500), QoS: 1, Retain: true}); err == nil {
		t.Error("a retained message beyond the limit was taken")
	}
}

func TestNothingIsStoredWhereNoSessionWaits(t *testing.T) {
	t.Parallel()
	disk := &documents{}
	_, addr := start(t, keeping(disk))
	sub := open(t, addr, 4, "s")
	sub.send(subscribe(4, 1, "q"))
	sub.want("SUBACK", 0x90, 0, 9, 1)
	pub := open(t, addr, 4, "pub")
	pub.send(publish(4, 1, "q", "m"))
	pub.want("PUBACK", 0x40, 0, 7)
	if _, _, err := sub.next(); err != nil {
		t.Fatal(err)
	}
	if disk.commits > 0 {
		t.Errorf("%d commits", disk.commits)
	}
}

func TestSessionsEndOnDisk(t *testing.T) {
	t.Parallel()
	disk := &documents{}
	b, addr := start(t, keeping(disk))
	away(t, addr, "p", "q")
	if err := b.Publish(context.Background(), &iotrule.Message{Topic: "q", Payload: []byte("m"), QoS: 1}); err != nil {
		t.Fatal(err)
	}
	if disk.has("session/") != 1 || disk.has("message/") != 1 {
		t.Fatalf("stored: %v", disk.docs)
	}
	open(t, addr, 4, "p") // a clean session
	eventually(t, func() bool { return disk.has("session/") == 0 && disk.has("message/") == 0 })
}

func TestStoredSessionsKeepTheirTime(t *testing.T) {
	t.Parallel()
	session := func(id string, left time.Duration) (string, []byte) {
		doc, _ := json.Marshal(map[string]any{"Version": 1, "Client": id, "ExpirySeconds": 60, "LeftAt": time.Now().Add(-left).Unix(),
			"Filters": []map[string]any{{"Filter": "q/#", "QoS": 1}}})
		return "session/" + id, doc
	}
	disk := &documents{docs: map[string][]byte{
		"session/new": []byte(`{"Version":2,"Client":"new"}`), "session/bad": []byte(`{`),
		"message/nobody/00001": []byte(`{"Version":1,"Client":"nobody","ID":1,"Topic":"q"}`),
		"retained/old":         []byte(`{"Version":1,"Topic":"old","Payload":"eA==","Retain":true,"ExpiresAt":1}`),
	}}
	for id, left := range map[string]time.Duration{"gone": time.Hour, "here": time.Second} {
		key, doc := session(id, left)
		disk.docs[key] = doc
	}
	var asked []mqtt.Peer
	var mu sync.Mutex
	opt := keeping(disk)
	opt.Authorize = func(by mqtt.Peer, action, resource string) bool {
		if action == "iot:Receive" {
			mu.Lock()
			asked = append(asked, by)
			mu.Unlock()
			_, _, _ = net.SplitHostPort(by.Remote.String())
		}
		return true
	}
	b, addr := start(t, opt)
	if s := b.Sessions(); len(s) != 1 || s[0].ClientID != "here" || s[0].Connected || s[0].Filters[0] != "q/#" {
		t.Fatalf("got %+v", s)
	}
	eventually(t, func() bool { return disk.has("") == 3 }) // what is not understood is left alone
	for _, topic := range []string{"q", "q/1"} {            // AWS: q/# does not take q
		if err := b.Publish(context.Background(), &iotrule.Message{Topic: topic, Payload: []byte(topic), QoS: 1}); err != nil {
			t.Fatal(err)
		}
	}
	back(t, addr, "here", "q/1")
	mu.Lock()
	defer mu.Unlock()
	if len(asked) == 0 || asked[0].ClientID != "here" {
		t.Errorf("policies were asked about %+v", asked)
	}
}

func TestAnotherPrincipalGetsOfASessionWhatItMayHave(t *testing.T) {
	t.Parallel()
	disk := &documents{}
	var who atomic.Value
	who.Store("first")
	opt := keeping(disk)
	opt.Authenticate = func(*mqtt.ConnectInfo) (string, error) { return who.Load().(string), nil }
	opt.Authorize = func(by mqtt.Peer, action, resource string) bool {
		return by.Principal == "first" || !strings.Contains(resource, "secret") && resource != "topicfilter/all/#"
	}
	b, addr := start(t, opt)
	for _, restart := range []bool{false, true} {
		who.Store("first")
		c := dial(t, addr)
		c.send(connectPersistent("p"))
		if _, _, err := c.next(); err != nil {
			t.Fatal(err)
		}
		c.send(subscribe(4, 1, "all/#", "q/secret", "q/open"))
		c.want("SUBACK", 0x90, 0, 9, 1, 1, 1)
		c.send([]byte{0xe0, 0})
		c.wantClosed("DISCONNECT")
		for _, topic := range []string{"q/secret", "all/secret", "q/open"} {
			if err := b.Publish(context.Background(), &iotrule.Message{Topic: topic, Payload: []byte(topic), QoS: 1}); err != nil {
				t.Fatal(err)
			}
		}
		if disk.has("message/") != 3 {
			t.Fatal("the messages are not queued")
		}
		if restart {
			disk = disk.crash()
			opt.Documents = disk
			b, addr = start(t, opt)
		}
		who.Store("second")
		back(t, addr, "p", "q/open")
		if s := b.Sessions(); len(s) != 1 || !slices.Equal(s[0].Filters, []string{"q/open"}) || s[0].Principal != "second" {
			t.Errorf("got %+v", s)
		}
		eventually(t, func() bool { return disk.has("message/") == 0 })
	}
}

func TestConcurrentPublishersLoseNothing(t *testing.T) {
	t.Parallel()
	disk := &documents{}
	_, addr := start(t, keeping(disk))
	away(t, addr, "p", "q/+")
	var clients sync.WaitGroup
	for i := range 20 {
		clients.Go(func() {
			c := dial(t, addr)
			c.send(connect(4, fmt.Sprint("c", i)))
			for j := range 20 {
				if j == 0 {
					if _, _, err := c.next(); err != nil {
						t.Error(err)
						return
					}
				}
				c.send(publish(4, 1, fmt.Sprint("q/", i), fmt.Sprint(j)))
				if first, _, err := c.next(); err != nil || first != 0x40 {
					t.Errorf("got %x, %v", first, err)
					return
				}
			}
		})
	}
	clients.Wait()
	if n := disk.has("message/"); n != 400 {
		t.Errorf("%d messages are stored, want 400", n)
	}
}

// BenchmarkRestore reads 100,000 retained messages and 10,000 sessions.
func BenchmarkRestore(b *testing.B) {
	disk := &documents{docs: map[string][]byte{}}
	payload := make([]byte, 120)
	for i := range 100_000 {
		topic := fmt.Sprintf("site/%d/device/%d", i%100, i)
		doc, _ := json.Marshal(map[string]any{"Version": 1, "Topic": topic, "Payload": payload, "Retain": true, "QoS": 1})
		disk.docs["retained/"+topic] = doc
	}
	for i := range 10_000 {
		id := fmt.Sprint("device", i)
		doc, _ := json.Marshal(map[string]any{"Version": 1, "Client": id, "ExpirySeconds": 3600, "Filters": []map[string]any{{"Filter": "to/" + id, "QoS": 1}}})
		disk.docs["session/"+id] = doc
	}
	for b.Loop() {
		broker, err := mqtt.New(mqtt.Options{OnMessage: (&recorder{}).message, Documents: disk})
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if n := len(broker.Retained()) + len(broker.Sessions()); n != 110_000 {
			b.Fatalf("got %d", n)
		}
		broker.Close(context.Background())
		b.StartTimer()
	}
}
