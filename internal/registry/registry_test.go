package registry_test

import (
	"crypto/x509"
	"encoding/pem"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/weir-db/weir/internal/iam"
	"github.com/weir-db/weir/internal/registry"
)

// documents are on no disk.
type documents map[string][]byte

func (d documents) Each(f func(key string, doc []byte) error) error {
	for k, v := range maps.Clone(d) {
		if err := f(k, v); err != nil {
			return err
		}
	}
	return nil
}

func (d documents) Apply(changes map[string][]byte) error {
	maps.Copy(d, changes)
	maps.DeleteFunc(d, func(_ string, v []byte) bool { return v == nil })
	return nil
}

func TestACertificateCountsWhileItIsActiveAndValid(t *testing.T) {
	t.Parallel()
	made := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	now := made
	disk := documents{}
	opt := registry.Options{
		Documents: disk, Now: func() time.Time { return now }, Region: "us-east-1", AccountID: "111122223333",
		Judge: func(documents []string, _ iam.Request) bool { return len(documents) > 0 },
	}
	r, err := registry.Open(opt)
	if err != nil {
		t.Fatal(err)
	}
	c, keys, err := r.CreateKeys(true)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode([]byte(c.PEM))
	shown, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	document := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`
	may := func() bool {
		id, err := r.Authenticate(shown)
		allowed := r.Allow(c.ID, "d", "iot:Publish", "x", func(string) []string { return nil })
		if (err == nil) != allowed || err == nil && id != c.ID {
			t.Errorf("authenticated %q, %v, allowed %v", id, err, allowed)
		}
		return allowed
	}
	if r.Allow(c.ID, "d", "iot:Publish", "x", nil) {
		t.Error("allowed without a policy")
	}
	if _, err := r.CreatePolicy("p", document); err != nil {
		t.Fatal(err)
	}
	if err := r.AttachPolicy("p", r.ARN("cert", c.ID)); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"", "{", strings.Replace(document, `"*"}`, `"*","Condition":{"StringEqualz":{"iot:ClientId":"x"}}}`, 1)} {
		if _, err := r.CreatePolicy("bad", bad); err == nil {
			t.Errorf("the policy %q was taken", bad)
		}
	}
	for at, want := range map[time.Time]bool{made: true, made.Add(-time.Hour): false, shown.NotAfter: true, shown.NotAfter.Add(time.Second): false} {
		if now = at; may() != want {
			t.Errorf("at %s: %v, want %v", at, !want, want)
		}
	}
	now = made
	for key, doc := range disk {
		if key != "ca" && strings.Contains(string(doc), "PRIVATE KEY") || strings.Contains(string(doc), keys.Private[40:100]) {
			t.Errorf("%s holds the private key of a device", key)
		}
	}
	damaged := maps.Clone(disk)
	delete(damaged, "policy/p")
	other := opt
	other.Documents = damaged
	if lost, err := registry.Open(other); err != nil || lost.Allow(c.ID, "d", "iot:Publish", "x", nil) {
		t.Error("a policy that is lost allows: ", err)
	}
	if err := r.SetStatus(c.ID, registry.Revoked); err != nil || may() {
		t.Error("a revoked certificate counts: ", err)
	}
	if r.SetStatus(c.ID, registry.Active) == nil {
		t.Error("a revoked certificate became active")
	}
}
