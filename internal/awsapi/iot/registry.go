package iot

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/weir-db/weir/internal/awsapi/wire"
	"github.com/weir-db/weir/internal/registry"
)

// refusals are the exceptions of the registry, by the code of its errors.
var refusals = map[string]wire.Shape{}

func init() {
	for name, status := range map[string]int{
		"InvalidRequestException": 400, "MalformedPolicyException": 400, "CertificateValidationException": 400,
		"ResourceNotFoundException": 404, "CertificateStateException": 406,
		"ResourceAlreadyExistsException": 409, "DeleteConflictException": 409, "VersionConflictException": 409, "LimitExceededException": 410,
	} {
		refusals[name] = wire.Shape{Name: name, Status: status}
	}
}

// registered adds the operations on things, certificates and policies to the control plane.
func (s *control) registered(sv *wire.Service) {
	for _, op := range []struct {
		name, method, pattern string
		f                     func(c *wire.Call) (any, error)
	}{
		{"CreateThing", "POST", "/things/{thingName}", s.createThing},
		{"DescribeThing", "GET", "/things/{thingName}", s.describeThing},
		{"UpdateThing", "PATCH", "/things/{thingName}", s.updateThing},
		{"DeleteThing", "DELETE", "/things/{thingName}", s.deleteThing},
		{"ListThings", "GET", "/things", s.listThings},
		{"AttachThingPrincipal", "PUT", "/things/{thingName}/principals", s.attachThing},
		{"DetachThingPrincipal", "DELETE", "/things/{thingName}/principals", s.detachThing},
		{"ListThingPrincipals", "GET", "/things/{thingName}/principals", s.listThingPrincipals},
		{"ListPrincipalThings", "GET", "/principals/things", s.listPrincipalThings},
		{"CreateKeysAndCertificate", "POST", "/keys-and-certificate", s.createKeys},
		{"CreateCertificateFromCsr", "POST", "/certificates", s.createFromCSR},
		{"RegisterCertificateWithoutCA", "POST", "/certificate/register-no-ca", s.registerCertificate},
		{"DescribeCertificate", "GET", "/certificates/{certificateId}", s.describeCertificate},
		{"UpdateCertificate", "PUT", "/certificates/{certificateId}", s.updateCertificate},
		{"DeleteCertificate", "DELETE", "/certificates/{certificateId}", s.deleteCertificate},
		{"ListCertificates", "GET", "/certificates", s.listCertificates},
		{"CreatePolicy", "POST", "/policies/{policyName}", s.createPolicy},
		{"GetPolicy", "GET", "/policies/{policyName}", s.getPolicy},
		{"DeletePolicy", "DELETE", "/policies/{policyName}", s.deletePolicy},
		{"ListPolicies", "GET", "/policies", s.listPolicies},
		{"AttachPolicy", "PUT", "/target-policies/{policyName}", s.attachPolicy},
		{"DetachPolicy", "POST", "/target-policies/{policyName}", s.detachPolicy},
		{"ListAttachedPolicies", "POST", "/attached-policies/{target...}", s.listAttachedPolicies},
		{"ListTargetsForPolicy", "POST", "/policy-targets/{policyName}", s.listTargets},
	} {
		sv.Operations[op.name] = func(_ context.Context, c *wire.Call) (wire.Response, error) {
			out, err := op.f(c)
			var refused *registry.Error
			if errors.As(err, &refused) {
				e := wire.Newf(refusals[refused.Code], "%s", refused.Message)
				if refused.ARN != "" {
					e.Extra = []wire.Member{{Name: "resourceId", JSON: wire.AppendString(nil, refused.ID)}, {Name: "resourceArn", JSON: wire.AppendString(nil, refused.ARN)}}
				}
				err = e
			}
			if err != nil || out == nil {
				return wire.Response{}, err
			}
			return wire.Value(out), nil
		}
		sv.Routes = append(sv.Routes, wire.Route{Method: op.method, Pattern: op.pattern, Operation: op.name})
	}
}

type thingBody struct {
	ThingTypeName    string `json:"thingTypeName"`
	BillingGroupName string `json:"billingGroupName"`
	RemoveThingType  bool   `json:"removeThingType"`
	ExpectedVersion  int64  `json:"expectedVersion"`
	AttributePayload *struct {
		Attributes map[string]string `json:"attributes"`
		Merge      bool              `json:"merge"`
	} `json:"attributePayload"`
}

// thingOf reads the body of a call on a thing. Types and billing groups do not exist.
func thingOf(c *wire.Call) (in thingBody, err error) {
	if len(c.Body) > 0 {
		err = decode(c.Body, &in)
	}
	switch {
	case err != nil:
	case in.ThingTypeName != "":
		err = wire.Newf(notFound, "The thing type %s does not exist: this version has none.", in.ThingTypeName)
	case in.BillingGroupName != "":
		err = wire.Newf(notFound, "The billing group %s does not exist: this version has none.", in.BillingGroupName)
	}
	return in, err
}

func (s *control) createThing(c *wire.Call) (any, error) {
	in, err := thingOf(c)
	if err != nil {
		return nil, err
	}
	var attributes map[string]string
	if in.AttributePayload != nil {
		attributes = in.AttributePayload.Attributes
	}
	t, err := s.Registry.CreateThing(c.Path["thingName"], attributes)
	if err != nil {
		return nil, err
	}
	return struct {
		Name string `wire:"thingName"`
		ARN  string `wire:"thingArn"`
		ID   string `wire:"thingId"`
	}{t.Name, s.Registry.ARN("thing", t.Name), t.ID}, nil
}

type thingShape struct {
	DefaultClientID string            `wire:"defaultClientId"`
	Name            string            `wire:"thingName"`
	ID              string            `wire:"thingId"`
	ARN             string            `wire:"thingArn"`
	Attributes      map[string]string `wire:"attributes"`
	Version         int64             `wire:"version"`
}

func (s *control) shapeOfThing(t *registry.Thing) thingShape {
	attributes := t.Attributes
	if attributes == nil {
		attributes = map[string]string{}
	}
	return thingShape{Name: t.Name, ARN: s.Registry.ARN("thing", t.Name), Attributes: attributes, Version: t.Version}
}

func (s *control) describeThing(c *wire.Call) (any, error) {
	t, err := s.Registry.Thing(c.Path["thingName"])
	if err != nil {
		return nil, err
	}
	out := s.shapeOfThing(t)
	out.DefaultClientID, out.ID = t.Name, t.ID
	return out, nil
}

func (s *control) updateThing(c *wire.Call) (any, error) {
	in, err := thingOf(c)
	if err != nil {
		return nil, err
	}
	var attributes map[string]string
	merge := false
	if p := in.AttributePayload; p != nil {
		attributes, merge = p.Attributes, p.Merge
	}
	return nil, s.Registry.UpdateThing(c.Path["thingName"], attributes, merge, in.ExpectedVersion)
}

func (s *control) deleteThing(c *wire.Call) (any, error) {
	expected := int64(0)
	if text := c.Param("expectedVersion"); text != "" {
		var err error
		if expected, err = strconv.ParseInt(text, 10, 64); err != nil {
			return nil, invalid("expectedVersion must be a number, not %q.", text)
		}
	}
	return nil, s.Registry.DeleteThing(c.Path["thingName"], expected)
}

func (s *control) listThings(c *wire.Call) (any, error) {
	name, value := c.Param("attributeName"), c.Param("attributeValue")
	out := struct {
		Things    []thingShape `wire:"things"`
		NextToken string       `wire:"nextToken"`
	}{}
	kept := []*registry.Thing{}
	if c.Param("thingTypeName") == "" { // no thing has one
		for _, t := range s.Registry.Things() {
			if v, ok := t.Attributes[name]; name == "" || ok && (value == "" || v == value) {
				kept = append(kept, t)
			}
		}
	}
	kept, next, err := pageOf(c, "maxResults", "nextToken", kept, func(t *registry.Thing) string { return t.Name })
	if err != nil {
		return nil, err
	}
	out.Things, out.NextToken = []thingShape{}, next
	for _, t := range kept {
		out.Things = append(out.Things, s.shapeOfThing(t))
	}
	return out, nil
}

// pageOf returns the page of a list, ordered by key, that a call asks for: at most 250
// after the one that the token names.
func pageOf[T any](c *wire.Call, sizeName, tokenName string, all []T, key func(T) string) (pageItems []T, next string, err error) {
	limit, after, err := pageNamed(c, sizeName, tokenName, 250)
	if err != nil {
		return nil, "", err
	}
	for i, v := range all {
		if after != "" && key(v) <= after {
			continue
		}
		if len(all)-i > limit {
			return all[i : i+limit], token(key(all[i+limit-1])), nil
		}
		return all[i:], "", nil
	}
	return nil, "", nil
}

func principalOf(c *wire.Call) (string, error) {
	p := c.HTTP.Header.Get("X-Amzn-Principal")
	if p == "" {
		return "", invalid("The header x-amzn-principal, the ARN of a certificate, is missing.")
	}
	return p, nil
}

func (s *control) attachThing(c *wire.Call) (any, error) {
	p, err := principalOf(c)
	if err != nil {
		return nil, err
	}
	if t := c.Param("thingPrincipalType"); t != "" && t != "NON_EXCLUSIVE_THING" {
		return nil, invalid("The thing principal type %q is not supported: only NON_EXCLUSIVE_THING is.", t)
	}
	return nil, s.Registry.AttachThing(c.Path["thingName"], p)
}

func (s *control) detachThing(c *wire.Call) (any, error) {
	p, err := principalOf(c)
	if err != nil {
		return nil, err
	}
	return nil, s.Registry.DetachThing(c.Path["thingName"], p)
}

func same(s string) string { return s }

func (s *control) listThingPrincipals(c *wire.Call) (any, error) {
	all, err := s.Registry.CertificatesOf("thing", c.Path["thingName"])
	if err != nil {
		return nil, err
	}
	out := struct {
		Principals []string `wire:"principals"`
		NextToken  string   `wire:"nextToken"`
	}{}
	out.Principals, out.NextToken, err = pageOf(c, "maxResults", "nextToken", all, same)
	return out, err
}

func (s *control) listPrincipalThings(c *wire.Call) (any, error) {
	p, err := principalOf(c)
	if err != nil {
		return nil, err
	}
	cert, err := s.Registry.CertificateByARN(p)
	if err != nil {
		return nil, err
	}
	out := struct {
		Things    []string `wire:"things"`
		NextToken string   `wire:"nextToken"`
	}{}
	out.Things, out.NextToken, err = pageOf(c, "maxResults", "nextToken", cert.Things, same)
	return out, err
}

type certificateShape struct {
	ARN     string    `wire:"certificateArn"`
	ID      string    `wire:"certificateId"`
	Status  string    `wire:"status"`
	Mode    string    `wire:"certificateMode"`
	Created time.Time `wire:"creationDate"`
}

func (s *control) shapeOfCertificate(c *registry.Certificate) certificateShape {
	mode := "SNI_ONLY"
	if c.Own {
		mode = "DEFAULT"
	}
	return certificateShape{s.Registry.ARN("cert", c.ID), c.ID, c.Status, mode, c.Created}
}

type certificateMade struct {
	ARN  string   `wire:"certificateArn"`
	ID   string   `wire:"certificateId"`
	PEM  string   `wire:"certificatePem"`
	Keys *keyPair `wire:"keyPair"`
}

type keyPair struct {
	Public  string `wire:"PublicKey"`
	Private string `wire:"PrivateKey"`
}

func (s *control) createKeys(c *wire.Call) (any, error) {
	made, keys, err := s.Registry.CreateKeys(c.Param("setAsActive") == "true")
	if err != nil {
		return nil, err
	}
	return certificateMade{s.Registry.ARN("cert", made.ID), made.ID, made.PEM, &keyPair{keys.Public, keys.Private}}, nil
}

func (s *control) createFromCSR(c *wire.Call) (any, error) {
	var in struct {
		CSR string `json:"certificateSigningRequest"`
	}
	if err := decode(c.Body, &in); err != nil {
		return nil, err
	}
	made, err := s.Registry.CreateFromCSR(in.CSR, c.Param("setAsActive") == "true")
	if err != nil {
		return nil, err
	}
	return certificateMade{ARN: s.Registry.ARN("cert", made.ID), ID: made.ID, PEM: made.PEM}, nil
}

func (s *control) registerCertificate(c *wire.Call) (any, error) {
	var in struct {
		PEM    string `json:"certificatePem"`
		Status string `json:"status"`
	}
	if err := decode(c.Body, &in); err != nil {
		return nil, err
	}
	made, err := s.Registry.Register(in.PEM, in.Status)
	if err != nil {
		return nil, err
	}
	return certificateMade{ARN: s.Registry.ARN("cert", made.ID), ID: made.ID}, nil
}

func (s *control) describeCertificate(c *wire.Call) (any, error) {
	cert, err := s.Registry.Certificate(c.Path["certificateId"])
	if err != nil {
		return nil, err
	}
	type validity struct {
		From time.Time `wire:"notBefore"`
		To   time.Time `wire:"notAfter"`
	}
	type description struct {
		ARN      string    `wire:"certificateArn"`
		ID       string    `wire:"certificateId"`
		Status   string    `wire:"status"`
		PEM      string    `wire:"certificatePem"`
		OwnedBy  string    `wire:"ownedBy"`
		Created  time.Time `wire:"creationDate"`
		Modified time.Time `wire:"lastModifiedDate"`
		Mode     string    `wire:"certificateMode"`
		Validity validity  `wire:"validity"`
	}
	short := s.shapeOfCertificate(cert)
	from, to := cert.Validity()
	return struct {
		Description description `wire:"certificateDescription"`
	}{description{short.ARN, short.ID, short.Status, cert.PEM, s.AccountID, cert.Created, cert.Modified, short.Mode, validity{from, to}}}, nil
}

func (s *control) updateCertificate(c *wire.Call) (any, error) {
	return nil, s.Registry.SetStatus(c.Path["certificateId"], c.Param("newStatus"))
}

func (s *control) deleteCertificate(c *wire.Call) (any, error) {
	return nil, s.Registry.DeleteCertificate(c.Path["certificateId"], c.Param("forceDelete") == "true")
}

func (s *control) listCertificates(c *wire.Call) (any, error) {
	all, next, err := pageOf(c, "pageSize", "marker", s.Registry.Certificates(), func(c *registry.Certificate) string { return c.ID })
	out := struct {
		Certificates []certificateShape `wire:"certificates"`
		NextMarker   string             `wire:"nextMarker"`
	}{[]certificateShape{}, next}
	for _, cert := range all {
		out.Certificates = append(out.Certificates, s.shapeOfCertificate(cert))
	}
	return out, err
}

type policyShape struct {
	Name string `wire:"policyName"`
	ARN  string `wire:"policyArn"`
}

type policyList struct {
	Policies   []policyShape `wire:"policies"`
	NextMarker string        `wire:"nextMarker"`
}

// firstVersion is the only version that a policy has.
const firstVersion = "1"

func (s *control) createPolicy(c *wire.Call) (any, error) {
	var in struct {
		Document string `json:"policyDocument"`
		Tags     []tag  `json:"tags"`
	}
	if err := decode(c.Body, &in); err != nil {
		return nil, err
	}
	if len(in.Tags) > 0 {
		return nil, invalid("Tags of policies are not supported.")
	}
	p, err := s.Registry.CreatePolicy(c.Path["policyName"], in.Document)
	if err != nil {
		return nil, err
	}
	return struct {
		Name     string `wire:"policyName"`
		ARN      string `wire:"policyArn"`
		Document string `wire:"policyDocument"`
		Version  string `wire:"policyVersionId"`
	}{p.Name, s.Registry.ARN("policy", p.Name), p.Document, firstVersion}, nil
}

func (s *control) getPolicy(c *wire.Call) (any, error) {
	p, err := s.Registry.Policy(c.Path["policyName"])
	if err != nil {
		return nil, err
	}
	return struct {
		Name     string    `wire:"policyName"`
		ARN      string    `wire:"policyArn"`
		Document string    `wire:"policyDocument"`
		Version  string    `wire:"defaultVersionId"`
		Created  time.Time `wire:"creationDate"`
		Modified time.Time `wire:"lastModifiedDate"`
	}{p.Name, s.Registry.ARN("policy", p.Name), p.Document, firstVersion, p.Created, p.Modified}, nil
}

func (s *control) deletePolicy(c *wire.Call) (any, error) {
	return nil, s.Registry.DeletePolicy(c.Path["policyName"])
}

func (s *control) policyPage(c *wire.Call, names []string) (any, error) {
	names, next, err := pageOf(c, "pageSize", "marker", names, same)
	out := policyList{[]policyShape{}, next}
	for _, name := range names {
		out.Policies = append(out.Policies, policyShape{name, s.Registry.ARN("policy", name)})
	}
	return out, err
}

func (s *control) listPolicies(c *wire.Call) (any, error) {
	var names []string
	for _, p := range s.Registry.Policies() {
		names = append(names, p.Name)
	}
	return s.policyPage(c, names)
}

func (s *control) listAttachedPolicies(c *wire.Call) (any, error) {
	if err := c.Check("iot:ListAttachedPolicies", c.Path["target"]); err != nil {
		return nil, err
	}
	cert, err := s.Registry.CertificateByARN(c.Path["target"])
	if err != nil {
		return nil, err
	}
	return s.policyPage(c, cert.Policies)
}

func (s *control) listTargets(c *wire.Call) (any, error) {
	all, err := s.Registry.CertificatesOf("policy", c.Path["policyName"])
	if err != nil {
		return nil, err
	}
	out := struct {
		Targets    []string `wire:"targets"`
		NextMarker string   `wire:"nextMarker"`
	}{}
	out.Targets, out.NextMarker, err = pageOf(c, "pageSize", "marker", all, same)
	return out, err
}

// targetOf reads the certificate's ARN in the body, if the caller may do this to it.
func targetOf(c *wire.Call) (string, error) {
	var in struct {
		Target string `json:"target"`
	}
	if err := decode(c.Body, &in); err != nil {
		return "", err
	}
	return in.Target, c.Check("iot:"+c.Operation, in.Target)
}

func (s *control) attachPolicy(c *wire.Call) (any, error) {
	target, err := targetOf(c)
	if err != nil {
		return nil, err
	}
	return nil, s.Registry.AttachPolicy(c.Path["policyName"], target)
}

func (s *control) detachPolicy(c *wire.Call) (any, error) {
	target, err := targetOf(c)
	if err != nil {
		return nil, err
	}
	return nil, s.Registry.DetachPolicy(c.Path["policyName"], target)
}
