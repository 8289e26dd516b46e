package iam

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func open(t testing.TB) *Directory {
	t.Helper()
	d, err := Open(Options{Store: NewMemStore(), AccountID: "111122223333", MachineNow: func() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// user makes a user with inline policies.
func user(t testing.TB, d *Directory, name string, policies ...string) string {
	t.Helper()
	u, err := d.CreateUser(name, "/", []Tag{{"team", "blue"}})
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range policies {
		if err := d.ChangeUser(name, func(u *User) error { return u.PutInline(fmt.Sprint(i), p) }); err != nil {
			t.Fatal(err)
		}
	}
	return u.ARN
}

func TestPoliciesDecideAsTheirGrammarSays(t *testing.T) {
	const database, table = "arn:aws:timestream:us-east-1:111122223333:database/d", "arn:aws:timestream:us-east-1:111122223333:database/d/table/t"
	for _, c := range []struct {
		name, statements, action, resource string
		want                               bool
	}{
		{"the action itself", `{"Effect":"Allow","Action":"timestream:Select","Resource":"*"}`, "timestream:Select", table, true},
		{"letters' case of an action", `{"Effect":"Allow","Action":"TimeStream:SELECT","Resource":"*"}`, "timestream:Select", table, true},
		{"another action", `{"Effect":"Allow","Action":"timestream:Select","Resource":"*"}`, "timestream:SelectValues", "*", false},
		{"a wildcard at the end", `{"Effect":"Allow","Action":"timestream:Describe*","Resource":"*"}`, "timestream:DescribeTable", table, true},
		{"a wildcard within", `{"Effect":"Allow","Action":"timestream:*Table","Resource":"*"}`, "timestream:DeleteTable", table, true},
		{"one character", `{"Effect":"Allow","Action":"timestream:List?ables","Resource":"*"}`, "timestream:ListTables", database, true},
		{"one of several", `{"Effect":"Allow","Action":["s3:*","timestream:Select"],"Resource":["arn:aws:s3:::x","` + table + `"]}`, "timestream:Select", table, true},
		{"all but", `{"Effect":"Allow","NotAction":"iam:*","Resource":"*"}`, "timestream:Select", table, true},
		{"all but this", `{"Effect":"Allow","NotAction":"timestream:*","Resource":"*"}`, "timestream:Select", table, false},
		{"resources below", `{"Effect":"Allow","Action":"*","Resource":"` + database + `/*"}`, "timestream:Select", table, true},
		{"not above", `{"Effect":"Allow","Action":"*","Resource":"` + database + `/*"}`, "timestream:DescribeDatabase", database, false},
		{"a prefix is not enough", `{"Effect":"Allow","Action":"*","Resource":"` + database + `"}`, "timestream:Select", table, false},
		{"letters' case of a resource", `{"Effect":"Allow","Action":"*","Resource":"` + strings.Replace(table, "/t", "/T", 1) + `"}`, "timestream:Select", table, false},
		{"an action without a resource needs the star", `{"Effect":"Allow","Action":"*","Resource":"` + table + `"}`, "timestream:ListDatabases", "*", false},
		{"all resources but", `{"Effect":"Allow","Action":"*","NotResource":"` + database + `"}`, "timestream:Select", table, true},
		{"all resources but this", `{"Effect":"Allow","Action":"*","NotResource":"` + table + `"}`, "timestream:Select", table, false},
		{"a denial wins, whatever the order", `{"Effect":"Deny","Action":"timestream:Select","Resource":"*"},{"Effect":"Allow","Action":"*","Resource":"*"}`, "timestream:Select", table, false},
		{"a denial of another", `{"Effect":"Deny","Action":"timestream:Select","Resource":"` + database + `"},{"Effect":"Allow","Action":"*","Resource":"*"}`, "timestream:Select", table, true},
		{"a variable", `{"Effect":"Allow","Action":"*","Resource":"` + database + `/table/${aws:username}"}`, "timestream:Select", database + "/table/ann*", true},
		{"a variable is literal", `{"Effect":"Allow","Action":"*","Resource":"` + database + `/table/${aws:username}"}`, "timestream:Select", database + "/table/annette", false},
		{"all resources but one of a variable without value", `{"Effect":"Allow","Action":"*","NotResource":"` + database + `/table/${aws:none}"}`, "timestream:Select", table, false},
		{"a denial of all but that", `{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","Action":"*","NotResource":"` + database + `/table/${aws:none}"}`, "timestream:Select", table, false},
		{"another name than that of a variable without value", `{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringNotEquals":{"aws:PrincipalType":"${aws:none}"}}}`, "timestream:Select", table, false},
		{"one name and one without value", `{"Effect":"Allow","Action":"*","Resource":["` + database + `/${aws:none}","` + table + `"]}`, "timestream:Select", table, true},
		{"a variable without value", `{"Effect":"Allow","Action":"*","Resource":"` + database + `/table/${aws:none}"}`, "timestream:Select", database + "/table/", false},
		{"a variable's default", `{"Effect":"Allow","Action":"*","Resource":"` + database + `/table/${aws:none, 't'}"}`, "timestream:Select", table, true},
		{"an escaped star", `{"Effect":"Allow","Action":"*","Resource":"` + database + `/table/${*}"}`, "timestream:Select", table, false},
	} {
		d := open(t)
		who := user(t, d, "ann*", `{"Version":"2012-10-17","Statement":[`+c.statements+`]}`)
		if err := d.Allow(Request{Principal: who, Action: c.action, Resource: c.resource}); (err == nil) != c.want {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestConditionsHoldAsTheirOperatorsSay(t *testing.T) {
	context := func(key string) []string {
		return map[string][]string{
			"aws:sourceip": {"10.1.2.3"}, "aws:securetransport": {"false"}, "aws:tagkeys": {"a", "b"}, "aws:requestedregion": {"eu-west-1"}, "x:size": {"10"}, "x:empty": nil,
		}[key]
	}
	for condition, want := range map[string]bool{
		`{"StringEquals":{"aws:RequestedRegion":"eu-west-1"}}`:                                         true,
		`{"StringEquals":{"aws:RequestedRegion":["us-east-1","eu-west-1"]}}`:                           true,
		`{"StringEquals":{"aws:RequestedRegion":"EU-WEST-1"}}`:                                         false,
		`{"StringEqualsIgnoreCase":{"aws:requestedregion":"EU-WEST-1"}}`:                               true,
		`{"StringNotEquals":{"aws:RequestedRegion":"eu-west-1"}}`:                                      false,
		`{"StringNotEquals":{"aws:RequestedRegion":["eu-west-1","us-east-1"]}}`:                        false,
		`{"StringNotEquals":{"x:none":"a"}}`:                                                           true,
		`{"StringEquals":{"x:none":"a"}}`:                                                              false,
		`{"StringEqualsIfExists":{"x:none":"a"}}`:                                                      true,
		`{"StringLike":{"aws:RequestedRegion":"eu-*"}}`:                                                true,
		`{"StringNotLike":{"aws:RequestedRegion":"eu-*"}}`:                                             false,
		`{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}`:                                                  true,
		`{"IpAddress":{"aws:SourceIp":"10.1.2.3"}}`:                                                    true,
		`{"NotIpAddress":{"aws:SourceIp":["192.168.0.0/16","10.1.0.0/16"]}}`:                           false,
		`{"Bool":{"aws:SecureTransport":"true"}}`:                                                      false,
		`{"Bool":{"aws:SecureTransport":false}}`:                                                       true,
		`{"NumericLessThan":{"x:size":10}}`:                                                            false,
		`{"NumericLessThanEquals":{"x:size":"10"}}`:                                                    true,
		`{"NumericGreaterThan":{"x:size":"9.5"}}`:                                                      true,
		`{"DateLessThan":{"aws:CurrentTime":"2026-03-01T12:00:01Z"}}`:                                  true,
		`{"DateGreaterThan":{"aws:CurrentTime":"2026-03-01"},"DateLessThan":{"aws:EpochTime":"9999"}}`: false,
		`{"Null":{"x:none":"true"}}`:                                                                   true,
		`{"Null":{"aws:SourceIp":true}}`:                                                               false,
		`{"ForAllValues:StringEquals":{"aws:TagKeys":["a","b","c"]}}`:                                  true,
		`{"ForAllValues:StringEquals":{"aws:TagKeys":["a"]}}`:                                          false,
		`{"ForAllValues:StringEquals":{"x:none":["a"]}}`:                                               true,
		`{"ForAnyValue:StringEquals":{"aws:TagKeys":["b","z"]}}`:                                       true,
		`{"ForAnyValue:StringEquals":{"x:none":["a"]}}`:                                                false,
		`{"StringEquals":{"aws:PrincipalTag/team":"blue"}}`:                                            true,
		`{"StringEquals":{"aws:PrincipalTag/team":"${aws:username}"}}`:                                 false,
		`{"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::111122223333:user/*"}}`:                          true,
		`{"StringEquals":{"aws:RequestedRegion":"eu-west-1"},"Bool":{"aws:SecureTransport":"true"}}`:   false,
		`{"StringEquals":{"aws:RequestedRegion":"eu-west-1","aws:PrincipalAccount":"111122223333"}}`:   true,
	} {
		d := open(t)
		who := user(t, d, "ann", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":`+condition+`}}`)
		if err := d.Allow(Request{Principal: who, Action: "s3:GetObject", Resource: "arn:aws:s3:::b/k", Context: context}); (err == nil) != want {
			t.Errorf("%s: %v, want %v", condition, err, want)
		}
	}
	if _, err := ParsePolicy(`{"Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringAlmost":{"a":"b"}}}}`, IdentityBased); err == nil {
		t.Error("an operator that does not exist was taken: it would never hold")
	}
}

func TestWhoIsGoneMayNothing(t *testing.T) {
	d := open(t)
	all := `{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`
	who := user(t, d, "ann", all)
	r := Request{Principal: who, Action: "timestream:Select", Resource: "*"}
	if err := d.Allow(r); err != nil {
		t.Fatal(err)
	}
	if err := d.ChangeUser("ann", func(u *User) error { return u.DeleteInline("0") }); err != nil {
		t.Fatal(err)
	}
	if d.Allow(r) == nil {
		t.Error("the policy is gone, and allows still")
	}
	for _, principal := range []string{"arn:aws:iam::111122223333:user/none", "arn:aws:iam::999999999999:root", "arn:aws:sts::999999999999:assumed-role/r/s", "", "root"} {
		if d.Allow(Request{Principal: principal, Action: "timestream:Select", Resource: "*"}) == nil {
			t.Errorf("%q may", principal)
		}
	}
	if err := d.Allow(Request{Principal: "arn:aws:iam::111122223333:root", Action: "timestream:Select", Resource: "*"}); err != nil {
		t.Errorf("the root may not: %v", err)
	}
}

func TestAWSManagedPoliciesReadAndAllowWhatTheyAreFor(t *testing.T) {
	for name, text := range awsManaged {
		if _, err := ParsePolicy(text, IdentityBased); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	d := open(t)
	who := user(t, d, "ann")
	if err := d.ChangeUser("ann", func(u *User) error {
		a, err := d.Attachable(awsPolicies + "AmazonTimestreamReadOnlyAccess")
		if err != nil {
			return err
		}
		return u.Attach(a)
	}); err != nil {
		t.Fatal(err)
	}
	for action, want := range map[string]bool{"timestream:Select": true, "timestream:CancelQuery": true, "timestream:WriteRecords": false} {
		if err := d.Allow(Request{Principal: who, Action: action, Resource: "*"}); (err == nil) != want {
			t.Errorf("%s: %v", action, err)
		}
	}
}

func TestWildcardsTakeTimeThatIsBounded(t *testing.T) {
	if glob(strings.Repeat("a*", 1000)+"b", strings.Repeat("a", 5000)) {
		t.Error("matched")
	}
}

func BenchmarkAllow(b *testing.B) {
	d := open(b)
	who := user(b, d, "ann", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"timestream:DescribeEndpoints","Resource":"*"},
		{"Effect":"Allow","Action":["timestream:Select","timestream:WriteRecords"],"Resource":"arn:aws:timestream:us-east-1:111122223333:database/d/table/*"}]}`)
	r := Request{Principal: who, Action: "timestream:WriteRecords", Resource: "arn:aws:timestream:us-east-1:111122223333:database/d/table/t"}
	b.ReportAllocs()
	for b.Loop() {
		if err := d.Allow(r); err != nil {
			b.Fatal(err)
		}
	}
}

func TestASessionEndsWithTheRoleThatItIsOf(t *testing.T) {
	d := open(t)
	const trust = `{"Statement":{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole"}}`
	make := func() Role {
		r, err := d.CreateRole(NewRole{Name: "r", Path: "/", Trust: trust, MaxSessionSeconds: 3600})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	s, err := d.AssumeRole(make().ARN, "me", time.Hour, "", false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Credential(s.AccessKeyID, s.Token); err != nil {
		t.Errorf("while the role is there: %v", err)
	}
	if err := d.DeleteRole("r"); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Credential(s.AccessKeyID, s.Token); err != ErrUnknownKey {
		t.Errorf("without the role: %v", err)
	}
	make()
	if _, err := d.Credential(s.AccessKeyID, s.Token); err != ErrUnknownKey {
		t.Errorf("with another role of the name: %v", err)
	}
}

func TestATrustPolicyKeepsServicesOutThatItDoesNotName(t *testing.T) {
	d := open(t)
	const deny = `{"Statement":[{"Effect":"Allow","Principal":{"Service":["a.amazonaws.com","b.amazonaws.com"]},"Action":"*"},{"Effect":"Deny","NotPrincipal":{"Service":"a.amazonaws.com"},"Action":"*"}]}`
	const forged = `{"Statement":{"Effect":"Allow","Principal":{"Any":true},"Action":"*"}}`
	for _, c := range []struct {
		trust, service string
		want           bool
	}{{deny, "a.amazonaws.com", true}, {deny, "b.amazonaws.com", false}, {forged, "a.amazonaws.com", false}} {
		r, err := d.CreateRole(NewRole{Name: "r", Path: "/", Trust: c.trust})
		if err != nil {
			t.Fatal(err)
		}
		if err := d.ServiceMayAssume(r.ARN, c.service); (err == nil) != c.want {
			t.Errorf("%s by %s: %v", c.trust, c.service, err)
		}
		if err := d.DeleteRole("r"); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAddressesAreTheSameInAllTheirForms(t *testing.T) {
	for _, c := range []struct {
		have, want string
		in         bool
	}{{"::ffff:10.1.2.3", "10.0.0.0/8", true}, {"10.1.2.3", "::ffff:10.1.2.3", true}, {"fe80::1%eth0", "fe80::/10", true}, {"11.0.0.1", "10.0.0.0/8", false}} {
		if got := inNetwork(c.have, c.want); got != c.in {
			t.Errorf("%s in %s: %v", c.have, c.want, got)
		}
	}
}

func TestAPolicyOfAWSIsKnownByItsWholeARN(t *testing.T) {
	d := open(t)
	who := user(t, d, "ann")
	for _, c := range []struct {
		arn  string
		want bool
	}{{awsPolicies + "own/AdministratorAccess", false}, {awsPolicies + "AdministratorAccess", true}} {
		a, err := d.Attachable(c.arn)
		if err == nil {
			err = d.ChangeUser("ann", func(u *User) error { return u.Attach(a) })
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Allow(Request{Principal: who, Action: "s3:GetObject", Resource: "arn:aws:s3:::b/k"}); (err == nil) != c.want {
			t.Errorf("%s: %v", c.arn, err)
		}
	}
}
