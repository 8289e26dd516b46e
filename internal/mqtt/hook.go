package mqtt

import (
	"bytes"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/weir-db/weir/internal/iotrule"
	"github.com/weir-db/weir/internal/iotrule/iotsql"
)

// hook is all of AWS IoT Core's behaviour that the library lacks (AWS IoT guide,
// "MQTT", "How AWS IoT Core differs from MQTT specifications").
type hook struct {
	mochi.HookBase
	b *Broker
}

func (h *hook) ID() string { return "weir" }

func (h *hook) Provides(method byte) bool {
	return bytes.IndexByte([]byte{
		mochi.OnConnect, mochi.OnConnectAuthenticate, mochi.OnSessionEstablish, mochi.OnSessionEstablished, mochi.OnACLCheck,
		mochi.OnPacketRead, mochi.OnPacketEncode, mochi.OnPublish, mochi.OnSubscribe, mochi.OnSubscribed, mochi.OnWillSent, mochi.OnPublishDropped,
	}, method) >= 0
}

// connOf returns the connection of a client; nil for the broker's own.
func connOf(cl *mochi.Client) *conn {
	c, _ := cl.Net.Conn.(*conn)
	return c
}

// refuse ends a connection with a reason code, which MQTT 5 clients are told.
func (h *hook) refuse(cl *mochi.Client, code packets.Code, why string) {
	if c := connOf(cl); c != nil {
		c.cause.CompareAndSwap(nil, &why)
	}
	if cl.Properties.ProtocolVersion == 5 {
		_ = h.b.server.DisconnectClient(cl, code)
	}
	cl.Stop(code)
}

// minClientPacket is the least maximum packet size, in bytes, that a client may ask for.
const minClientPacket = 512

// OnConnect admits a client, or answers CONNACK with the reason and returns it.
func (h *hook) OnConnect(cl *mochi.Client, pk packets.Packet) error {
	c := connOf(cl)
	if c == nil {
		return nil
	}
	c.mu.Lock()
	c.version = cl.Properties.ProtocolVersion
	c.mu.Unlock()
	c.id = cl.ID
	v5 := c.version == 5
	reject := func(code, code3 packets.Code, why string) error {
		h.b.meters.connectClientError.Observe(1)
		return h.connack(cl, code, code3, why)
	}
	lim := &h.b.opt.Limits
	switch {
	case len(cl.ID) > lim.ClientIDBytes, strings.HasPrefix(cl.ID, "$"):
		return reject(packets.ErrClientIdentifierNotValid, packets.Err3ClientIdentifierNotValid, "the client id is longer than 128 bytes or starts with $")
	case v5 && pk.Properties.MaximumPacketSize > 0 && pk.Properties.MaximumPacketSize < minClientPacket:
		return reject(packets.ErrPacketTooLarge, packets.Err3ServerUnavailable, "the client's maximum packet size is below 512 bytes")
	case v5 && pk.Properties.AuthenticationMethod != "":
		return reject(packets.ErrBadAuthenticationMethod, packets.Err3NotAuthorized, "enhanced authentication is not supported")
	}
	if err := h.authenticate(cl, c, pk); err != nil {
		h.b.meters.connectAuthError.Observe(1)
		return h.connack(cl, packets.ErrNotAuthorized, packets.Err3NotAuthorized, err.Error())
	}
	if pk.Connect.WillFlag {
		if err := iotrule.CheckTopic(pk.Connect.WillTopic); err != nil {
			return reject(packets.ErrTopicNameInvalid, packets.Err3ServerUnavailable, "will: "+err.Error())
		}
		if !h.allowed(c, "iot:Publish", "topic/"+pk.Connect.WillTopic) || pk.Connect.WillRetain && !h.allowed(c, "iot:RetainPublish", "topic/"+pk.Connect.WillTopic) {
			h.b.meters.connectAuthError.Observe(1)
			return h.connack(cl, packets.ErrNotAuthorized, packets.Err3NotAuthorized, "the will's topic is not allowed")
		}
	}
	h.clampKeepAlive(cl, lim)
	return nil
}

func (h *hook) clampKeepAlive(cl *mochi.Client, lim *Limits) {
	asked := time.Duration(cl.State.Keepalive) * time.Second
	given := min(max(asked, lim.KeepAliveMin), lim.KeepAliveMax)
	if asked == 0 {
		given = lim.KeepAliveMax
	}
	if given != asked {
		cl.State.Keepalive = uint16(given / time.Second)
		cl.State.ServerKeepalive = true
	}
}

// connack answers a CONNECT that is refused; the error ends the connection.
func (h *hook) connack(cl *mochi.Client, code, code3 packets.Code, why string) error {
	connOf(cl).cause.CompareAndSwap(nil, &why)
	if cl.Properties.ProtocolVersion < 5 {
		code = code3
	}
	_ = h.b.server.SendConnack(cl, code, false, nil)
	return code
}

func (h *hook) authenticate(cl *mochi.Client, c *conn, pk packets.Packet) error {
	if auth := h.b.opt.Authenticate; auth != nil {
		info := &ConnectInfo{ClientID: cl.ID, Username: string(pk.Connect.Username), Password: pk.Connect.Password, Remote: c.RemoteAddr()}
		if t, ok := c.Conn.(*tls.Conn); ok {
			state := t.ConnectionState()
			info.TLS = &state
		}
		principal, err := auth(info)
		if err != nil {
			return err
		}
		c.principal = principal
	}
	if !h.allowed(c, "iot:Connect", "client/"+cl.ID) {
		return errNotAllowed
	}
	return nil
}

var errNotAllowed = errors.New("not allowed to connect")

func (h *hook) allowed(c *conn, action, resource string) bool {
	if h.b.opt.Authorize == nil {
		return true
	}
	return h.b.opt.Authorize(Peer{c.principal, c.id, c.RemoteAddr(), c.overTLS}, action, resource)
}

// OnConnectAuthenticate agrees: OnConnect has decided, with better reason codes.
func (h *hook) OnConnectAuthenticate(*mochi.Client, packets.Packet) bool { return true }

// OnSessionEstablish runs before a session is taken over with its filters.
func (h *hook) OnSessionEstablish(cl *mochi.Client, _ packets.Packet) {
	if old, ok := h.b.server.Clients.Get(cl.ID); ok {
		if was, now := connOf(old), connOf(cl); was != nil && now != nil && was.hash.Load() {
			now.hash.Store(true)
		}
	}
}

func (h *hook) OnSessionEstablished(cl *mochi.Client, _ packets.Packet) {
	// Whoever lost the right to connect before the client was among those that
	// DisconnectPrincipal sees is found here.
	if c := connOf(cl); c != nil && !h.allowed(c, "iot:Connect", "client/"+cl.ID) {
		h.b.meters.connectAuthError.Observe(1)
		h.refuse(cl, packets.ErrNotAuthorized, errNotAllowed.Error())
		return
	}
	h.b.meters.connectSuccess.Observe(1)
	h.b.opt.Log.Debug("MQTT client connected", "client", cl.ID, "remote", cl.Net.Remote)
}

// OnPacketRead sees every packet before it is acted on. ErrRejectPacket ends the
// connection, which refuse has closed by then.
func (h *hook) OnPacketRead(cl *mochi.Client, pk packets.Packet) (packets.Packet, error) {
	code, why := packets.CodeSuccess, ""
	switch pk.FixedHeader.Type {
	case packets.Publish:
		if c := connOf(cl); c != nil && c.ahead != nil {
			c.ahead.next()
		}
		code, why = h.checkPublish(&pk)
		h.clampExpiry(&pk)
		if code != packets.CodeSuccess {
			h.b.meters.publishInClientError.Observe(1)
		}
	case packets.Subscribe:
		code, why = h.checkSubscribe(&pk)
	case packets.Unsubscribe:
		if len(pk.Filters) > h.b.opt.Limits.FiltersPerSubscribe {
			code, why = packets.ErrQuotaExceeded, "more than 8 filters in one UNSUBSCRIBE"
		}
	case packets.Pingreq:
		h.b.meters.ping.Observe(1)
	case packets.Connect, packets.Disconnect, packets.Puback:
	default:
		code, why = packets.ErrProtocolViolation, "a packet that only servers or QoS 2 use: "+packets.PacketNames[pk.FixedHeader.Type]
	}
	if code == packets.CodeSuccess {
		return pk, nil
	}
	h.refuse(cl, code, why)
	return pk, packets.ErrRejectPacket
}

func (h *hook) clampExpiry(pk *packets.Packet) {
	pk.Properties.MessageExpiryInterval = min(pk.Properties.MessageExpiryInterval, uint32(h.b.opt.Limits.MessageExpiryMax/time.Second))
}

func (h *hook) mayPublish(c *conn, pk *packets.Packet) bool {
	return h.allowed(c, "iot:Publish", "topic/"+pk.TopicName) && (!pk.FixedHeader.Retain || h.allowed(c, "iot:RetainPublish", "topic/"+pk.TopicName))
}

// store runs the rules on what a client publishes.
func (h *hook) store(c *conn, pk *packets.Packet) error {
	m := messageOf(pk)
	m.ClientID, m.Principal = c.id, c.principal
	return h.b.opt.OnMessage(h.b.ctx, m)
}

// checkPublish looks at what needs no resolved topic alias.
func (h *hook) checkPublish(pk *packets.Packet) (packets.Code, string) {
	switch {
	case pk.FixedHeader.Qos > 1:
		return packets.ErrQosNotSupported, "a PUBLISH of QoS 2"
	case len(pk.Payload) > h.b.opt.Limits.PayloadBytes:
		return packets.ErrPacketTooLarge, "a payload of more than 128 KiB"
	case pk.TopicName == "" && pk.Properties.TopicAliasFlag:
		return packets.CodeSuccess, ""
	}
	return checkTopic(pk)
}

func checkTopic(pk *packets.Packet) (packets.Code, string) {
	if err := iotrule.CheckTopic(pk.TopicName); err != nil {
		return packets.ErrTopicNameInvalid, err.Error()
	}
	if pk.FixedHeader.Retain && isBasicIngest(pk.TopicName) {
		return packets.ErrTopicNameInvalid, "a retained message on a reserved topic"
	}
	return packets.CodeSuccess, ""
}

func isBasicIngest(topic string) bool { return strings.HasPrefix(topic, "$aws/rules/") }

func (h *hook) checkSubscribe(pk *packets.Packet) (packets.Code, string) {
	switch {
	case len(pk.Filters) > h.b.opt.Limits.FiltersPerSubscribe:
		return packets.ErrQuotaExceeded, "more than 8 filters in one SUBSCRIBE"
	case len(pk.Properties.SubscriptionIdentifier) > 0:
		return packets.ErrSubscriptionIdentifiersNotSupported, "a subscription identifier"
	}
	for i := range pk.Filters {
		if pk.Filters[i].Qos > 1 {
			return packets.ErrQosNotSupported, "a SUBSCRIBE of QoS 2"
		}
	}
	return packets.CodeSuccess, ""
}

// OnPublish runs in the connection's goroutine before the message is acknowledged
// and delivered.
func (h *hook) OnPublish(cl *mochi.Client, pk packets.Packet) (packets.Packet, error) {
	c := connOf(cl)
	if c == nil {
		return pk, nil // from Deliver: whoever called it has run the rules
	}
	if code, why := checkTopic(&pk); code != packets.CodeSuccess { // an alias that was never set
		h.refuse(cl, code, why)
		return pk, packets.ErrRejectPacket
	}
	if !h.mayPublish(c, &pk) {
		h.b.meters.publishInAuthError.Observe(1)
		return pk, h.refusePublish(cl, &pk, packets.ErrNotAuthorized, "not allowed to publish on "+pk.TopicName)
	}
	if err := c.ahead.stored(c, &pk); err != nil {
		h.b.meters.publishInServerError.Observe(1)
		h.b.log.warn("MQTT message not taken", "client", c.id, "topic", pk.TopicName, "err", err)
		if pk.FixedHeader.Qos == 0 {
			return pk, packets.ErrRejectPacket // nothing was promised
		}
		return pk, h.refusePublish(cl, &pk, packets.ErrUnspecifiedError, err.Error())
	}
	h.b.meters.publishInSuccess.Observe(1)
	if isBasicIngest(pk.TopicName) {
		return pk, packets.CodeSuccessIgnore
	}
	if !h.b.keeper.concerns(&pk) {
		return pk, nil
	}
	if err := h.b.keeper.publish(cl, c, pk); err != nil {
		h.b.meters.publishInServerError.Observe(1)
		return pk, h.refusePublish(cl, &pk, packets.ErrUnspecifiedError, err.Error())
	}
	return pk, packets.CodeSuccessIgnore // it is delivered
}

// refusePublish answers PUBACK with the code where that exists, else it ends the
// connection.
func (h *hook) refusePublish(cl *mochi.Client, pk *packets.Packet, code packets.Code, why string) error {
	if cl.Properties.ProtocolVersion == 5 && pk.FixedHeader.Qos > 0 {
		return code
	}
	h.refuse(cl, code, why)
	return packets.ErrRejectPacket
}

// OnSubscribe judges the filters; what it refuses, OnACLCheck turns down and
// OnSubscribed words.
func (h *hook) OnSubscribe(cl *mochi.Client, pk packets.Packet) packets.Packet {
	c := connOf(cl)
	if c == nil {
		return pk
	}
	verdicts := make([]verdict, len(pk.Filters))
	have := cl.State.Subscriptions.Len()
	for i := range pk.Filters {
		f := &pk.Filters[i]
		v := verdict{filter: f.Filter}
		plain, ok := plainFilter(f.Filter)
		_, held := cl.State.Subscriptions.Get(f.Filter)
		switch {
		case !ok || iotsql.CheckFilter(plain) != nil || strings.HasPrefix(plain, "$"):
			v.code = packets.ErrTopicFilterInvalid.Code
		case !held && have >= h.b.opt.Limits.Subscriptions:
			v.code = packets.ErrQuotaExceeded.Code
		case !h.allowed(c, "iot:Subscribe", "topicfilter/"+f.Filter):
			v.code = packets.ErrNotAuthorized.Code
		default:
			if !held {
				have++
			}
			if strings.ContainsAny(plain, "+#") {
				f.RetainHandling = 2 // retained messages go to equal filters only
			}
			if strings.HasSuffix(plain, "#") {
				c.hash.Store(true)
			}
		}
		verdicts[i] = v
	}
	c.pending.Store(&verdicts)
	return pk
}

// plainFilter takes $share/group/ off a filter; ok is false if the group is bad.
func plainFilter(filter string) (plain string, ok bool) {
	rest, shared := strings.CutPrefix(filter, "$share/")
	if !shared {
		return filter, true
	}
	group, plain, ok := strings.Cut(rest, "/")
	return plain, ok && group != "" && len(group) <= 128 && !strings.ContainsAny(group, "+#")
}

// OnSubscribed puts the reasons into the answer, which has not been sent yet. MQTT
// 3.1.1 knows only "failure".
func (h *hook) OnSubscribed(cl *mochi.Client, _ packets.Packet, codes []byte) {
	c := connOf(cl)
	if c == nil {
		return
	}
	verdicts := c.pending.Swap(nil)
	if verdicts == nil {
		return
	}
	for i, v := range *verdicts {
		if i < len(codes) && v.code != 0 {
			codes[i] = v.code
			if cl.Properties.ProtocolVersion < 5 {
				codes[i] = packets.ErrUnspecifiedError.Code
			}
		}
		if v.code == 0 {
			h.b.meters.subscribeSuccess.Observe(1)
		} else {
			h.b.meters.subscribeClientError.Observe(1)
		}
	}
}

// OnACLCheck is asked about each filter of a SUBSCRIBE and about each delivery;
// publishing is decided in OnPublish. A topic that is also the text of a filter
// being subscribed to gets the filter's answer for that moment.
func (h *hook) OnACLCheck(cl *mochi.Client, topic string, write bool) bool {
	c := connOf(cl)
	if c == nil || write {
		return true
	}
	if verdicts := c.pending.Load(); verdicts != nil {
		for _, v := range *verdicts {
			if v.filter == topic {
				return v.code == 0
			}
		}
	}
	if c.hash.Load() && !matchesAny(cl, topic) {
		return false // only x/# of the standard takes x
	}
	if !h.allowed(c, "iot:Receive", "topic/"+topic) {
		h.b.meters.publishOutAuthError.Observe(1)
		return false
	}
	h.b.meters.publishOutSuccess.Observe(1)
	return true
}

func matchesAny(cl *mochi.Client, topic string) bool {
	for filter := range cl.State.Subscriptions.GetAll() {
		if plain, _ := plainFilter(filter); iotsql.MatchFilter(plain, topic) {
			return true
		}
	}
	return false
}

// OnPacketEncode completes CONNACK: its properties in MQTT 5, and codes that MQTT 3
// knows.
func (h *hook) OnPacketEncode(cl *mochi.Client, pk packets.Packet) packets.Packet {
	if pk.FixedHeader.Type != packets.Connack {
		return pk
	}
	if pk.ReasonCode == 0 && pk.SessionPresent {
		h.disinherit(cl)
	}
	if cl.Properties.ProtocolVersion < 5 {
		if pk.ReasonCode > packets.Err3NotAuthorized.Code {
			pk.ReasonCode = packets.Err3ServerUnavailable.Code
		}
		return pk
	}
	if pk.ReasonCode == 0 {
		p, lim := &pk.Properties, &h.b.opt.Limits
		p.MaximumPacketSize = uint32(lim.PacketBytes)
		p.TopicAliasMaximum = uint16(lim.TopicAliases)
		p.RetainAvailable, p.RetainAvailableFlag = 1, true
		p.WildcardSubAvailable, p.WildcardSubAvailableFlag = 1, true
		p.SubIDAvailable, p.SubIDAvailableFlag = 0, true
		p.SharedSubAvailable, p.SharedSubAvailableFlag = 1, true
	}
	return pk
}

// disinherit takes from a session, before anything of it is sent, what its client may not have:
// the one before may have been another principal, or the policies have changed since.
func (h *hook) disinherit(cl *mochi.Client) {
	c := connOf(cl)
	if c == nil || h.b.opt.Authorize == nil {
		return
	}
	for filter := range cl.State.Subscriptions.GetAll() {
		if !h.allowed(c, "iot:Subscribe", "topicfilter/"+filter) {
			cl.State.Subscriptions.Delete(filter)
			if h.b.server.Topics.Unsubscribe(filter, cl.ID) {
				atomic.AddInt64(&h.b.server.Info.Subscriptions, -1)
			}
		}
	}
	for _, m := range cl.State.Inflight.GetAll(false) {
		// One that had only an alias of the connection before has no topic to judge.
		may := m.FixedHeader.Type != packets.Publish || m.TopicName != "" && h.allowed(c, "iot:Receive", "topic/"+m.TopicName)
		if !may && cl.State.Inflight.Delete(m.PacketID) {
			atomic.AddInt64(&h.b.server.Info.Inflight, -1)
			h.b.meters.publishOutAuthError.Observe(1)
			if h.b.keeper != nil {
				h.b.keeper.acknowledged(cl.ID, m.PacketID)
			}
		}
	}
}

// OnWillSent runs the rules on a will, if its client may still publish it; its subscribers have it.
func (h *hook) OnWillSent(cl *mochi.Client, pk packets.Packet) {
	m := messageOf(&pk)
	m.ClientID = cl.ID
	if c := connOf(cl); c != nil {
		if !h.allowed(c, "iot:Publish", "topic/"+pk.TopicName) {
			h.b.meters.publishInAuthError.Observe(1)
			return
		}
		m.Principal = c.principal
	}
	if err := h.b.opt.OnMessage(h.b.ctx, m); err != nil {
		h.b.log.warn("will not stored", "client", cl.ID, "topic", pk.TopicName, "err", err)
	}
}

func (h *hook) OnPublishDropped(cl *mochi.Client, _ packets.Packet) {
	h.b.meters.publishOutThrottle.Observe(1)
	h.b.log.warn("MQTT message dropped: the client reads too slowly", "client", cl.ID, "remote", remoteOf(cl))
}

func remoteOf(cl *mochi.Client) net.Addr {
	if c := connOf(cl); c != nil {
		return c.RemoteAddr()
	}
	return nil
}
