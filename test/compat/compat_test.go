//go:build e2e

// Package compat runs clients that nobody here wrote against the real binary: the
// newest boto3 and AWS CLI, the older ones that Debian ships, the JavaScript and Go SDKs,
// mosquitto, DuckDB, awswrangler and Telegraf's output plug-in. Each runs twice where it can: with an endpoint argument, and with
// AWS_ENDPOINT_URL alone. Go programs are in gosdk, a module of its own. test/compat/run.sh installs what is needed.
package compat

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// server is a running binary.
type server struct {
	url  string // of the AWS API
	mqtt string // host:port
	cmd  *exec.Cmd
	dir  string
}

// start runs the binary on free ports and a folder of its own until the test ends.
func start(t *testing.T, dir string, more ...string) *server {
	t.Helper()
	args := append([]string{"serve", "--data", dir, "--listen", "127.0.0.1:0", "--mqtt-listen", "127.0.0.1:0", "--pg-listen", "127.0.0.1:0", "--log-format", "json"}, more...)
	cmd := exec.Command(binary(t), args...)
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := &server{cmd: cmd, dir: dir}
	t.Cleanup(func() { s.stop(t) })
	lines := bufio.NewScanner(out)
	for (s.url == "" || s.mqtt == "") && lines.Scan() {
		var line struct{ Msg, Door, Addr string }
		if json.Unmarshal(lines.Bytes(), &line) != nil || line.Msg != "listening" {
			continue
		}
		switch line.Door {
		case "aws":
			s.url = "http://" + line.Addr
		case "mqtt":
			s.mqtt = line.Addr
		}
	}
	if s.url == "" || s.mqtt == "" {
		t.Fatalf("the server did not say where it listens: %v", lines.Err())
	}
	go func() {
		for lines.Scan() {
			t.Log(lines.Text())
		}
	}()
	return s
}

// stop ends the server as an operator would and demands a clean exit within ten seconds.
func (s *server) stop(t *testing.T) {
	if s.cmd.ProcessState != nil {
		return
	}
	s.cmd.Process.Signal(syscall.SIGTERM)
	kill := time.AfterFunc(10*time.Second, func() { s.cmd.Process.Kill() })
	defer kill.Stop()
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("the server's end: %v", err)
	}
}

func binary(t *testing.T) string { return tool(t, "WEIR_BIN", "../../weir") }

// tool returns the absolute path in the environment variable, or of def.
func tool(t *testing.T, env, def string) string {
	t.Helper()
	name := os.Getenv(env)
	if name == "" {
		name = def
	}
	abs, err := filepath.Abs(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(abs); err != nil {
		t.Fatalf("%v (make e2e installs and builds what these tests need)", err)
	}
	return abs
}

// client runs a client program that must succeed. Its environment has no AWS setting
// but keys and, if endpoint is set, AWS_ENDPOINT_URL.
func client(t *testing.T, endpoint, name string, args ...string) {
	t.Helper()
	clientWith(t, nil, endpoint, name, args...)
}

// clientWith is client with more in its environment.
func clientWith(t *testing.T, env []string, endpoint, name string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "AWS_ACCESS_KEY_ID=any", "AWS_SECRET_ACCESS_KEY=any",
		"AWS_REGION=us-east-1", "AWS_EC2_METADATA_DISABLED=true", "AWS_PAGER="}
	if endpoint != "" {
		cmd.Env = append(cmd.Env, "AWS_ENDPOINT_URL="+endpoint)
	}
	cmd.Env = append(cmd.Env, env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	t.Logf("%s", out)
}

// inNode returns the absolute name of a script of clients, beside the packages that it imports:
// Node looks for them there.
func inNode(t *testing.T, script string) string {
	t.Helper()
	text, err := os.ReadFile("clients/" + script)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(tool(t, "WEIR_E2E_NODE", "../../.e2e/node"), script)
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// gosdk runs the tests of a package of a Go module here, with AWS_ENDPOINT_URL as all its
// AWS settings but keys and a region.
func gosdk(t *testing.T, s *server, module, pkg string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "test", "-count", "1", "./"+pkg)
	cmd.Dir = module
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "AWS_") {
			cmd.Env = append(cmd.Env, kv)
		}
	}
	cmd.Env = append(cmd.Env, "AWS_ENDPOINT_URL="+s.url, "AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID=any", "AWS_SECRET_ACCESS_KEY=any", "AWS_EC2_METADATA_DISABLED=true")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}

func TestGoSDKSamples(t *testing.T) {
	gosdk(t, start(t, t.TempDir(), "--clock", "controlled"), "gosdk", "samples")
}

// The Go SDK of 2024 goes where DescribeEndpoints sends it.
func TestOldGoSDK(t *testing.T) { gosdk(t, start(t, t.TempDir()), "gosdkold", "") }

func TestTerraformProvidersCalls(t *testing.T) { gosdk(t, start(t, t.TempDir()), "gosdk", "terraform") }

func TestTelegrafsOutput(t *testing.T) { gosdk(t, start(t, t.TempDir()), "gosdk", "telegraf") }

func TestSamplesWithBoto3(t *testing.T) {
	s := start(t, t.TempDir())
	newest, debian := tool(t, "WEIR_E2E_PYTHON", "../../.e2e/venv/bin/python"), tool(t, "WEIR_E2E_DEBIAN_PYTHON", "/usr/bin/python3")
	t.Run("newest, environment alone", func(t *testing.T) { client(t, s.url, newest, "clients/samples.py", "--database", "newest_env") })
	t.Run("debian's, endpoint argument", func(t *testing.T) {
		client(t, "", debian, "clients/samples.py", "--endpoint", s.url, "--database", "debian_arg")
	})
}

func TestSamplesWithTheJavaScriptSDK(t *testing.T) {
	s := start(t, t.TempDir())
	name := inNode(t, "samples.mjs")
	t.Run("endpoint argument", func(t *testing.T) { client(t, "", "node", name, "js_arg", s.url) })
	t.Run("environment alone", func(t *testing.T) { client(t, s.url, "node", name, "js_env") })
}

func TestBoto3(t *testing.T) {
	s := start(t, t.TempDir())
	newest, debian := tool(t, "WEIR_E2E_PYTHON", "../../.e2e/venv/bin/python"), tool(t, "WEIR_E2E_DEBIAN_PYTHON", "/usr/bin/python3")
	t.Run("newest, endpoint argument", func(t *testing.T) {
		client(t, "", newest, "clients/article.py", "--endpoint", s.url, "--mqtt", s.mqtt, "--database", "newest-arg")
	})
	t.Run("newest, environment alone", func(t *testing.T) {
		client(t, s.url, newest, "clients/article.py", "--mqtt", s.mqtt, "--database", "newest-env")
	})
	t.Run("debian's, endpoint argument", func(t *testing.T) {
		client(t, "", debian, "clients/article.py", "--endpoint", s.url, "--mqtt", s.mqtt, "--database", "debian-arg")
	})
}

func TestCLI(t *testing.T) {
	s := start(t, t.TempDir())
	newest, debian := tool(t, "WEIR_E2E_AWS", "../../.e2e/venv/bin/aws"), tool(t, "WEIR_E2E_DEBIAN_AWS", "/usr/bin/aws")
	t.Run("newest, endpoint argument", func(t *testing.T) {
		client(t, "", "sh", "clients/cli.sh", newest, "cli-arg", "--endpoint-url", s.url)
	})
	t.Run("newest, environment alone", func(t *testing.T) {
		client(t, s.url, "sh", "clients/cli.sh", newest, "cli-env")
	})
	t.Run("debian's, endpoint argument", func(t *testing.T) {
		client(t, "", "sh", "clients/cli.sh", debian, "cli-debian", "--endpoint-url", s.url)
	})
}

func TestS3WithTheCLI(t *testing.T) {
	s := start(t, t.TempDir())
	newest, debian := tool(t, "WEIR_E2E_AWS", "../../.e2e/venv/bin/aws"), tool(t, "WEIR_E2E_DEBIAN_AWS", "/usr/bin/aws")
	t.Run("newest", func(t *testing.T) { client(t, s.url, "sh", "clients/s3.sh", newest, "newest-box") })
	t.Run("debian's", func(t *testing.T) {
		client(t, "", "sh", "clients/s3.sh", debian, "debian-box", "--endpoint-url", s.url)
	})
}

// TestClientsWhoseSignaturesAreVerified runs each kind of client against a server that takes
// nothing unsigned: their keys are the root's.
func TestClientsWhoseSignaturesAreVerified(t *testing.T) {
	t.Setenv("WEIR_ROOT_ACCESS_KEY_ID", "any")
	t.Setenv("WEIR_ROOT_SECRET_ACCESS_KEY", "any")
	s := start(t, t.TempDir(), "--auth", "iam", "--clock", "controlled")
	t.Run("cli, s3", func(t *testing.T) {
		client(t, s.url, "sh", "clients/s3.sh", tool(t, "WEIR_E2E_AWS", "../../.e2e/venv/bin/aws"), "signed-box")
	})
	t.Run("boto3", func(t *testing.T) {
		client(t, s.url, tool(t, "WEIR_E2E_PYTHON", "../../.e2e/venv/bin/python"), "clients/scheduled.py", "--database", "boto3")
	})
	t.Run("awswrangler", func(t *testing.T) {
		client(t, s.url, tool(t, "WEIR_E2E_WRANGLER", "../../.e2e/wrangler/bin/python"), "clients/unload.py")
	})
	t.Run("javascript", func(t *testing.T) { client(t, s.url, "node", inNode(t, "samples.mjs"), "js_signed") })
	t.Run("go", func(t *testing.T) { gosdk(t, s, "gosdk", "terraform") })
	t.Run("curl moves the clock", func(t *testing.T) {
		client(t, "", "curl", "-sS", "--fail-with-body", "--aws-sigv4", "aws:amz:us-east-1:weir", "--user", "any:any", "-X", "PUT", "-H", "Content-Type: application/json", "-d", `{"advance":"1h"}`, s.url+"/admin/clock")
	})
}

// TestClientsOverTLS gives every client a certificate to trust, and the endpoint by its
// environment: what DescribeEndpoints answers must keep them on TLS.
func TestClientsOverTLS(t *testing.T) {
	cert, key := certificate(t)
	s := start(t, t.TempDir(), "--tls-cert", cert, "--tls-key", key)
	s.url = "https" + strings.TrimPrefix(s.url, "http")
	trust := []string{"AWS_CA_BUNDLE=" + cert, "NODE_EXTRA_CA_CERTS=" + cert}
	t.Run("boto3", func(t *testing.T) {
		clientWith(t, trust, s.url, tool(t, "WEIR_E2E_PYTHON", "../../.e2e/venv/bin/python"), "clients/samples.py", "--database", "boto3")
	})
	t.Run("debian's boto3", func(t *testing.T) {
		clientWith(t, trust, "", tool(t, "WEIR_E2E_DEBIAN_PYTHON", "/usr/bin/python3"), "clients/samples.py", "--endpoint", s.url, "--database", "debian")
	})
	t.Run("javascript", func(t *testing.T) {
		clientWith(t, trust, s.url, "node", inNode(t, "samples.mjs"), "javascript")
	})
	t.Run("go", func(t *testing.T) {
		t.Setenv("SSL_CERT_FILE", cert)
		gosdk(t, s, "gosdk", "terraform")
	})
	t.Run("old go", func(t *testing.T) {
		t.Setenv("SSL_CERT_FILE", cert)
		gosdk(t, s, "gosdkold", "")
	})
}

// certificate makes a certificate for loopback addresses, and returns the files of it and of its key.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "weir"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, der []byte) string {
		name = filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	return write("cert.pem", "CERTIFICATE", der), write("key.pem", "PRIVATE KEY", keyDER)
}

func TestUnloadWithDuckDBAndAWSWrangler(t *testing.T) {
	s := start(t, t.TempDir())
	client(t, s.url, tool(t, "WEIR_E2E_WRANGLER", "../../.e2e/wrangler/bin/python"), "clients/unload.py")
}

func TestAWSWrangler(t *testing.T) {
	s := start(t, t.TempDir())
	client(t, s.url, tool(t, "WEIR_E2E_WRANGLER", "../../.e2e/wrangler/bin/python"), "clients/wrangler.py")
}

func TestJavaScriptSDK(t *testing.T) {
	s := start(t, t.TempDir())
	name := inNode(t, "article.mjs")
	t.Run("endpoint argument", func(t *testing.T) { client(t, "", "node", name, "js-arg", s.url) })
	t.Run("environment alone", func(t *testing.T) { client(t, s.url, "node", name, "js-env") })
}

func TestScheduledQueries(t *testing.T) {
	s := start(t, t.TempDir())
	newest, debian := tool(t, "WEIR_E2E_PYTHON", "../../.e2e/venv/bin/python"), tool(t, "WEIR_E2E_DEBIAN_PYTHON", "/usr/bin/python3")
	t.Run("newest, endpoint argument", func(t *testing.T) {
		client(t, "", newest, "clients/scheduled.py", "--endpoint", s.url, "--database", "newest_arg")
	})
	t.Run("newest, environment alone", func(t *testing.T) {
		client(t, s.url, newest, "clients/scheduled.py", "--database", "newest_env")
	})
	// SQS in the Query protocol.
	t.Run("debian's, endpoint argument", func(t *testing.T) {
		client(t, "", debian, "clients/scheduled.py", "--endpoint", s.url, "--database", "debian_arg")
	})
}
