package mqtt

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/iotrule"
	"github.com/weir-db/weir/internal/iotrule/iotsql"
	"github.com/weir-db/weir/internal/telemetry"
)

// Limits bound what one client can do; a zero field means AWS IoT Core's quota.
type Limits struct {
	PayloadBytes        int           // of a message; 128 KiB
	PacketBytes         int           // of a packet; 146 KiB
	FiltersPerSubscribe int           // 8
	Subscriptions       int           // per connection; 50
	Inflight            int           // QoS 1 messages that wait for a client, online or not; 1000
	PendingWrites       int           // messages on their way to a slow client; more are dropped; 1024
	SessionExpiry       time.Duration // of a session whose client is away; an hour
	KeepAliveMin        time.Duration // 30 s
	KeepAliveMax        time.Duration // 1200 s; also what 0 means
	Connections         int           // open at once, authenticated or not; 10,000
	ClientIDBytes       int           // 128
	TopicAliases        int           // per connection; 8
	MessageExpiryMax    time.Duration // 7 days
	StoredBytes         int           // of retained messages, sessions and queued messages on disk; 256 MiB
}

func (l Limits) withDefaults() Limits {
	set := func(field *int, quota int) {
		if *field == 0 {
			*field = quota
		}
	}
	setTime := func(field *time.Duration, quota time.Duration) {
		if *field == 0 {
			*field = quota
		}
	}
	set(&l.PayloadBytes, 128<<10)
	set(&l.PacketBytes, 146<<10)
	set(&l.FiltersPerSubscribe, 8)
	set(&l.Subscriptions, 50)
	set(&l.Inflight, 1000)
	set(&l.PendingWrites, 1024)
	set(&l.Connections, 10_000)
	set(&l.ClientIDBytes, 128)
	set(&l.TopicAliases, 8)
	set(&l.StoredBytes, 256<<20)
	setTime(&l.SessionExpiry, time.Hour)
	setTime(&l.KeepAliveMin, 30*time.Second)
	setTime(&l.KeepAliveMax, 1200*time.Second)
	setTime(&l.MessageExpiryMax, 7*24*time.Hour)
	return l
}

// Options configure a Broker. OnMessage is required.
type Options struct {
	// OnMessage gets every message that is published, by clients, by wills and by
	// [Broker.Publish]. nil acknowledges a QoS 1 message; an error refuses it, in MQTT
	// 3.1.1 by closing the connection, so that the client sends it again. It may block;
	// it blocks only the client that published.
	OnMessage func(ctx context.Context, m *iotrule.Message) error

	// Authenticate says who a client is, or refuses it; nil takes everybody.
	Authenticate func(c *ConnectInfo) (principal string, err error)
	// Authorize says whether a client may do action on resource, in the words of AWS
	// IoT policies: iot:Connect on client/ID, iot:Publish, iot:RetainPublish and
	// iot:Receive on topic/T, iot:Subscribe on topicfilter/F. nil allows everything.
	Authorize func(by Peer, action, resource string) bool

	// Documents keeps retained messages, persistent sessions and their messages; with
	// nil they end with the broker.
	Documents Documents

	Limits    Limits
	Telemetry *telemetry.Registry // nil: counts go nowhere
	Log       *slog.Logger        // nil: discard
}

// Peer is a client that was let in.
type Peer struct {
	Principal, ClientID string
	Remote              net.Addr
	TLS                 bool
}

// ConnectInfo is what a client says about itself.
type ConnectInfo struct {
	ClientID string
	Username string
	Password []byte
	Remote   net.Addr
	TLS      *tls.ConnectionState // nil without TLS
}

// Broker is an MQTT broker. See [New].
type Broker struct {
	opt    Options
	server *mochi.Server
	hook   *hook
	inline *mochi.Client // publishes what does not come from a client
	keeper *keeper       // nil without Options.Documents
	meters meters
	log    *rateLimited

	ctx    context.Context // of OnMessage; done when Close gives up waiting
	cancel context.CancelFunc
	open   atomic.Int64   // connections
	serves sync.WaitGroup // Serve loops and connections

	mu        sync.Mutex // guards the fields below
	listeners map[net.Listener]struct{}
	conns     map[*conn]struct{}
	closed    bool
}

// New returns a broker that serves nothing yet.
func New(opt Options) (*Broker, error) {
	opt.Limits = opt.Limits.withDefaults()
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.Telemetry == nil {
		opt.Telemetry = telemetry.New(telemetry.Options{})
	}
	b := &Broker{
		opt: opt, meters: newMeters(opt.Telemetry), log: &rateLimited{log: opt.Log},
		listeners: map[net.Listener]struct{}{}, conns: map[*conn]struct{}{},
	}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	l := &b.opt.Limits
	b.server = mochi.New(&mochi.Options{
		Capabilities: &mochi.Capabilities{
			MaximumClients:               int64(l.Connections),
			MaximumClientWritesPending:   int32(l.PendingWrites),
			MaximumSessionExpiryInterval: uint32(l.SessionExpiry / time.Second),
			MaximumPacketSize:            uint32(l.PacketBytes),
			ReceiveMaximum:               100,
			MaximumInflight:              uint16(l.Inflight),
			TopicAliasMaximum:            uint16(l.TopicAliases),
			SharedSubAvailable:           1,
			MinimumProtocolVersion:       3,
			MaximumQos:                   1,
			RetainAvailable:              1,
			WildcardSubAvailable:         1,
			Compatibilities:              mochi.Compatibilities{NoInheritedPropertiesOnAck: true},
		},
		ClientNetReadBufferSize: 4 << 10,
		SysTopicResendInterval:  1 << 30, // seconds: the $SYS topics are not part of AWS IoT
		// The library logs whole packets, values included; what matters is logged here.
		Logger: slog.New(slog.DiscardHandler),
	})
	b.hook = &hook{b: b}
	if err := b.server.AddHook(b.hook, nil); err != nil {
		return nil, fmt.Errorf("start the MQTT broker: %w", err)
	}
	if opt.Documents != nil {
		b.keeper = newKeeper(b, opt.Documents)
		if err := b.server.AddHook(b.keeper, nil); err != nil {
			return nil, fmt.Errorf("start the MQTT broker: %w", err)
		}
	}
	b.inline = b.server.NewClient(nil, mochi.LocalListener, "weir", true)
	b.inline.Properties.ProtocolVersion = 5
	if err := b.server.Serve(); err != nil {
		return nil, fmt.Errorf("start the MQTT broker: %w", err)
	}
	for topic := range b.server.Topics.Retained.GetAll() { // the $SYS topics of its start
		b.server.Topics.RetainMessage(packets.Packet{TopicName: topic})
	}
	if b.keeper != nil {
		if err := b.keeper.restore(); err != nil {
			_ = b.server.Close()
			return nil, err
		}
	}
	return b, nil
}

// Serve accepts connections from ln, which may be TLS, until Close; then it returns
// nil. It closes ln.
func (b *Broker) Serve(ln net.Listener) error {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		_ = ln.Close()
		return nil
	}
	b.listeners[ln] = struct{}{}
	b.serves.Add(1)
	b.mu.Unlock()
	defer b.serves.Done()
	defer ln.Close()
	for wait := time.Duration(0); ; {
		c, err := ln.Accept()
		switch {
		case err == nil:
			wait = 0
			b.accept(c)
		case errors.Is(err, net.ErrClosed):
			return nil
		default:
			// Out of file descriptors, most likely: it passes when clients leave.
			wait = min(max(2*wait, 5*time.Millisecond), time.Second)
			b.log.warn("MQTT connection not accepted", "err", err)
			select {
			case <-time.After(wait):
			case <-b.ctx.Done():
				return nil
			}
		}
	}
}

func (b *Broker) accept(nc net.Conn) {
	if b.open.Add(1) > int64(b.opt.Limits.Connections) {
		b.open.Add(-1)
		b.meters.connectThrottle.Observe(1)
		b.log.warn("MQTT connection refused", "remote", nc.RemoteAddr(), "err", fmt.Errorf("%d connections are open, the limit", b.opt.Limits.Connections))
		_ = nc.Close()
		return
	}
	c := newConn(nc, b.hook)
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		b.open.Add(-1)
		_ = nc.Close()
		return
	}
	b.conns[c] = struct{}{}
	b.serves.Add(1)
	b.mu.Unlock()
	go b.handle(c)
}

// handle serves one connection to its end.
func (b *Broker) handle(c *conn) {
	defer func() {
		// Bytes from the network must not end the process, whatever the library thinks of
		// them; v2.7.9 reads past the end of a SUBSCRIBE that is cut short.
		if p := recover(); p != nil {
			b.log.warn("MQTT client dropped", "client", c.id, "remote", c.RemoteAddr(), "err", fmt.Errorf("bug: panic: %v", p))
			b.opt.Log.Debug("bug: MQTT connection panicked", "err", p, "stack", string(debug.Stack()))
			b.forget(c)
		}
		_ = c.Close()
		c.ahead.tasks.Wait()
		b.mu.Lock()
		delete(b.conns, c)
		b.mu.Unlock()
		b.open.Add(-1)
		b.serves.Done()
	}()
	err := b.server.EstablishConnection(mochi.LocalListener, c)
	if cause := c.cause.Load(); cause != nil {
		err = errors.New(*cause)
	}
	switch {
	case err == nil, errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed), errors.Is(err, packets.ErrSessionTakenOver):
		b.opt.Log.Debug("MQTT client left", "client", c.id, "remote", c.RemoteAddr(), "err", err)
	default:
		if c.version == 0 {
			b.meters.connectClientError.Observe(1)
		}
		b.log.warn("MQTT client dropped", "client", c.id, "remote", c.RemoteAddr(), "err", err)
	}
}

// forget removes the session of a connection that did not end in order.
func (b *Broker) forget(c *conn) {
	if cl, ok := b.server.Clients.Get(c.id); ok && connOf(cl) == c {
		cl.Stop(packets.ErrMalformedPacket)
		cl.ClearInflights()
		b.server.UnsubscribeClient(cl)
		b.server.Clients.Delete(c.id)
		if b.keeper != nil {
			b.keeper.drop(c.id)
		}
	}
}

// Publish gives m to Options.OnMessage and then to the subscribers, as if a client
// had published it. Errors: fault.Invalid for its topic or size, and what OnMessage
// returns.
func (b *Broker) Publish(ctx context.Context, m *iotrule.Message) error {
	if err := iotrule.CheckTopic(m.Topic); err != nil {
		return err
	}
	if len(m.Payload) > b.opt.Limits.PayloadBytes {
		return fault.New(fault.Invalid, "The payload has %d bytes, more than %d.", len(m.Payload), b.opt.Limits.PayloadBytes)
	}
	if err := b.opt.OnMessage(ctx, m); err != nil {
		return err
	}
	if isBasicIngest(m.Topic) {
		return nil
	}
	return b.Deliver(ctx, m)
}

// Deliver gives m to subscribers, and keeps it if it is retained. With QoS 1 it
// returns when what has to be on disk is there; fault.Unavailable if that failed.
func (b *Broker) Deliver(_ context.Context, m *iotrule.Message) error {
	pk := packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: m.QoS, Retain: m.Retain},
		TopicName:   m.Topic,
		Payload:     m.Payload,
		PacketID:    uint16(m.QoS), // the library wants one with QoS 1
	}
	setProperties(&pk, m)
	if err := b.server.InjectPacket(b.inline, pk); err != nil {
		return fmt.Errorf("deliver a message on %s: %w", m.Topic, err)
	}
	if b.keeper.concerns(&pk) && m.QoS > 0 {
		if err := b.keeper.settleInline(); err != nil {
			return fault.Wrap(fault.Unavailable, err, "The message on %s was delivered, and could not be stored.", m.Topic)
		}
	}
	return nil
}

func setProperties(pk *packets.Packet, m *iotrule.Message) {
	p := &pk.Properties
	p.ContentType, p.ResponseTopic, p.CorrelationData = m.ContentType, m.ResponseTopic, m.CorrelationData
	p.MessageExpiryInterval = m.ExpirySeconds
	if m.UTF8Payload {
		p.PayloadFormat, p.PayloadFormatFlag = 1, true
	}
	for _, u := range m.UserProperties {
		p.User = append(p.User, packets.UserProperty{Key: u.Key, Val: u.Value})
	}
}

// messageOf returns the message in a PUBLISH. It shares the payload.
func messageOf(pk *packets.Packet) *iotrule.Message {
	p := &pk.Properties
	m := &iotrule.Message{
		Topic: pk.TopicName, Payload: pk.Payload, QoS: pk.FixedHeader.Qos, Retain: pk.FixedHeader.Retain,
		ContentType: p.ContentType, ResponseTopic: p.ResponseTopic, CorrelationData: p.CorrelationData,
		UTF8Payload: p.PayloadFormatFlag && p.PayloadFormat == 1, ExpirySeconds: p.MessageExpiryInterval,
	}
	for _, u := range p.User {
		m.UserProperties = append(m.UserProperties, iotsql.Property{Key: u.Key, Value: u.Val})
	}
	return m
}

// Retained returns the retained messages, ordered by topic.
func (b *Broker) Retained() []iotrule.Retained {
	all := b.server.Topics.Retained.GetAll()
	out := make([]iotrule.Retained, 0, len(all))
	for _, pk := range all {
		out = append(out, retainedOf(&pk))
	}
	slices.SortFunc(out, func(x, y iotrule.Retained) int { return strings.Compare(x.Topic, y.Topic) })
	return out
}

// RetainedMessage returns the retained message of a topic.
func (b *Broker) RetainedMessage(topic string) (m iotrule.Retained, ok bool) {
	pk, ok := b.server.Topics.Retained.Get(topic)
	if !ok {
		return m, false
	}
	return retainedOf(&pk), true
}

func retainedOf(pk *packets.Packet) iotrule.Retained {
	return iotrule.Retained{Message: *messageOf(pk), At: time.Unix(pk.Created, 0).UTC()}
}

// Session is one client's session.
type Session struct {
	ClientID  string
	Principal string
	Remote    string // address of the last connection
	Connected bool
	Filters   []string // sorted
}

// Sessions returns all sessions, ordered by client id.
func (b *Broker) Sessions() []Session {
	var out []Session
	for id, cl := range b.server.Clients.GetAll() {
		s := Session{ClientID: id, Remote: cl.Net.Remote, Connected: !cl.Closed()}
		if c, ok := cl.Net.Conn.(*conn); ok {
			s.Principal = c.principal
		}
		for filter := range cl.State.Subscriptions.GetAll() {
			s.Filters = append(s.Filters, filter)
		}
		slices.Sort(s.Filters)
		out = append(out, s)
	}
	slices.SortFunc(out, func(x, y Session) int { return strings.Compare(x.ClientID, y.ClientID) })
	return out
}

// Disconnect closes the connection of a client; ok is false if it has none.
func (b *Broker) Disconnect(clientID string) (ok bool) {
	cl, ok := b.server.Clients.Get(clientID)
	if !ok || cl.Closed() {
		return false
	}
	_ = b.server.DisconnectClient(cl, packets.ErrAdministrativeAction)
	return true
}

// DisconnectPrincipal closes the connections of a principal. What it may no longer do must
// be refused by Options.Authorize first: one that connects meanwhile is asked again.
func (b *Broker) DisconnectPrincipal(principal string) {
	for _, cl := range b.server.Clients.GetAll() {
		if c := connOf(cl); c != nil && c.principal == principal && !cl.Closed() {
			atomic.StoreUint32(&cl.Properties.Will.Flag, 0) // nor has it a will
			_ = b.server.DisconnectClient(cl, packets.ErrAdministrativeAction)
		}
	}
}

// Close stops listening, tells the clients, and waits until what they had sent is
// dealt with, or until ctx is done; then the connections are cut.
func (b *Broker) Close(ctx context.Context) error {
	b.mu.Lock()
	again := b.closed
	b.closed = true
	for ln := range b.listeners {
		_ = ln.Close()
	}
	b.mu.Unlock()
	for _, cl := range b.server.Clients.GetAll() {
		if !cl.Closed() {
			_ = b.server.DisconnectClient(cl, packets.ErrServerShuttingDown)
		}
	}
	b.mu.Lock()
	for c := range b.conns { // those that sent no CONNECT yet
		_ = c.Close()
	}
	b.mu.Unlock()
	done := make(chan struct{})
	go func() {
		b.serves.Wait()
		close(done)
	}()
	var err error
	select {
	case <-done:
	case <-ctx.Done():
		err = fmt.Errorf("close the MQTT broker: %w", ctx.Err())
	}
	b.cancel()
	if !again {
		stop := func() { _ = b.server.Close() } // waits for connections, too
		if err == nil {
			stop()
		} else {
			go stop()
		}
		if b.keeper != nil {
			err = errors.Join(err, b.keeper.journal.close())
		}
	}
	return err
}
