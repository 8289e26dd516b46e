package attack

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"crypto/x509"

	"github.com/weir-db/weir/internal/server"
)

// serverTLS gives the doors the certificate that tests of HTTPS have.
func serverTLS(t *testing.T) func(*server.Options) {
	t.Helper()
	some := httptest.NewTLSServer(http.NotFoundHandler())
	defer some.Close()
	pair := some.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, keyFile := filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem")
	for name, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: pair.Certificate[0]}, keyFile: {Type: "PRIVATE KEY", Bytes: key}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return func(o *server.Options) { o.TLSCertFile, o.TLSKeyFile = cert, keyFile }
}

func (s *target) iot(method, path, body string, header ...string) (int, map[string]any) {
	s.Helper()
	r := request{method: method, path: path, body: body, service: "iot", at: time.Now(), keys: root, region: "us-east-1", header: http.Header{}}
	if len(header) == 2 {
		r.header.Set(header[0], header[1])
	}
	status, text := s.send(s.sign(r))
	var out map[string]any
	_ = json.Unmarshal([]byte(text), &out)
	return status, out
}

func TestADeviceIsWhatItsCertificateAndPoliciesSay(t *testing.T) {
	t.Parallel()
	s := start(t, serverTLS(t))
	s.http.Transport = &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	ok := func(status int, out map[string]any) map[string]any {
		t.Helper()
		if status != 200 {
			t.Fatalf("%d %v", status, out)
		}
		return out
	}
	made := ok(s.iot("POST", "/keys-and-certificate?setAsActive=true", ""))
	stranger := ok(s.iot("POST", "/keys-and-certificate", "")) // inactive
	arn, id := made["certificateArn"].(string), made["certificateId"].(string)
	ok(s.iot("POST", "/things/t1", `{}`))
	document, _ := json.Marshal(`{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":"iot:Connect","Resource":"arn:aws:iot:us-east-1:000000000000:client/${iot:Connection.Thing.ThingName}"},
		{"Effect":"Allow","Action":["iot:Publish","iot:Receive"],"Resource":"arn:aws:iot:us-east-1:000000000000:topic/d/${iot:ClientId}"},
		{"Effect":"Allow","Action":"iot:Subscribe","Resource":"arn:aws:iot:us-east-1:000000000000:topicfilter/d/${iot:ClientId}"}]}`)
	wide, _ := json.Marshal(policy(statement("Allow", `"iot:Connect"`, `"*"`), statement("Allow", `"iot:Subscribe"`, `"arn:aws:iot:us-east-1:000000000000:topicfilter/d/${iot:ClientId}"`)))
	role := s.role("device", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"iot.amazonaws.com"},"Action":"sts:AssumeRole"}]}`, policy(statement("Allow", `"timestream:WriteRecords"`, tableA)))
	s.tables()
	ok(s.iot("POST", "/rules/r", `{"sql":"SELECT value FROM 'd/+'","actions":[{"timestream":{"roleArn":"`+role+`","databaseName":"d","tableName":"a","dimensions":[{"name":"device","value":"${clientid()}"}]}}]}`))
	ok(s.iot("POST", "/policies/p", `{"policyDocument":`+string(document)+`}`))
	ok(s.iot("PUT", "/target-policies/p", `{"target":"`+arn+`"}`))

	lost := make(chan error, 1)
	connect := func(by map[string]any, clientID string) (mqtt.Client, error) {
		keys := by["keyPair"].(map[string]any)
		pair, err := tls.X509KeyPair([]byte(by["certificatePem"].(string)), []byte(keys["PrivateKey"].(string)))
		if err != nil {
			t.Fatal(err)
		}
		o := mqtt.NewClientOptions().AddBroker("ssl://" + s.MQTTAddr).SetClientID(clientID).SetAutoReconnect(false).SetConnectRetry(false)
		o.SetTLSConfig(&tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{pair}}).SetProtocolVersion(4)
		o.SetConnectionLostHandler(func(_ mqtt.Client, err error) { lost <- err })
		c := mqtt.NewClient(o)
		token := c.Connect()
		token.Wait()
		return c, token.Error()
	}
	if _, err := connect(made, "t1"); err == nil {
		t.Error("connected although the thing is not attached to the certificate")
	}
	ok(s.iot("PUT", "/things/t1/principals", "", "X-Amzn-Principal", arn))
	if _, err := connect(stranger, "t1"); err == nil {
		t.Error("connected by an inactive certificate")
	}
	if _, err := connect(made, "t2"); err == nil {
		t.Error("connected under another name than its thing's")
	}
	s.Restart() // all of it is durable
	c, err := connect(made, "t1")
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan []byte, 1)
	token := c.Subscribe("d/t1", 1, func(_ mqtt.Client, m mqtt.Message) { got <- m.Payload() })
	if token.Wait(); token.Error() != nil {
		t.Fatal(token.Error())
	}
	token = c.Publish("d/t1", 1, false, `{"value":1}`)
	if token.Wait(); token.Error() != nil || !bytes.Equal(<-got, []byte(`{"value":1}`)) {
		t.Fatal("not delivered: ", token.Error())
	}
	if rows := s.count("SELECT count(*) FROM d.a WHERE device = 't1'"); rows != "1" {
		t.Errorf("the rule stored %s rows of the device, want 1", rows)
	}
	ok(s.iot("POST", "/policies/wide", `{"policyDocument":`+string(wide)+`}`))
	other := ok(s.iot("POST", "/keys-and-certificate?setAsActive=true", ""))
	if _, err := connect(other, "+"); err == nil {
		t.Error("connected without a policy")
	}
	ok(s.iot("PUT", "/target-policies/wide", `{"target":"`+other["certificateArn"].(string)+`"}`))
	plus, err := connect(other, "+")
	if err != nil {
		t.Fatal(err)
	}
	wild := plus.Subscribe("d/+", 1, nil).(*mqtt.SubscribeToken)
	if wild.Wait(); wild.Result()["d/+"] != 0x80 {
		t.Error("a client id became a wildcard")
	}
	refused := c.Subscribe("#", 1, nil).(*mqtt.SubscribeToken)
	if refused.Wait(); refused.Result()["#"] != 0x80 {
		t.Error("subscribed to what the policy does not have")
	}
	if status, out := s.iot("DELETE", "/certificates/"+id, ""); status != 406 {
		t.Errorf("an active certificate deleted: %d %v", status, out)
	}
	ok(s.iot("PUT", "/certificates/"+id+"?newStatus=INACTIVE", ""))
	<-lost // its connection ends
	if _, err := connect(made, "t1"); err == nil {
		t.Error("connected by a certificate that was deactivated")
	}
	if status, out := s.iot("DELETE", "/certificates/"+id, ""); status != 409 {
		t.Errorf("an attached certificate deleted: %d %v", status, out)
	}
	if status, out := s.iot("POST", "/certificate/register-no-ca", `{"certificatePem":"garbage"}`); status != 400 {
		t.Errorf("garbage registered: %d %v", status, out)
	}
}
