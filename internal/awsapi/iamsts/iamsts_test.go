package iamsts_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awsiam "github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/weir-db/weir/internal/awsapi"
	"github.com/weir-db/weir/internal/awsapi/iamsts"
	"github.com/weir-db/weir/internal/awsapi/wire"
	"github.com/weir-db/weir/internal/iam"
	"github.com/weir-db/weir/internal/sigv4"
)

const (
	account   = "123456789012"
	trust     = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"iot.amazonaws.com"},"Action":"sts:AssumeRole"}]}`
	writeOnly = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["timestream:WriteRecords","timestream:DescribeEndpoints"],"Resource":"*"}]}`
)

type server struct {
	url string
	dir *iam.Directory
}

// start serves IAM and STS over store; signed wants valid signatures of ROOT/secret.
func start(t *testing.T, store iam.Store, signed bool, now func() time.Time) server {
	t.Helper()
	dir, err := iam.Open(iam.Options{Store: store, AccountID: account, RootAccessKeyID: "ROOT", RootSecretAccessKey: "secret", MachineNow: now})
	if err != nil {
		t.Fatal(err)
	}
	opt := iamsts.Options{Directory: dir, AccountID: account, AnyAccount: !signed}
	auth := awsapi.Authenticator(awsapi.Anyone{AccountID: account, Known: dir})
	if signed {
		auth = awsapi.Signed{Keys: dir, Verifier: &sigv4.Verifier{}}
	}
	h, err := awsapi.New(awsapi.Options{Services: []*wire.Service{iamsts.IAM(opt), iamsts.STS(opt)}, Auth: auth, AccountID: account})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return server{srv.URL, dir}
}

func (s server) iam(id, secret string) *awsiam.Client {
	return awsiam.New(awsiam.Options{BaseEndpoint: &s.url, Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider(id, secret, ""), Retryer: aws.NopRetryer{}})
}

func (s server) sts(id, secret, token string) *sts.Client {
	return sts.New(sts.Options{BaseEndpoint: &s.url, Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider(id, secret, token), Retryer: aws.NopRetryer{}})
}

func must[T any](v T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func wantCode(t *testing.T, err error, code, text string) {
	t.Helper()
	var e smithy.APIError
	if !errors.As(err, &e) || e.ErrorCode() != code || !strings.Contains(e.ErrorMessage(), text) {
		t.Errorf("got %v, want %s with %q", err, code, text)
	}
}

func TestRolesAndPoliciesSurviveARestart(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	store := iam.NewMemStore()
	c := start(t, store, false, nil).iam("any", "key")
	created := must(c.CreateRole(ctx, &awsiam.CreateRoleInput{RoleName: aws.String("IoTTimestreamRole"), AssumeRolePolicyDocument: aws.String(trust),
		Description: aws.String("d"), Tags: []types.Tag{{Key: aws.String("k"), Value: aws.String("v")}}}))(t).Role
	if *created.Arn != "arn:aws:iam::123456789012:role/IoTTimestreamRole" || !strings.HasPrefix(*created.RoleId, "AROA") || len(*created.RoleId) != 21 {
		t.Errorf("created %+v", created)
	}
	must(c.PutRolePolicy(ctx, &awsiam.PutRolePolicyInput{RoleName: created.RoleName, PolicyName: aws.String("write"), PolicyDocument: aws.String(writeOnly)}))(t)
	policy := must(c.CreatePolicy(ctx, &awsiam.CreatePolicyInput{PolicyName: aws.String("p"), PolicyDocument: aws.String(writeOnly)}))(t).Policy
	for _, arn := range []string{*policy.Arn, "arn:aws:iam::aws:policy/AmazonTimestreamReadOnlyAccess"} {
		must(c.AttachRolePolicy(ctx, &awsiam.AttachRolePolicyInput{RoleName: created.RoleName, PolicyArn: &arn}))(t)
	}

	c = start(t, store, false, nil).iam("any", "key")
	role := must(c.GetRole(ctx, &awsiam.GetRoleInput{RoleName: created.RoleName}))(t).Role
	if doc := must(url.QueryUnescape(*role.AssumeRolePolicyDocument))(t); doc != trust {
		t.Errorf("trust is %s", doc)
	}
	if *role.Arn != *created.Arn || *role.RoleId != *created.RoleId || !role.CreateDate.Equal(*created.CreateDate) || len(role.Tags) != 1 {
		t.Errorf("got %+v, want %+v", role, created)
	}
	inline := must(c.GetRolePolicy(ctx, &awsiam.GetRolePolicyInput{RoleName: created.RoleName, PolicyName: aws.String("write")}))(t)
	if doc := must(url.QueryUnescape(*inline.PolicyDocument))(t); doc != writeOnly {
		t.Errorf("policy is %s", doc)
	}
	attached := must(c.ListAttachedRolePolicies(ctx, &awsiam.ListAttachedRolePoliciesInput{RoleName: created.RoleName}))(t).AttachedPolicies
	if len(attached) != 2 || *attached[1].PolicyName != "AmazonTimestreamReadOnlyAccess" {
		t.Errorf("attached %+v", attached)
	}
	names := must(c.ListRolePolicies(ctx, &awsiam.ListRolePoliciesInput{RoleName: created.RoleName}))(t).PolicyNames
	if len(names) != 1 || names[0] != "write" {
		t.Errorf("inline %v", names)
	}
	if n := *must(c.GetPolicy(ctx, &awsiam.GetPolicyInput{PolicyArn: policy.Arn}))(t).Policy.AttachmentCount; n != 1 {
		t.Errorf("attachment count %d", n)
	}

	_, err := c.DeleteRole(ctx, &awsiam.DeleteRoleInput{RoleName: created.RoleName})
	wantCode(t, err, "DeleteConflict", "must delete policies first")
	must(c.DeleteRolePolicy(ctx, &awsiam.DeleteRolePolicyInput{RoleName: created.RoleName, PolicyName: aws.String("write")}))(t)
	_, err = c.DeletePolicy(ctx, &awsiam.DeletePolicyInput{PolicyArn: policy.Arn})
	wantCode(t, err, "DeleteConflict", "attached to entities")
	for _, a := range attached {
		must(c.DetachRolePolicy(ctx, &awsiam.DetachRolePolicyInput{RoleName: created.RoleName, PolicyArn: a.PolicyArn}))(t)
	}
	must(c.DeleteRole(ctx, &awsiam.DeleteRoleInput{RoleName: created.RoleName}))(t)
	_, err = c.GetRole(ctx, &awsiam.GetRoleInput{RoleName: created.RoleName})
	wantCode(t, err, "NoSuchEntity", "The role with name IoTTimestreamRole cannot be found.")
}

func TestWrongInputGetsTheDocumentedCode(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	c := start(t, iam.NewMemStore(), false, nil).iam("any", "key")
	create := func(name, document string) error {
		_, err := c.CreateRole(ctx, &awsiam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: &document})
		return err
	}
	if err := create("r", trust); err != nil {
		t.Fatal(err)
	}
	wantCode(t, create("r", trust), "EntityAlreadyExists", "Role with name r already exists.")
	wantCode(t, create("bad name", trust), "ValidationError", "at 'roleName'")
	wantCode(t, create(strings.Repeat("x", 65), trust), "ValidationError", "less than or equal to 64")
	wantCode(t, create("x", "{"), "MalformedPolicyDocument", "invalid Json")
	wantCode(t, create("x", writeOnly), "MalformedPolicyDocument", "Principal")
	put := func(document string) error {
		_, err := c.PutRolePolicy(ctx, &awsiam.PutRolePolicyInput{RoleName: aws.String("r"), PolicyName: aws.String("p"), PolicyDocument: &document})
		return err
	}
	wantCode(t, put(trust), "MalformedPolicyDocument", "should not specify a principal")
	wantCode(t, put(`{"Statement":[]}`), "MalformedPolicyDocument", "Syntax errors")
	wantCode(t, put(`{"Statement":{"Effect":"Maybe","Action":"s3:*","Resource":"*"}}`), "MalformedPolicyDocument", "effect")
	wantCode(t, put(`{"Statement":{"Effect":"Allow","Resource":"*"}}`), "MalformedPolicyDocument", "contain actions")
	wantCode(t, put(`{"Statement":{"Effect":"Allow","Action":"s3:*"}}`), "MalformedPolicyDocument", "contain resources")
	wantCode(t, put(`{"Statement":{"Effect":"Allow","Action":"WriteRecords","Resource":"*"}}`), "MalformedPolicyDocument", "prefaced by a vendor")
	wantCode(t, put(`{"Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*","Sid":"`+strings.Repeat("x", 11000)+`"}}`), "LimitExceeded", "10240")
	_, err := c.AttachRolePolicy(ctx, &awsiam.AttachRolePolicyInput{RoleName: aws.String("r"), PolicyArn: aws.String("arn:aws:iam::123456789012:policy/none")})
	wantCode(t, err, "NoSuchEntity", "does not exist or is not attachable")
	_, err = c.ListRoles(ctx, &awsiam.ListRolesInput{Marker: aws.String("!!")})
	wantCode(t, err, "ValidationError", "Marker")
}

func TestListsArePaged(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	c := start(t, iam.NewMemStore(), false, nil).iam("any", "key")
	for _, name := range []string{"c", "a", "e", "b", "d"} {
		must(c.CreateUser(ctx, &awsiam.CreateUserInput{UserName: &name}))(t)
	}
	var got []string
	pages := awsiam.NewListUsersPaginator(c, &awsiam.ListUsersInput{MaxItems: aws.Int32(2)})
	for pages.HasMorePages() {
		for _, u := range must(pages.NextPage(ctx))(t).Users {
			got = append(got, *u.UserName)
		}
	}
	if strings.Join(got, "") != "abcde" {
		t.Errorf("got %v", got)
	}
}

func TestAccessKeysAndAssumedRolesSign(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	store := iam.NewMemStore()
	now := time.Now()
	s := start(t, store, true, func() time.Time { return now })
	c := s.iam("ROOT", "secret")
	who := func(s server, id, secret, token string) (string, error) {
		out, err := s.sts(id, secret, token).GetCallerIdentity(ctx, nil)
		if err != nil {
			return "", err
		}
		return *out.Arn, nil
	}
	if arn := must(who(s, "ROOT", "secret", ""))(t); arn != "arn:aws:iam::123456789012:root" {
		t.Errorf("root is %s", arn)
	}
	_, err := who(s, "ROOT", "guess", "")
	wantCode(t, err, "SignatureDoesNotMatch", "does not match the signature you provided")
	_, err = who(s, "AKIANOBODY", "x", "")
	wantCode(t, err, "InvalidClientTokenId", "invalid")

	must(c.CreateUser(ctx, &awsiam.CreateUserInput{UserName: aws.String("ann"), Path: aws.String("/dev/")}))(t)
	key := must(c.CreateAccessKey(ctx, &awsiam.CreateAccessKeyInput{UserName: aws.String("ann")}))(t).AccessKey
	s = start(t, store, true, func() time.Time { return now })
	if arn := must(who(s, *key.AccessKeyId, *key.SecretAccessKey, ""))(t); arn != "arn:aws:iam::123456789012:user/dev/ann" {
		t.Errorf("the user is %s", arn)
	}
	if u := must(s.iam(*key.AccessKeyId, *key.SecretAccessKey).GetUser(ctx, &awsiam.GetUserInput{}))(t).User; *u.UserName != "ann" {
		t.Errorf("GetUser without a name: %+v", u)
	}
	c = s.iam("ROOT", "secret")
	must(c.UpdateAccessKey(ctx, &awsiam.UpdateAccessKeyInput{UserName: aws.String("ann"), AccessKeyId: key.AccessKeyId, Status: types.StatusTypeInactive}))(t)
	_, err = who(s, *key.AccessKeyId, *key.SecretAccessKey, "")
	wantCode(t, err, "InvalidClientTokenId", "")

	must(c.CreateRole(ctx, &awsiam.CreateRoleInput{RoleName: aws.String("r"), AssumeRolePolicyDocument: aws.String(trust)}))(t)
	root := s.sts("ROOT", "secret", "")
	out := must(root.AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: aws.String("arn:aws:iam::123456789012:role/r"), RoleSessionName: aws.String("sess"), DurationSeconds: aws.Int32(900)}))(t)
	temp := out.Credentials
	s = start(t, store, true, func() time.Time { return now }) // sessions survive a restart
	if arn := must(who(s, *temp.AccessKeyId, *temp.SecretAccessKey, *temp.SessionToken))(t); arn != "arn:aws:sts::123456789012:assumed-role/r/sess" || arn != *out.AssumedRoleUser.Arn {
		t.Errorf("the role is %s", arn)
	}
	_, err = who(s, *temp.AccessKeyId, *temp.SecretAccessKey, "")
	wantCode(t, err, "InvalidClientTokenId", "")
	_, err = who(s, *temp.AccessKeyId, *temp.SecretAccessKey, (*temp.SessionToken)[:40]+"AAAA"+(*temp.SessionToken)[44:])
	wantCode(t, err, "InvalidClientTokenId", "")
	now = now.Add(901 * time.Second)
	_, err = who(s, *temp.AccessKeyId, *temp.SecretAccessKey, *temp.SessionToken)
	wantCode(t, err, "ExpiredToken", "expired")

	_, err = root.AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: aws.String("arn:aws:iam::999999999999:role/other"), RoleSessionName: aws.String("sess")})
	wantCode(t, err, "AccessDenied", "is not authorized to perform: sts:AssumeRole on resource: arn:aws:iam::999999999999:role/other")
	_, err = root.AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: aws.String("arn:aws:iam::123456789012:role/r"), RoleSessionName: aws.String("sess"), DurationSeconds: aws.Int32(7200)})
	wantCode(t, err, "ValidationError", "MaxSessionDuration")
}

func TestRolesOfOtherAccountsAreAssumedWhereNothingIsVerified(t *testing.T) {
	t.Parallel()
	s := start(t, iam.NewMemStore(), false, nil)
	out := must(s.sts("any", "key", "").AssumeRole(t.Context(), &sts.AssumeRoleInput{RoleArn: aws.String("arn:aws:iam::999999999999:role/path/other"), RoleSessionName: aws.String("me@host")}))(t)
	id := must(s.sts(*out.Credentials.AccessKeyId, *out.Credentials.SecretAccessKey, *out.Credentials.SessionToken).GetCallerIdentity(t.Context(), nil))(t)
	if *id.Arn != "arn:aws:sts::999999999999:assumed-role/other/me@host" || *id.Account != "999999999999" || *id.UserId != *out.AssumedRoleUser.AssumedRoleId {
		t.Errorf("got %s %s %s", *id.Arn, *id.Account, *id.UserId)
	}
	if d := time.Until(*out.Credentials.Expiration); d < 59*time.Minute || d > time.Hour {
		t.Errorf("expires in %v", d)
	}
	_, err := s.sts("any", "key", "").AssumeRole(t.Context(), &sts.AssumeRoleInput{RoleArn: aws.String("arn:aws:iam::123456789012:role/none"), RoleSessionName: aws.String("sess")})
	wantCode(t, err, "AccessDenied", "role/none")
}

func TestGarbageIsRefusedInXML(t *testing.T) {
	t.Parallel()
	s := start(t, iam.NewMemStore(), false, nil)
	post := func(body string) (int, string) {
		resp, err := http.Post(s.url, "application/x-www-form-urlencoded", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(b)
	}
	for _, body := range []string{
		"Action=CreateRole&Version=2010-05-08", "Action=CreateRole&Version=2010-05-08&RoleName.x=1", "Action=CreateRole&Version=2010-05-08&MaxSessionDuration=x",
		"Action=AssumeRole&Version=2011-06-15&RoleArn=x", "Action=GetUser&Version=2010-05-08&UserName=%ff", "Action=ListRoles&Version=2010-05-08&MaxItems=-1",
		"Action=TagRole&Version=2010-05-08&RoleName=r&Tags.member.x=1", "Action=AssumeRole&Version=2011-06-15&RoleArn=arn:aws:iam::1:user/aaaaaaaaaaaa&RoleSessionName=ss",
	} {
		status, text := post(body)
		if status/100 != 4 || !strings.Contains(text, "<ErrorResponse") || !strings.Contains(text, "<Type>Sender</Type>") {
			t.Errorf("%s: %d %s", body, status, text)
		}
	}
}

type failing struct{ iam.Store }

func (failing) Save(string, string, []byte) error { return errors.New("disk full") }

func TestWhatCouldNotBeStoredDidNotHappen(t *testing.T) {
	t.Parallel()
	store := iam.NewMemStore()
	start(t, store, false, nil) // stores the session key
	s := start(t, failing{store}, false, nil)
	_, err := s.iam("any", "key").CreateRole(context.Background(), &awsiam.CreateRoleInput{RoleName: aws.String("r"), AssumeRolePolicyDocument: aws.String(trust)})
	wantCode(t, err, "ServiceFailure", "internal error")
	if _, err := s.dir.Role("r"); err == nil {
		t.Error("the role exists")
	}
}
