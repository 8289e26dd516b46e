package mqtt

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/weir-db/weir/internal/iotrule"
)

// keeper keeps retained messages, persistent sessions and the QoS 1 messages that wait
// for them on disk (docs/format/meta.md, "mqtt"). The library holds all of it in memory and
// calls the methods below about each change; what is on disk is read once, by restore.
//
// A message that a client publishes with QoS 1 is delivered, queued and made durable before the library
// sends its PUBACK (see [keeper.publish]). Deletions are not waited for: after a crash a
// message may come twice, as QoS 1 allows.
type keeper struct {
	mochi.HookBase
	b        *Broker
	journal  *journal
	sessions atomic.Int64 // persistent ones

	mu      sync.Mutex                     // guards the fields below
	queues  map[string]map[uint16]struct{} // packet ids of the stored messages of each persistent session
	pending map[string]outcome             // by the client that published: what must be durable before it is told so
}

// outcome is how far a change has come.
type outcome struct {
	seq uint64
	err error
}

// documentVersion is that of all documents here. One of another version is left alone.
const documentVersion = 1

const (
	retainedPrefix = "retained/" // and the topic
	sessionPrefix  = "session/"  // and the client id
	messagePrefix  = "message/"  // and the client id, / and the packet id in five digits
)

// sessionDoc is a persistent session.
type sessionDoc struct {
	Version       int
	Client        string
	Principal     string `json:",omitempty"`
	Remote        string `json:",omitempty"` // address
	TLS           bool   `json:",omitempty"`
	ExpirySeconds uint32
	LeftAt        int64       `json:",omitempty"` // seconds since 1970; 0: connected
	Filters       []filterDoc `json:",omitempty"`
}

type filterDoc struct {
	Filter            string
	QoS               byte
	NoLocal           bool `json:",omitempty"`
	RetainAsPublished bool `json:",omitempty"`
	RetainHandling    byte `json:",omitempty"`
}

// messageDoc is a retained message, or one that waits for the client.
type messageDoc struct {
	Version         int
	Client          string `json:",omitempty"`
	ID              uint16 `json:",omitempty"`
	Topic           string
	Payload         []byte
	QoS             byte
	Retain          bool   `json:",omitempty"`
	Origin          string `json:",omitempty"`
	ProtocolVersion byte
	CreatedAt       int64                  // seconds since 1970
	ExpiresAt       int64                  `json:",omitempty"`
	ContentType     string                 `json:",omitempty"`
	ResponseTopic   string                 `json:",omitempty"`
	CorrelationData []byte                 `json:",omitempty"`
	ExpirySeconds   uint32                 `json:",omitempty"`
	UTF8Payload     bool                   `json:",omitempty"`
	UserProperties  []packets.UserProperty `json:",omitempty"`
}

func newKeeper(b *Broker, docs Documents) *keeper {
	return &keeper{b: b, journal: newJournal(docs, b.opt.Limits.StoredBytes), queues: map[string]map[uint16]struct{}{}, pending: map[string]outcome{}}
}

func (k *keeper) ID() string { return "weir-keeper" }

func (k *keeper) Provides(method byte) bool {
	return bytes.IndexByte([]byte{
		mochi.OnSessionEstablish, mochi.OnSessionEstablished, mochi.OnDisconnect, mochi.OnClientExpired,
		mochi.OnSubscribed, mochi.OnUnsubscribed, mochi.OnRetainMessage, mochi.OnRetainedExpired,
		mochi.OnQosPublish, mochi.OnQosDropped, mochi.OnPacketProcessed,
	}, method) >= 0
}

// concerns says whether a message may have to be stored.
func (k *keeper) concerns(pk *packets.Packet) bool {
	return k != nil && (pk.FixedHeader.Retain || pk.FixedHeader.Qos > 0 && k.sessions.Load() > 0)
}

// publish delivers what a client has published and returns when all of it that has to be
// durable is so. The message goes in the name of as, for the library acknowledges what its own
// clients publish before it looks for subscribers.
func (k *keeper) publish(cl *mochi.Client, c *conn, pk packets.Packet) error {
	if c.publisher == nil {
		c.publisher = k.b.server.NewClient(nil, mochi.LocalListener, cl.ID, true)
		c.publisher.Properties.ProtocolVersion = cl.Properties.ProtocolVersion
	}
	pk.Properties.TopicAlias, pk.Properties.TopicAliasFlag = 0, false
	if err := k.b.server.InjectPacket(c.publisher, pk); err != nil {
		return fmt.Errorf("deliver a message on %s: %w", pk.TopicName, err)
	}
	if pk.FixedHeader.Qos == 0 {
		k.take(cl.ID)
		return nil // nothing was promised
	}
	return k.settle(cl.ID)
}

func (k *keeper) take(origin string) outcome {
	k.mu.Lock()
	defer k.mu.Unlock()
	o := k.pending[origin]
	delete(k.pending, origin)
	return o
}

// settle waits until what origin published is durable.
func (k *keeper) settle(origin string) error {
	if k == nil {
		return nil
	}
	o := k.take(origin)
	if o.err != nil {
		return o.err
	}
	return k.journal.wait(o.seq)
}

// settleInline waits until what did not come from a client is durable. Others may have
// delivered at the same time, so it waits for all.
func (k *keeper) settleInline() error {
	k.mu.Lock()
	o := k.pending[k.b.inline.ID]
	k.mu.Unlock()
	if o.err != nil {
		return o.err
	}
	return k.journal.wait(o.seq)
}

// putLocked stores a document, which must be durable before origin is told so.
func (k *keeper) putLocked(origin, key string, doc any) {
	o := k.pending[origin]
	if origin == k.b.inline.ID {
		o.err = nil // nobody takes it
	}
	text, err := json.Marshal(doc)
	if err == nil {
		o.seq, err = k.journal.put(key, text)
	}
	if err != nil {
		o.err = err
		k.b.log.warn("MQTT state not stored", "key", key, "err", err)
	}
	k.pending[origin] = o
}

func (k *keeper) remove(key string) { _, _ = k.journal.put(key, nil) }

// persistent says whether the session outlives its connection.
func persistent(cl *mochi.Client) bool {
	if cl.Net.Inline {
		return false
	}
	if cl.Properties.ProtocolVersion == 5 {
		return cl.Properties.Props.SessionExpiryInterval > 0
	}
	return !cl.Properties.Clean
}

// OnSessionEstablish runs before the session is taken over and messages arrive.
func (k *keeper) OnSessionEstablish(cl *mochi.Client, pk packets.Packet) {
	if old, ok := k.b.server.Clients.Get(cl.ID); ok && !pk.Connect.Clean {
		orderInflight(old)
	}
	if !persistent(cl) {
		return
	}
	// An alias lasts as long as its connection, a queued message may not: with one it would lack its topic.
	cl.Properties.Props.TopicAliasMaximum = 0
	k.mu.Lock()
	k.openLocked(cl.ID)
	k.mu.Unlock()
}

func (k *keeper) openLocked(id string) {
	if k.queues[id] == nil {
		k.queues[id] = map[uint16]struct{}{}
		k.sessions.Add(1)
	}
}

// orderInflight makes the library send again in the order of publication: it sorts by the low
// 16 bits of Created, in seconds, which is not otherwise looked at.
func orderInflight(cl *mochi.Client) {
	all := cl.State.Inflight.GetAll(false)
	slices.SortFunc(all, func(a, b packets.Packet) int { return cmp.Compare(a.PacketID, b.PacketID) })
	first, gap := 0, uint16(0) // ids go round: the oldest follows the widest gap
	for i := range all {
		before := all[(i+len(all)-1)%len(all)].PacketID
		if d := all[i].PacketID - before; d > gap {
			first, gap = i, d
		}
	}
	for i := range all {
		m := all[(first+i)%len(all)]
		m.Created = int64(i)
		cl.State.Inflight.Set(m)
	}
}

// OnSessionEstablished stores a new session, or drops the one that ends with it.
func (k *keeper) OnSessionEstablished(cl *mochi.Client, _ packets.Packet) {
	if connOf(cl) == nil {
		return
	}
	if persistent(cl) {
		k.save(cl, 0)
	} else {
		k.drop(cl.ID)
	}
}

// save stores a session as it is now; who must wait for it settles its key.
func (k *keeper) save(cl *mochi.Client, leftAt int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	doc := sessionDoc{Version: documentVersion, Client: cl.ID, Remote: cl.Net.Remote, LeftAt: leftAt, ExpirySeconds: uint32(k.b.opt.Limits.SessionExpiry / time.Second)}
	if cl.Properties.ProtocolVersion == 5 {
		doc.ExpirySeconds = min(doc.ExpirySeconds, cl.Properties.Props.SessionExpiryInterval)
	}
	if c := connOf(cl); c != nil {
		doc.Principal, doc.TLS = c.principal, c.overTLS
	}
	for _, s := range cl.State.Subscriptions.GetAll() {
		doc.Filters = append(doc.Filters, filterDoc{s.Filter, s.Qos, s.NoLocal, s.RetainAsPublished, s.RetainHandling})
	}
	slices.SortFunc(doc.Filters, func(a, b filterDoc) int { return strings.Compare(a.Filter, b.Filter) })
	k.putLocked(sessionPrefix+cl.ID, sessionPrefix+cl.ID, &doc)
}

// drop forgets a session and what waits for it.
func (k *keeper) drop(id string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	queue, ok := k.queues[id]
	if !ok {
		return
	}
	for packet := range queue {
		k.remove(messageKey(id, packet))
	}
	delete(k.queues, id)
	delete(k.pending, sessionPrefix+id)
	k.sessions.Add(-1)
	k.remove(sessionPrefix + id)
}

func messageKey(client string, id uint16) string {
	return fmt.Sprintf("%s%s/%05d", messagePrefix, client, id)
}

func (k *keeper) OnDisconnect(cl *mochi.Client, _ error, expire bool) {
	if now, ok := k.b.server.Clients.Get(cl.ID); cl.IsTakenOver() || ok && now != cl {
		return
	}
	k.take(cl.ID) // of its will
	if expire {
		k.drop(cl.ID)
	} else {
		k.save(cl, time.Now().Unix())
	}
}

func (k *keeper) OnClientExpired(cl *mochi.Client) { k.drop(cl.ID) }

// OnSubscribed runs before SUBACK, which says no if the filters could not be stored.
func (k *keeper) OnSubscribed(cl *mochi.Client, _ packets.Packet, codes []byte) {
	if connOf(cl) == nil || !persistent(cl) {
		return
	}
	k.save(cl, 0)
	if err := k.settle(sessionPrefix + cl.ID); err != nil {
		for i := range codes {
			codes[i] = packets.ErrUnspecifiedError.Code
		}
	}
}

func (k *keeper) OnUnsubscribed(cl *mochi.Client, _ packets.Packet) {
	if connOf(cl) != nil && !cl.Closed() && persistent(cl) {
		k.save(cl, 0)
	}
}

// OnRetainMessage stores what the topic has now: of two messages at once the library
// has decided already.
func (k *keeper) OnRetainMessage(cl *mochi.Client, pk packets.Packet, _ int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now, ok := k.b.server.Topics.Retained.Get(pk.TopicName)
	if !ok {
		// The deletion is a promise, too.
		o := k.pending[cl.ID]
		if seq, err := k.journal.put(retainedPrefix+pk.TopicName, nil); err == nil {
			o.seq = max(o.seq, seq)
		}
		k.pending[cl.ID] = o
		return
	}
	k.putLocked(cl.ID, retainedPrefix+pk.TopicName, docOf("", &now))
}

func (k *keeper) OnRetainedExpired(topic string) { k.remove(retainedPrefix + topic) }

// OnQosPublish is told of each message that goes to a client with QoS 1, before it
// goes, and of acknowledgements.
func (k *keeper) OnQosPublish(cl *mochi.Client, pk packets.Packet, _ int64, _ int) {
	if pk.FixedHeader.Type != packets.Publish {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	queue, ok := k.queues[cl.ID]
	if !ok {
		return
	}
	if _, stored := queue[pk.PacketID]; stored && pk.FixedHeader.Dup {
		return
	}
	if len(queue) >= 2*k.b.opt.Limits.Inflight {
		k.sweepLocked(cl, queue)
	}
	queue[pk.PacketID] = struct{}{}
	k.putLocked(pk.Origin, messageKey(cl.ID, pk.PacketID), docOf(cl.ID, &pk))
}

// sweepLocked deletes messages that the library dropped without saying so.
func (k *keeper) sweepLocked(cl *mochi.Client, queue map[uint16]struct{}) {
	for id := range queue {
		if _, ok := cl.State.Inflight.Get(id); !ok {
			delete(queue, id)
			k.remove(messageKey(cl.ID, id))
		}
	}
}

func (k *keeper) OnQosDropped(cl *mochi.Client, pk packets.Packet) {
	if !cl.IsTakenOver() { // else its successor has them
		k.acknowledged(cl.ID, pk.PacketID)
	}
}

func (k *keeper) OnPacketProcessed(cl *mochi.Client, pk packets.Packet, _ error) {
	if pk.FixedHeader.Type == packets.Puback {
		k.acknowledged(cl.ID, pk.PacketID)
	}
}

func (k *keeper) acknowledged(client string, id uint16) {
	k.mu.Lock()
	defer k.mu.Unlock()
	queue := k.queues[client]
	if _, ok := queue[id]; ok {
		delete(queue, id)
		k.remove(messageKey(client, id))
	}
}

func docOf(client string, pk *packets.Packet) *messageDoc {
	p := &pk.Properties
	return &messageDoc{
		Version: documentVersion, Client: client, ID: pk.PacketID, Topic: pk.TopicName, Payload: pk.Payload, QoS: pk.FixedHeader.Qos,
		Retain: pk.FixedHeader.Retain, Origin: pk.Origin, ProtocolVersion: pk.ProtocolVersion, CreatedAt: pk.Created, ExpiresAt: max(0, pk.Expiry),
		ContentType: p.ContentType, ResponseTopic: p.ResponseTopic, CorrelationData: p.CorrelationData, ExpirySeconds: p.MessageExpiryInterval,
		UTF8Payload: p.PayloadFormatFlag && p.PayloadFormat == 1, UserProperties: p.User,
	}
}

func (d *messageDoc) packet() packets.Packet {
	pk := packets.Packet{
		FixedHeader:     packets.FixedHeader{Type: packets.Publish, Qos: d.QoS, Retain: d.Retain},
		ProtocolVersion: d.ProtocolVersion, PacketID: d.ID, TopicName: d.Topic, Payload: d.Payload, Origin: d.Origin, Created: d.CreatedAt, Expiry: d.ExpiresAt,
	}
	setProperties(&pk, &iotrule.Message{
		ContentType: d.ContentType, ResponseTopic: d.ResponseTopic, CorrelationData: d.CorrelationData, ExpirySeconds: d.ExpirySeconds, UTF8Payload: d.UTF8Payload,
	})
	pk.Properties.User = d.UserProperties
	return pk
}

// restore reads what is on disk into the library, before anybody connects, and starts to write. A document
// that this version does not understand is left alone and told to the log.
func (k *keeper) restore() error {
	var expired []string
	var messages []*messageDoc
	now := time.Now().Unix()
	read := func(key string, doc []byte, into any, version *int) bool {
		err := json.Unmarshal(doc, into)
		if err == nil && *version != documentVersion {
			err = fmt.Errorf("version %d, want %d", *version, documentVersion)
		}
		if err != nil {
			k.b.log.warn("MQTT state not understood, left alone", "key", key, "err", err)
		}
		return err == nil
	}
	err := k.journal.docs.Each(func(key string, doc []byte) error {
		k.journal.sizes[key] = len(key) + len(doc)
		k.journal.total += len(key) + len(doc)
		if strings.HasPrefix(key, sessionPrefix) {
			if s := (sessionDoc{}); read(key, doc, &s, &s.Version) && !k.restoreSession(&s, now) {
				expired = append(expired, key)
			}
			return nil
		}
		m := &messageDoc{}
		switch {
		case !read(key, doc, m, &m.Version):
		case m.ExpiresAt > 0 && m.ExpiresAt < now:
			expired = append(expired, key)
		case strings.HasPrefix(key, retainedPrefix):
			k.b.server.Topics.RetainMessage(m.packet())
		default:
			messages = append(messages, m)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the MQTT sessions and retained messages: %w", err)
	}
	for _, m := range messages { // all sessions are there
		queue, ok := k.queues[m.Client]
		if cl, there := k.b.server.Clients.Get(m.Client); ok && there {
			queue[m.ID] = struct{}{}
			cl.State.Inflight.Set(m.packet())
		} else {
			expired = append(expired, messageKey(m.Client, m.ID))
		}
	}
	go k.journal.run()
	for _, key := range expired {
		k.remove(key)
	}
	return nil
}

// restoreSession makes a session whose client is away; false if its time has passed. Who was
// connected when the server stopped is away from now on.
func (k *keeper) restoreSession(s *sessionDoc, now int64) bool {
	left := int64(s.ExpirySeconds)
	if s.LeftAt > 0 {
		left = min(left, s.LeftAt+left-now)
	}
	if left <= 0 {
		return false
	}
	cl := k.b.server.NewClient(nil, mochi.LocalListener, s.Client, false)
	cl.Properties.ProtocolVersion = 5 // so that what is left of its time counts
	cl.Properties.Props.SessionExpiryInterval, cl.Properties.Props.SessionExpiryIntervalFlag = uint32(left), true
	cl.Stop(packets.ErrServerShuttingDown)
	c := &conn{Conn: gone{closedPipe, remoteAddr(s.Remote)}, err: net.ErrClosed, client: client{id: s.Client, principal: s.Principal}, overTLS: s.TLS}
	cl.Net.Conn, cl.Net.Remote = c, s.Remote
	for _, f := range s.Filters {
		sub := packets.Subscription{Filter: f.Filter, Qos: f.QoS, NoLocal: f.NoLocal, RetainAsPublished: f.RetainAsPublished, RetainHandling: f.RetainHandling}
		k.b.server.Topics.Subscribe(s.Client, sub)
		cl.State.Subscriptions.Add(f.Filter, sub)
		if strings.HasSuffix(f.Filter, "#") {
			c.hash.Store(true)
		}
	}
	k.b.server.Clients.Add(cl)
	k.openLocked(s.Client)
	return true
}

// gone is the connection of a client that has not come back since the start.
type gone struct {
	net.Conn
	remote net.Addr
}

func (g gone) RemoteAddr() net.Addr { return g.remote }

// remoteAddr is an address as a session keeps it.
type remoteAddr string

func (remoteAddr) Network() string  { return "tcp" }
func (a remoteAddr) String() string { return string(a) }

var closedPipe = func() net.Conn {
	here, there := net.Pipe()
	_ = errors.Join(here.Close(), there.Close())
	return here
}()
