package pgwire

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/weir-db/weir/internal/iam"
)

// Codes of startup packets (Postgres manual, "Message Formats").
const (
	codeCancel = 1234<<16 | 5678
	codeTLS    = 1234<<16 | 5679
	codeGSS    = 1234<<16 | 5680
)

const (
	maxStartupBytes = 10_000  // as in Postgres
	maxLoginBytes   = 4 << 10 // of a message of an exchange of SCRAM
)

var errNotForUs = errors.New("no startup packet of Postgres")

// start reads startup packets up to the login, and answers until the client may send queries.
func (c *session) start() error {
	c.raw.SetDeadline(time.Now().Add(c.server.opts.LoginTimeout))
	parameters, err := c.negotiate()
	if err != nil || parameters == nil {
		return err
	}
	c.messages = pgproto3.NewBackend(c.conn, io.Discard)
	err = c.welcome(parameters)
	var refused *pgError
	if errors.As(err, &refused) {
		c.send(response(refused, "", 0))
		c.flush()
	}
	if err != nil {
		return err
	}
	c.raw.SetDeadline(time.Time{})
	if c.draining.Load() {
		c.drain()
	}
	c.messages.SetMaxBodyLen(c.server.opts.MaxMessageBytes)
	return nil
}

// negotiate reads packets until one that asks for a session, whose parameters it returns: nil after a request to cancel.
// Nothing is read ahead, so that nothing that was sent in the clear is taken for a part of what TLS protects.
func (c *session) negotiate() (map[string]string, error) {
	for range 4 { // TLS, GSS, and the same once more
		var head [8]byte
		if _, err := io.ReadFull(c.conn, head[:]); err != nil {
			return nil, err
		}
		size, code := int(binary.BigEndian.Uint32(head[:4])), binary.BigEndian.Uint32(head[4:])
		if size < 8 || size > maxStartupBytes {
			return nil, errNotForUs
		}
		body := make([]byte, size-8)
		if _, err := io.ReadFull(c.conn, body); err != nil {
			return nil, err
		}
		switch {
		case code == codeCancel && len(body) == 8:
			c.server.cancelQuery(binary.BigEndian.Uint64(body))
			return nil, nil
		case code == codeTLS && c.server.opts.TLS != nil && c.conn == c.raw:
			if _, err := c.conn.Write([]byte{'S'}); err != nil {
				return nil, err
			}
			secure := tls.Server(c.raw, c.server.opts.TLS)
			if err := secure.Handshake(); err != nil {
				return nil, err
			}
			c.conn = secure
		case code == codeTLS || code == codeGSS:
			if _, err := c.conn.Write([]byte{'N'}); err != nil {
				return nil, err
			}
		case code>>16 == 3:
			parameters := parametersOf(body)
			if parameters == nil {
				return nil, errNotForUs
			}
			if code&0xffff != 0 {
				c.send(&pgproto3.NegotiateProtocolVersion{NewestMinorProtocol: 0})
			}
			return parameters, nil
		case code>>16 == 2:
			c.send(response(fatalf(stateUnsupported, "unsupported frontend protocol %d.%d: server supports 3.0", code>>16, code&0xffff), "", 0))
			c.flush()
			return nil, errNotForUs
		default:
			return nil, errNotForUs
		}
	}
	return nil, errNotForUs
}

// parametersOf reads names and values that end with a zero each, and with one more at the end; nil if that is not what b is.
func parametersOf(b []byte) map[string]string {
	all := map[string]string{}
	parts := strings.Split(string(b), "\x00")
	for i := 0; i+1 < len(parts); i += 2 {
		if parts[i] == "" {
			return all
		}
		all[parts[i]] = parts[i+1]
	}
	return nil
}

// welcome logs the user in and tells the session's settings.
func (c *session) welcome(parameters map[string]string) error {
	if parameters["user"] == "" {
		return fatalf("28000", "no PostgreSQL user name specified in startup packet")
	}
	if parameters["replication"] != "" && parameters["replication"] != "false" {
		return fatalf(stateUnsupported, "replication is not supported")
	}
	c.user, c.database = parameters["user"], parameters["database"]
	if c.database == "" {
		c.database = c.user
	}
	if err := c.authenticate(); err != nil {
		return err
	}
	c.settings = newSettings(c.user)
	for name, value := range parameters {
		switch {
		case name == "user" || name == "database" || name == "options" || name == "replication" || strings.HasPrefix(name, "_pq_."):
			continue
		}
		if err := c.settings.set(name, value); err != nil {
			var e *pgError
			if errors.As(err, &e) {
				return &pgError{state: e.state, message: e.message, fatal: true}
			}
			return err
		}
	}
	if err := c.server.login(c); err != nil {
		return err
	}
	c.send(&pgproto3.AuthenticationOk{})
	for _, name := range reported {
		c.send(&pgproto3.ParameterStatus{Name: name, Value: c.settings.values[strings.ToLower(name)]})
	}
	var secret [4]byte
	binary.BigEndian.PutUint32(secret[:], uint32(c.key))
	c.send(&pgproto3.BackendKeyData{ProcessID: uint32(c.key >> 32), SecretKey: secret[:]})
	c.send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	return c.flush()
}

// authenticate finds out who the user acts as. Users that are not known get the same exchange as others.
func (c *session) authenticate() error {
	o := &c.server.opts
	if o.Credential == nil {
		c.caller = o.Anyone
		return nil
	}
	who, unknown := o.Credential(c.user)
	if unknown != nil {
		b := make([]byte, 32)
		rand.Read(b)
		who.Secret = hex.EncodeToString(b)
	}
	salt := hmac.New(sha256.New, c.server.salts)
	salt.Write([]byte(c.user))
	exchange := &scram{secret: who.Secret, salt: salt.Sum(nil)[:16]}
	ok, err := c.exchange(exchange)
	if err != nil {
		return err
	}
	if !ok || unknown != nil {
		c.server.meters.failedLogins.Add(1)
		select {
		case <-time.After(o.FailedLogin):
		case <-c.server.ctx.Done():
		}
		return fatalf(stateBadAuth, "password authentication failed for user %s: want an access key and its secret", strconv.Quote(c.user))
	}
	c.caller, c.secret = who.ARN, who.Secret
	return nil
}

// exchange talks SCRAM; ok says whether the client knows the secret.
func (c *session) exchange(s *scram) (ok bool, err error) {
	malformed := fatalf(stateProtocol, "malformed SCRAM message")
	c.messages.SetMaxBodyLen(maxLoginBytes)
	c.send(&pgproto3.AuthenticationSASL{AuthMechanisms: []string{scramMechanism}})
	if err := c.flush(); err != nil {
		return false, err
	}
	c.messages.SetAuthType(pgproto3.AuthTypeSASL)
	m, err := c.messages.Receive()
	if err != nil {
		return false, err
	}
	first, isFirst := m.(*pgproto3.SASLInitialResponse)
	if !isFirst || first.AuthMechanism != scramMechanism {
		return false, malformed
	}
	answer, err := s.begin(string(first.Data))
	if err != nil {
		return false, malformed
	}
	c.send(&pgproto3.AuthenticationSASLContinue{Data: []byte(answer)})
	if err := c.flush(); err != nil {
		return false, err
	}
	c.messages.SetAuthType(pgproto3.AuthTypeSASLContinue)
	if m, err = c.messages.Receive(); err != nil {
		return false, err
	}
	last, isLast := m.(*pgproto3.SASLResponse)
	if !isLast {
		return false, malformed
	}
	if answer, ok, err = s.finish(string(last.Data)); err != nil {
		return false, malformed
	}
	if ok {
		c.send(&pgproto3.AuthenticationSASLFinal{Data: []byte(answer)})
	}
	return ok, nil
}

// stillAllowed says whether the key that the user logged in with is still valid.
func (c *session) stillAllowed() error {
	if c.server.opts.Credential == nil {
		return nil
	}
	who, err := c.server.opts.Credential(c.user)
	if err != nil || subtle.ConstantTimeCompare([]byte(who.Secret), []byte(c.secret)) == 0 {
		return fatalf("28000", "the access key %s is no longer valid", strconv.Quote(c.user))
	}
	return nil
}

// conditions adds what policies may ask about to a context.
func (c *session) conditions(ctx context.Context) context.Context {
	return iam.WithContext(ctx, func(key string) []string {
		switch key {
		case "aws:sourceip":
			if host, _, err := net.SplitHostPort(c.raw.RemoteAddr().String()); err == nil {
				return []string{host}
			}
		case "aws:securetransport":
			return []string{strconv.FormatBool(c.conn != c.raw)}
		case "aws:requestedregion":
			return []string{c.server.opts.Region}
		}
		return nil
	})
}
