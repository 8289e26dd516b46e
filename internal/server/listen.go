package server

import (
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"fmt"
	"net"

	"github.com/weir-db/weir/internal/awsapi"
	"github.com/weir-db/weir/internal/iam"
	"github.com/weir-db/weir/internal/mqtt"
	"github.com/weir-db/weir/internal/pgwire"
	"github.com/weir-db/weir/internal/registry"
	"github.com/weir-db/weir/internal/sigv4"
	"github.com/weir-db/weir/internal/telemetry"
)

// listen opens the addresses of all doors that are on.
func (s *Server) listen() error {
	config, err := s.tlsConfig()
	if err != nil {
		return err
	}
	for _, door := range []struct{ name, addr string }{{"aws", s.opts.Listen}, {"mqtt", s.opts.MQTTListen}, {"pg", s.opts.PGListen}} {
		if door.addr == "" {
			continue
		}
		ln, err := net.Listen("tcp", door.addr)
		if err != nil {
			return fmt.Errorf("listen for %s: %w", door.name, err)
		}
		if config != nil && door.name != "pg" { // whose clients ask for TLS in their own protocol
			doorConfig := config
			if door.name == "mqtt" {
				// A certificate is no duty, and no chain is verified: the registry knows
				// each certificate that counts. The handshake proves the key.
				doorConfig = config.Clone()
				doorConfig.ClientAuth = tls.RequestClientCert
			}
			ln = tls.NewListener(ln, doorConfig)
		}
		s.doors[door.name] = ln
	}
	return nil
}

func (s *Server) tlsConfig() (*tls.Config, error) {
	o := s.opts
	if o.TLSCertFile == "" && o.TLSKeyFile == "" {
		return nil, nil
	}
	if o.TLSCertFile == "" || o.TLSKeyFile == "" {
		return nil, errors.New("TLS needs both a certificate and a key")
	}
	cert, err := tls.LoadX509KeyPair(o.TLSCertFile, o.TLSKeyFile)
	if err != nil {
		return nil, fmt.Errorf("TLS certificate: %w", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}, nil
}

// signed decides whether requests are verified.
func (s *Server) signed() (bool, error) {
	o := s.opts
	if (o.RootAccessKeyID == "") != (o.RootSecretAccessKey == "") {
		return false, errors.New("set both WEIR_ROOT_ACCESS_KEY_ID and WEIR_ROOT_SECRET_ACCESS_KEY, or neither")
	}
	switch o.Auth {
	case AuthOff:
		return false, nil
	case AuthAuto:
		open := s.openDoor()
		if open == "" {
			return false, nil
		}
		if o.RootAccessKeyID == "" {
			return false, fmt.Errorf("%s is not a loopback address: set WEIR_ROOT_ACCESS_KEY_ID and WEIR_ROOT_SECRET_ACCESS_KEY, the root keys that every request is verified with, or --auth off to serve anybody", open)
		}
		return true, nil
	case AuthIAM:
		if o.RootAccessKeyID == "" {
			return false, errors.New("--auth iam needs WEIR_ROOT_ACCESS_KEY_ID and WEIR_ROOT_SECRET_ACCESS_KEY, the account's root keys")
		}
		return true, nil
	}
	return false, fmt.Errorf("--auth %s: want auto, off or iam", o.Auth)
}

// openDoor returns the address of a door that others than this machine can reach, or "".
func (s *Server) openDoor() string {
	for _, ln := range s.doors {
		if a, ok := ln.Addr().(*net.TCPAddr); !ok || !a.IP.IsLoopback() {
			return ln.Addr().String()
		}
	}
	return ""
}

func authenticator(signed bool, accountID string, principals *iam.Directory) awsapi.Authenticator {
	if signed {
		return awsapi.Signed{Keys: principals, Verifier: &sigv4.Verifier{}}
	}
	return awsapi.Anyone{AccountID: accountID, Known: principals}
}

// openPostgres makes the Postgres door, which serves nothing yet.
func (s *Server) openPostgres(signed bool, principals *iam.Directory, reg *telemetry.Registry) (*pgwire.Server, error) {
	config, err := s.tlsConfig()
	if err != nil {
		return nil, err
	}
	o := pgwire.Options{
		Queries: s.queries, Anyone: awsapi.Root(s.opts.AccountID).ARN, Region: s.opts.Region, TLS: config,
		MaxConnections: s.opts.PGMaxConnections, Telemetry: reg, Log: s.opts.Log.With("part", "pg"),
	}
	if signed {
		o.Credential = func(key string) (iam.Identity, error) { return principals.Credential(key, "") }
	}
	return pgwire.New(o), nil
}

// mqttAuth takes clients that show a certificate by what the registry says of it, whether
// requests are verified or not. Of others it takes everybody, or those whose user name and
// password are an access key and its secret.
func mqttAuth(signed bool, principals *iam.Directory, devices *registry.Registry) func(*mqtt.ConnectInfo) (string, error) {
	return func(c *mqtt.ConnectInfo) (string, error) {
		if c.TLS != nil && len(c.TLS.PeerCertificates) > 0 {
			return devices.Authenticate(c.TLS.PeerCertificates[0])
		}
		if !signed {
			return "", nil
		}
		who, err := principals.Credential(c.Username, "")
		if err != nil {
			return "", err
		}
		if subtle.ConstantTimeCompare([]byte(who.Secret), c.Password) == 0 {
			return "", iam.ErrUnknownKey
		}
		return who.ARN, nil
	}
}
