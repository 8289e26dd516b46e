package attack

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

const list = `{"MaxResults":3}`

func TestUnsignedRequestsAreRefusedInEveryProtocol(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.refused("JSON", s.plain(timestream("ListDatabases", list)), 400, "MissingAuthenticationTokenException")
	s.refused("JSON, DescribeEndpoints", s.plain(timestream("DescribeEndpoints", "{}")), 400, "MissingAuthenticationTokenException")
	s.refused("Query", s.plain(form("iam", "Action=ListUsers&Version=2010-05-08")), 403, "MissingAuthenticationToken")
	s.refused("Query in the URL", s.plain(request{method: "GET", path: "/?Action=ListUsers&Version=2010-05-08"}), 403, "MissingAuthenticationToken")
	if status, body := s.send(s.plain(request{method: "POST", path: "/service/GraniteServiceVersion20100801/operation/ListMetrics", body: "\xa0", header: http.Header{"Smithy-Protocol": {"rpc-v2-cbor"}, "Content-Type": {"application/cbor"}}})); status != 400 || !strings.Contains(body, "MissingAuthenticationTokenException") {
		t.Errorf("CBOR: %d %q", status, body)
	}
	if status, body := s.send(s.plain(request{method: "POST", path: "/rules/x", body: "{}"})); status != 403 {
		t.Errorf("REST: %d %s", status, body)
	}
	if status, body := s.send(s.plain(request{method: "POST", path: "/topics/x", body: "{}"})); status != 403 {
		t.Errorf("REST, publish: %d %s", status, body)
	}
	s.passes(s.sign(object("PUT", "/box", "")))
	s.passes(s.sign(object("PUT", "/box/key", "content")))
	for _, path := range []string{"/box", "/box/key", "/box?list-type=2"} {
		s.refused("S3 "+path, s.plain(request{method: "GET", path: path}), 403, "AccessDenied")
	}
	s.refused("S3, signature version 2", s.plain(request{method: "GET", path: "/box/key", header: http.Header{"Authorization": {"AWS " + rootKey + ":c2lnbmF0dXJl"}}}), 400, "InvalidRequest")
	s.refused("backup", s.plain(request{method: "POST", path: "/admin/backup"}), 403, "Missing Authentication Token\n")
}

func TestWrongKeysAreRefused(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.passes(s.sign(timestream("ListDatabases", list)))
	const unknown, mismatch = "UnrecognizedClientException", "InvalidSignatureException"
	for name, c := range map[string]struct{ key, secret, token, want string }{
		"a key that nobody has":        {"AKIANOBODYNOBODYNOBO", rootSecret, "", unknown},
		"the root's key in lower case": {strings.ToLower(rootKey), rootSecret, "", unknown},
		"another secret":               {rootKey, rootSecret + "x", "", mismatch},
		"a blank as secret":            {rootKey, " ", "", mismatch},
		"a session token of nobody":    {rootKey, rootSecret, "x", unknown},
		"a session that nobody opened": {"ASIAROOTROOTROOTROOT", rootSecret, "", unknown},
	} {
		r := timestream("ListDatabases", list)
		r.keys = aws.Credentials{AccessKeyID: c.key, SecretAccessKey: c.secret, SessionToken: c.token}
		s.refused(name, s.sign(r), 400, c.want)
	}
}

func TestARequestChangedOnItsWayIsRefused(t *testing.T) {
	t.Parallel()
	s := start(t)
	signed := func() *http.Request { return s.sign(timestream("ListDatabases", list)) }
	body := func(req *http.Request, text string) { *req = *withBody(req, text) }
	for name, change := range map[string]func(*http.Request){
		"the body":           func(r *http.Request) { body(r, `{"MaxResults":4}`) },
		"no body":            func(r *http.Request) { body(r, "") },
		"the operation":      func(r *http.Request) { r.Header.Set("X-Amz-Target", "Timestream_20181101.ListTables") },
		"a second operation": func(r *http.Request) { r.Header.Add("X-Amz-Target", "Timestream_20181101.ListTables") },
		"the date": func(r *http.Request) {
			r.Header.Set("X-Amz-Date", time.Now().UTC().Add(time.Second).Format("20060102T150405Z"))
		},
		"the host":                   func(r *http.Request) { r.Host = "elsewhere" },
		"the path":                   func(r *http.Request) { r.URL.Path = "/x" },
		"a query string":             func(r *http.Request) { r.URL.RawQuery = "MaxResults=1" },
		"the method":                 func(r *http.Request) { r.Method = http.MethodPut },
		"the signature's last digit": func(r *http.Request) { r.Header.Set("Authorization", flip(r.Header.Get("Authorization"))) },
		"an empty signature": func(r *http.Request) {
			r.Header.Set("Authorization", cutAfter(r.Header.Get("Authorization"), "Signature="))
		},
		"the region of its scope": func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "us-east-1", "us-east-2", 1))
		},
		"a body declared to be unsigned": func(r *http.Request) {
			r.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
			body(r, `{"MaxResults":4}`)
		},
		"a hash declared of another body": func(r *http.Request) { r.Header.Set("X-Amz-Content-Sha256", hash(list)); body(r, `{"MaxResults":4}`) },
		"the list of signed headers": func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "x-amz-target", "x-amz-targe", 1))
		},
	} {
		req := signed()
		change(req)
		if status, answer := s.send(req); status < 400 || status >= 500 || status == 404 && name != "the path" && name != "the method" {
			t.Errorf("%s: %d %s", name, status, answer)
		}
	}
	s.passes(signed()) // and it is not locked out
}

func withBody(r *http.Request, text string) *http.Request {
	out := r.Clone(r.Context())
	out.Body, out.ContentLength = http.NoBody, int64(len(text))
	if text != "" {
		fresh, _ := http.NewRequest(r.Method, r.URL.String(), strings.NewReader(text))
		out.Body, out.GetBody = fresh.Body, fresh.GetBody
	}
	return out
}

func flip(s string) string {
	last := s[len(s)-1]
	if last == '0' {
		return s[:len(s)-1] + "1"
	}
	return s[:len(s)-1] + "0"
}

func cutAfter(s, at string) string { return s[:strings.Index(s, at)+len(at)] }

func TestASignatureMustCoverWhatDecides(t *testing.T) {
	t.Parallel()
	s := start(t)
	// A signature over nothing but host and date, as for a call in the Query protocol, and then a
	// target that makes another call of it.
	r := form("timestream", "{}")
	r.header = http.Header{}
	req := s.sign(r)
	req.Header.Set("X-Amz-Target", "Timestream_20181101.ListDatabases")
	s.refused("a target that was not signed", req, 400, "IncompleteSignatureException")
	// Tags of a rule travel in a header.
	rule := request{method: "POST", path: "/rules/x", body: `{"sql":"SELECT * FROM 'a'","actions":[]}`, service: "iot", at: time.Now(), keys: root, region: "us-east-1", header: http.Header{"Content-Type": {"application/json"}}}
	req = s.sign(rule)
	req.Header.Set("X-Amz-Tagging", "owner=me")
	if status, body := s.send(req); status != 403 {
		t.Errorf("tags that were not signed: %d %s", status, body)
	}
	// The host must be covered, or a request would do for every server.
	req = s.sign(timestream("ListDatabases", list))
	req.Header.Set("Authorization", strings.Replace(req.Header.Get("Authorization"), "host;", "", 1))
	s.refused("without the host", req, 400, "IncompleteSignatureException")
	// Headers that proxies and browsers add are no reason to refuse.
	req = s.sign(timestream("ListDatabases", list))
	req.Header.Set("X-Forwarded-For", "1.2.3.4")
	req.Header.Set("X-Amz-Cf-Id", "added by a cache")
	s.passes(req)
}

func TestOldAndEarlyRequestsAreRefused(t *testing.T) {
	t.Parallel()
	s := start(t)
	for name, at := range map[string]time.Time{"an hour old": time.Now().Add(-time.Hour), "six minutes old": time.Now().Add(-6 * time.Minute), "six minutes early": time.Now().Add(6 * time.Minute), "of 1970": time.Unix(0, 0)} {
		r := timestream("ListDatabases", list)
		r.at = at
		s.refused(name, s.sign(r), 400, "InvalidSignatureException")
	}
	for _, date := range []string{"", "yesterday", "20310203T040506", "99999999T999999Z"} {
		req := s.sign(timestream("ListDatabases", list))
		req.Header.Set("X-Amz-Date", date)
		s.refused("the date "+date, req, 400, "IncompleteSignatureException")
	}
	// A test's clock does not make old signatures young: they follow the machine's.
	s.Set(time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC))
	s.passes(s.sign(timestream("ListDatabases", list)))
	r := timestream("ListDatabases", list)
	r.at = time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)
	s.refused("at the time that the server's clock shows", s.sign(r), 400, "InvalidSignatureException")
}

func TestASignatureForAnotherServiceIsRefused(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, service := range []string{"iam", "sqs", "weir", "", "TIMESTREAM"} {
		r := timestream("ListDatabases", list)
		r.service = service
		if status, body := s.send(s.sign(r)); status < 400 || status >= 500 {
			t.Errorf("%q: %d %s", service, status, body)
		}
	}
	r := timestream("ListDatabases", list)
	r.service = "s3"
	s.refused("s3", s.sign(r), 400, "InvalidSignatureException")
	r.service, r.region = "timestream", "eu-central-1" // any region is this one
	s.passes(s.sign(r))
	s.passes(s.sign(object("PUT", "/box", "")))
	o := object("GET", "/box", "")
	o.service = "timestream"
	if status, body := s.send(s.sign(o)); status < 400 || status >= 500 {
		t.Errorf("a bucket, signed for timestream: %d %s", status, body)
	}
}

func TestPresignedRequestsExpire(t *testing.T) {
	t.Parallel()
	s := start(t)
	caller := func(at time.Time) request {
		return request{method: "GET", path: "/?Action=GetCallerIdentity&Version=2011-06-15", service: "sts", at: at, keys: root, region: "us-east-1", payload: hash("")}
	}
	s.passes(s.presign(caller(time.Now().Add(-10*time.Minute)), "3600"))
	s.refused("past its end", s.presign(caller(time.Now().Add(-2*time.Hour)), "3600"), 403, "SignatureDoesNotMatch")
	s.refused("past 15 minutes, without an end", s.presign(caller(time.Now().Add(-16*time.Minute)), ""), 403, "SignatureDoesNotMatch")
	for _, expires := range []string{"604801", "-1", "1e9", "99999999999999999999", "0x10"} {
		s.refused("expires in "+expires, s.presign(caller(time.Now()), expires), 403, "IncompleteSignature")
	}
	req := s.presign(caller(time.Now().Add(-2*time.Hour)), "3600")
	req.URL.RawQuery = strings.Replace(req.URL.RawQuery, "X-Amz-Expires=3600", "X-Amz-Expires=36000", 1)
	s.refused("a longer life", req, 403, "SignatureDoesNotMatch")
	req = s.presign(caller(time.Now()), "60")
	req.URL.RawQuery = strings.Replace(req.URL.RawQuery, "GetCallerIdentity", "GetSessionToken", 1)
	if status, body := s.send(req); status < 400 || status >= 500 {
		t.Errorf("another action: %d %s", status, body)
	}
	req = s.presign(caller(time.Now()), "60")
	req.URL.RawQuery += "&Action=DeleteUser"
	s.refused("one more parameter", req, 403, "SignatureDoesNotMatch")
	req = withBody(s.presign(caller(time.Now()), "60"), "Action=AssumeRole&Version=2011-06-15&RoleArn=arn:aws:iam::000000000000:role/x&RoleSessionName=me")
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if status, body := s.send(req); status == 200 && !strings.Contains(body, "GetCallerIdentityResult") || status >= 500 {
		t.Errorf("a body behind a signed URL: %d %s", status, body)
	}
}

const readOnly = "arn:aws:iam::aws:policy/AmazonTimestreamReadOnlyAccess"

func TestKeysThatWereTakenAwayAreRefusedAtOnce(t *testing.T) {
	t.Parallel()
	s := start(t)
	c := iam.NewFromConfig(s.config())
	if _, err := c.CreateUser(t.Context(), &iam.CreateUserInput{UserName: aws.String("eve")}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.AttachUserPolicy(t.Context(), &iam.AttachUserPolicyInput{UserName: aws.String("eve"), PolicyArn: aws.String(readOnly)}); err != nil {
		t.Fatal(err)
	}
	key := func() (aws.Credentials, *string) {
		made, err := c.CreateAccessKey(t.Context(), &iam.CreateAccessKeyInput{UserName: aws.String("eve")})
		if err != nil {
			t.Fatal(err)
		}
		return aws.Credentials{AccessKeyID: *made.AccessKey.AccessKeyId, SecretAccessKey: *made.AccessKey.SecretAccessKey}, made.AccessKey.AccessKeyId
	}
	r := timestream("ListDatabases", list)
	for name, take := range map[string]func(id *string) error{
		"deactivated": func(id *string) error {
			_, err := c.UpdateAccessKey(t.Context(), &iam.UpdateAccessKeyInput{UserName: aws.String("eve"), AccessKeyId: id, Status: types.StatusTypeInactive})
			return err
		},
		"deleted": func(id *string) error {
			_, err := c.DeleteAccessKey(t.Context(), &iam.DeleteAccessKeyInput{UserName: aws.String("eve"), AccessKeyId: id})
			return err
		},
	} {
		var id *string
		r.keys, id = key()
		s.passes(s.sign(r))
		if err := take(id); err != nil {
			t.Fatal(err)
		}
		s.refused(name, s.sign(r), 400, "UnrecognizedClientException")
	}
}

func TestSessionsCannotBeForged(t *testing.T) {
	t.Parallel()
	s := start(t)
	if _, err := iam.NewFromConfig(s.config()).CreateRole(t.Context(), &iam.CreateRoleInput{RoleName: aws.String("reader"), AssumeRolePolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:AssumeRole"}]}`)}); err != nil {
		t.Fatal(err)
	}
	if _, err := iam.NewFromConfig(s.config()).AttachRolePolicy(t.Context(), &iam.AttachRolePolicyInput{RoleName: aws.String("reader"), PolicyArn: aws.String(readOnly)}); err != nil {
		t.Fatal(err)
	}
	session := func(name string) aws.Credentials {
		out, err := sts.NewFromConfig(s.config()).AssumeRole(t.Context(), &sts.AssumeRoleInput{RoleArn: aws.String("arn:aws:iam::000000000000:role/reader"), RoleSessionName: &name})
		if err != nil {
			t.Fatal(err)
		}
		return aws.Credentials{AccessKeyID: *out.Credentials.AccessKeyId, SecretAccessKey: *out.Credentials.SecretAccessKey, SessionToken: *out.Credentials.SessionToken}
	}
	mine, other := session("mine"), session("other")
	r := timestream("ListDatabases", list)
	r.keys = mine
	s.passes(s.sign(r))
	for name, keys := range map[string]aws.Credentials{
		"without its token":         {AccessKeyID: mine.AccessKeyID, SecretAccessKey: mine.SecretAccessKey},
		"with another's token":      {AccessKeyID: mine.AccessKeyID, SecretAccessKey: mine.SecretAccessKey, SessionToken: other.SessionToken},
		"a token with one bit less": {AccessKeyID: mine.AccessKeyID, SecretAccessKey: mine.SecretAccessKey, SessionToken: "A" + mine.SessionToken[1:]},
		"a token cut off":           {AccessKeyID: mine.AccessKeyID, SecretAccessKey: mine.SecretAccessKey, SessionToken: mine.SessionToken[:len(mine.SessionToken)-8]},
	} {
		if keys.SessionToken == mine.SessionToken {
			continue // it began with an A
		}
		r.keys = keys
		s.refused(name, s.sign(r), 400, "UnrecognizedClientException")
	}
	for name, role := range map[string]string{"a role that does not exist": "arn:aws:iam::000000000000:role/none", "another account's": "arn:aws:iam::111111111111:role/reader"} {
		if _, err := sts.NewFromConfig(s.config()).AssumeRole(t.Context(), &sts.AssumeRoleInput{RoleArn: &role, RoleSessionName: aws.String("me")}); err == nil || !strings.Contains(err.Error(), "AccessDenied") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
