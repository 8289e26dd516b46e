package registry

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"
)

// authority signs the certificates of devices. Its document is JSON: Certificate and
// Key, both PEM.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

type authorityDocument struct{ Certificate, Key string }

// The ends of validity are those of AWS: 2049-12-31.
var endOfTime = time.Date(2049, 12, 31, 23, 59, 59, 0, time.UTC)

func readAuthority(doc []byte) (*authority, error) {
	var d authorityDocument
	if err := json.Unmarshal(doc, &d); err != nil {
		return nil, err
	}
	cert, err := parseCertificate(d.Certificate)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode([]byte(d.Key))
	if block == nil {
		return nil, errors.New("the key is not PEM")
	}
	key, err := x509.ParseECPrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	return &authority{cert, key}, nil
}

// authority returns the certificate authority, which it makes if there is none. The
// lock is held.
func (r *Registry) authority() (*authority, error) {
	if r.ca != nil {
		return r.ca, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	name := pkix.Name{CommonName: "weir devices", Organization: []string{"weir"}}
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: name, NotBefore: r.opt.Now().Add(-time.Hour), NotAfter: endOfTime,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	doc := authorityDocument{encode("CERTIFICATE", der), encode("EC PRIVATE KEY", keyDER)}
	if err := r.save("ca", doc); err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	r.ca = &authority{cert, key}
	return r.ca, nil
}

func serial() *big.Int {
	var b [20]byte
	_, _ = rand.Read(b[:]) // never fails
	b[0] = b[0]&0x7f | 0x40
	return new(big.Int).SetBytes(b[:])
}

func encode(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// maxPEM bounds what is parsed, in bytes.
const maxPEM = 16 << 10

// parseCertificate reads the one certificate in a PEM text.
func parseCertificate(text string) (*x509.Certificate, error) {
	if len(text) > maxPEM {
		return nil, fmt.Errorf("it has %d bytes, more than %d", len(text), maxPEM)
	}
	block, rest := pem.Decode([]byte(text))
	switch {
	case block == nil || block.Type != "CERTIFICATE":
		return nil, errors.New("it is not a certificate in PEM form")
	case strings.TrimSpace(string(rest)) != "":
		return nil, errors.New("there is more than one certificate")
	}
	return x509.ParseCertificate(block.Bytes)
}

func idOf(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:])
}

func statusOf(active bool) string {
	if active {
		return Active
	}
	return Inactive
}

// KeyPair is of a device, as PEM.
type KeyPair struct{ Public, Private string }

// CreateKeys makes an RSA key of 2048 bits, as AWS does, and a certificate for it. The
// key is not kept.
func (r *Registry) CreateKeys(active bool) (*Certificate, KeyPair, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, KeyPair{}, err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, KeyPair{}, err
	}
	c, err := r.sign(pkix.Name{CommonName: "AWS IoT Certificate"}, key.Public(), active)
	return c, KeyPair{encode("PUBLIC KEY", public), encode("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key))}, err
}

// CreateFromCSR makes a certificate for a signing request, PEM: its subject and its key.
func (r *Registry) CreateFromCSR(text string, active bool) (*Certificate, error) {
	block, _ := pem.Decode([]byte(text))
	if len(text) > maxPEM || block == nil || !strings.HasSuffix(block.Type, "CERTIFICATE REQUEST") {
		return nil, invalid("The certificate signing request is not one in PEM form.")
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err == nil {
		err = csr.CheckSignature()
	}
	if err != nil {
		return nil, invalid("The certificate signing request is invalid: %s.", err)
	}
	switch key := csr.PublicKey.(type) {
	case *rsa.PublicKey:
		if key.N.BitLen() < 2048 {
			return nil, invalid("The key of the certificate signing request has %d bits; RSA needs 2048.", key.N.BitLen())
		}
	case *ecdsa.PublicKey:
	default:
		return nil, invalid("The key of the certificate signing request is neither RSA nor ECDSA.")
	}
	return r.sign(csr.Subject, csr.PublicKey, active)
}

func (r *Registry) sign(subject pkix.Name, public any, active bool) (*Certificate, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	ca, err := r.authority()
	if err != nil {
		return nil, fmt.Errorf("make the authority of devices: %w", err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: serial(), Subject: subject, NotBefore: r.opt.Now().Add(-2 * time.Minute), NotAfter: endOfTime,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, ca.cert, public, ca.key)
	if err != nil {
		return nil, fmt.Errorf("sign a certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return r.add(leaf, statusOf(active), true)
}

// Register adds a certificate of any authority, PEM, as active or inactive.
func (r *Registry) Register(text, status string) (*Certificate, error) {
	leaf, err := parseCertificate(text)
	if err != nil {
		return nil, refuse("CertificateValidationException", "The certificate is invalid: %s.", err)
	}
	if status == "" {
		status = Inactive
	}
	if status != Active && status != Inactive {
		return nil, invalid("A certificate is registered as ACTIVE or INACTIVE, not %q.", status)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.add(leaf, status, false)
}

func (r *Registry) add(leaf *x509.Certificate, status string, own bool) (*Certificate, error) {
	id := idOf(leaf)
	if r.certs[id] != nil {
		return nil, exists("certificate", id, r.ARN("cert", id))
	}
	if len(r.certs) >= maxCerts {
		return nil, refuse("LimitExceededException", "There are %d certificates, the limit.", maxCerts)
	}
	now := r.opt.Now().UTC()
	c := &Certificate{ID: id, PEM: encode("CERTIFICATE", leaf.Raw), Status: status, Own: own, Created: now, Modified: now, leaf: leaf}
	if err := r.save("cert/"+id, c); err != nil {
		return nil, err
	}
	r.certs[id] = c
	return c, nil
}

// Certificate returns a certificate.
func (r *Registry) Certificate(id string) (*Certificate, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if c := r.certs[id]; c != nil {
		return c, nil
	}
	return nil, missing("certificate", id)
}

// Certificates returns all certificates, by id.
func (r *Registry) Certificates() []*Certificate {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return sorted(r.certs)
}

// SetStatus makes a certificate active, inactive or, for good, revoked. Connections of
// one that stops being active end.
func (r *Registry) SetStatus(id, status string) error {
	if status != Active && status != Inactive && status != Revoked {
		return invalid("The status %q is invalid: it must be ACTIVE, INACTIVE or REVOKED.", status)
	}
	r.mu.Lock()
	err := r.changeCert(id, func(c *Certificate) error {
		if c.Status == Revoked && status != Revoked {
			return refuse("CertificateStateException", "The certificate %s is revoked.", id)
		}
		c.Status, c.Modified = status, r.opt.Now().UTC()
		return nil
	})
	r.mu.Unlock()
	if err == nil && status != Active {
		r.tell(id)
	}
	return err
}

// DeleteCertificate removes a certificate that is not active and has no thing nor, unless
// force is set, a policy attached.
func (r *Registry) DeleteCertificate(id string, force bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.certs[id]
	switch {
	case c == nil:
		return missing("certificate", id)
	case c.Status == Active:
		return refuse("CertificateStateException", "Certificate must be deactivated (not ACTIVE) before deletion. id=%s", id)
	case len(c.Things) > 0:
		return refuse("DeleteConflictException", "Things must be detached before deletion (arn: %s)", r.ARN("cert", id))
	case len(c.Policies) > 0 && !force:
		return refuse("DeleteConflictException", "Policies must be detached before deletion (arn: %s)", r.ARN("cert", id))
	}
	if err := r.save("cert/"+id, nil); err != nil {
		return err
	}
	delete(r.certs, id)
	return nil
}
