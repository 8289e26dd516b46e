package registry

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/weir-db/weir/internal/iam"
)

// IsCertificateID says whether a principal of MQTT is a certificate.
func IsCertificateID(principal string) bool { return certID.MatchString(principal) }

// Authenticate returns the id of the certificate that a client has proved to have. It
// must be registered, active, and within its validity.
func (r *Registry) Authenticate(shown *x509.Certificate) (id string, err error) {
	id = idOf(shown)
	c, err := r.Certificate(id)
	switch {
	case err != nil:
		return "", errors.New("the client's certificate is not registered")
	case c.Status != Active:
		return "", errors.New("the client's certificate is " + strings.ToLower(c.Status))
	case !c.valid(r.opt.Now()):
		return "", errors.New("the client's certificate is not valid at this time")
	}
	return id, nil
}

// Allow says whether the policies of a certificate let its client do action to a
// resource, by ARN; those of one that is not active, or not valid now, allow nothing. context gives the
// values of condition keys and policy variables by name, in lower case, beyond those
// that the registry knows.
func (r *Registry) Allow(certificateID, clientID, action, resource string, context func(key string) []string) bool {
	r.mu.RLock()
	c := r.certs[certificateID]
	if c == nil || c.Status != Active || !c.valid(r.opt.Now()) {
		r.mu.RUnlock()
		return false
	}
	documents := make([]string, 0, len(c.Policies))
	for _, name := range c.Policies {
		p := r.policies[name]
		if p == nil { // a damaged store; it may have denied this
			r.mu.RUnlock()
			return false
		}
		documents = append(documents, p.Document)
	}
	var thing *Thing // the variables want a client id that is the name of a thing that is attached
	if slices.Contains(c.Things, clientID) {
		thing = r.things[clientID]
	}
	r.mu.RUnlock()
	return r.opt.Judge(documents, iam.Request{
		Principal: r.ARN("cert", certificateID), Action: action, Resource: resource,
		Context: func(key string) []string {
			if values, ok := variable(c, thing, clientID, key); ok {
				return values
			}
			return context(key)
		},
	})
}

// variable returns the value of a policy variable of IoT (AWS IoT guide, "Thing policy
// variables" and "X.509 certificate policy variables").
func variable(c *Certificate, thing *Thing, clientID, key string) (values []string, ok bool) {
	name, ok := strings.CutPrefix(key, "iot:")
	if !ok {
		return nil, false
	}
	if name, ok := strings.CutPrefix(name, "connection.thing."); ok {
		return thingVariable(thing, name), true
	}
	if name, ok := strings.CutPrefix(name, "certificate."); ok {
		return certificateVariable(c.leaf, name), true
	}
	switch name {
	case "clientid":
		return []string{clientID}, true
	case "certificateid":
		return []string{c.ID}, true
	}
	return nil, false
}

func thingVariable(t *Thing, name string) []string {
	if name == "isattached" {
		return []string{strconv.FormatBool(t != nil)}
	}
	if t == nil {
		return nil
	}
	if name == "thingname" {
		return []string{t.Name}
	}
	attribute, ok := strings.CutPrefix(name, "attributes[")
	if !ok {
		return nil
	}
	for k, v := range t.Attributes {
		if strings.EqualFold(k+"]", attribute) {
			return []string{v}
		}
	}
	return nil
}

func certificateVariable(c *x509.Certificate, name string) []string {
	if name == "serialnumber" {
		return []string{c.SerialNumber.String()}
	}
	whose, part, _ := strings.Cut(name, ".")
	var all []string
	switch whose {
	case "subject":
		all = nameParts(&c.Subject, part)
	case "issuer":
		all = nameParts(&c.Issuer, part)
	}
	i := 0
	if _, index, ok := strings.Cut(part, "."); ok {
		n, err := strconv.Atoi(index)
		if err != nil || n < 0 {
			return nil
		}
		i = n
	}
	if i >= len(all) || strings.ContainsAny(all[i], "*$+?#") {
		return nil // such values are not filled in
	}
	return all[i : i+1]
}

// nameParts returns the values of one part of a distinguished name.
func nameParts(n *pkix.Name, part string) []string {
	oids := map[string]string{
		"commonname": "2.5.4.3", "surname": "2.5.4.4", "serialnumber": "2.5.4.5", "country": "2.5.4.6", "state": "2.5.4.8",
		"organization": "2.5.4.10", "organizationalunit": "2.5.4.11", "title": "2.5.4.12", "givenname": "2.5.4.42",
		"initials": "2.5.4.43", "generationqualifier": "2.5.4.44", "distinguishednamequalifier": "2.5.4.46", "pseudonym": "2.5.4.65",
	}
	name, _, _ := strings.Cut(part, ".")
	oid, ok := oids[name]
	if !ok {
		return nil
	}
	var values []string
	for _, a := range n.Names {
		if text, ok := a.Value.(string); ok && a.Type.String() == oid {
			values = append(values, text)
		}
	}
	return values
}
