package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// weir is the server under test, with signatures checked and every write durable.
type weir struct {
	bin    string
	conns  int
	shape  shape
	proc   *process
	dir    string
	url    string
	http   *http.Client
	signer *v4.Signer
}

const rootKey, rootSecret = "AKIABENCHBENCHBENCH0", "bench-secret-bench-secret-bench-secret-0"

func newWeir(s *settings, shape shape) *weir {
	return &weir{bin: s.bin, conns: s.conns, shape: shape, http: newClient(), signer: v4.NewSigner()}
}

func (s *weir) child() *process { return s.proc }
func (s *weir) stop() error     { return s.proc.stop() }

func (s *weir) start(_ context.Context, dir string) error {
	cmd := exec.Command(s.bin, "serve", "--data", dir, "--listen", "127.0.0.1:0", "--mqtt-listen", "", "--pg-listen", "", "--auth", "iam", "--log-format", "json")
	cmd.Env = append(os.Environ(), "WEIR_ROOT_ACCESS_KEY_ID="+rootKey, "WEIR_ROOT_SECRET_ACCESS_KEY="+rootSecret, "WEIR_PG_LISTEN=")
	out, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	s.proc, s.dir, s.url = &process{cmd}, dir, ""
	lines := bufio.NewScanner(out)
	var last string
	for s.url == "" && lines.Scan() {
		last = lines.Text()
		var line struct{ Msg, Door, Addr string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "listening" && line.Door == "aws" {
			s.url = "http://" + line.Addr
		}
	}
	go io.Copy(io.Discard, out)
	if s.url == "" {
		cmd.Process.Kill()
		cmd.Wait()
		return fmt.Errorf("weir did not start: %s", last)
	}
	return nil
}

// kill ends the process at once, as a crash does.
func (s *weir) kill() {
	s.proc.cmd.Process.Signal(syscall.SIGKILL)
	s.proc.cmd.Wait()
}

func (s *weir) load(ctx context.Context, w *workload) (time.Duration, error) {
	if _, err := s.call(ctx, "CreateDatabase", []byte(`{"DatabaseName":"bench"}`)); err != nil {
		return 0, err
	}
	if _, err := s.call(ctx, "CreateTable", []byte(`{"DatabaseName":"bench","TableName":"`+w.table+`","RetentionProperties":{"MemoryStoreRetentionPeriodInHours":48,"MagneticStoreRetentionPeriodInDays":365}}`)); err != nil {
		return 0, err
	}
	return sendAll(s.http, w.writeRecords(s.shape), s.conns, func(body []byte) (*http.Request, error) {
		return s.request(ctx, "WriteRecords", body)
	})
}

// settle has nothing to do: ending the server in order flushes, and merging is its own
// business.
func (s *weir) settle(context.Context, *workload) error { return nil }

func (s *weir) ask(ctx context.Context, c *class, d *draw) (int, time.Duration, error) {
	began := time.Now()
	if c.inside {
		err := s.drain(ctx, c.sql(d, weirSQL))
		return 0, time.Since(began), err
	}
	a, err := s.query(ctx, c.sql(d, weirSQL))
	return a.rows, time.Since(began), err
}

// drain runs a query whose rows the server makes and drops: an OFFSET behind them all.
func (s *weir) drain(ctx context.Context, sql string) error {
	a, err := s.query(ctx, "SELECT * FROM ("+sql+") OFFSET 1000000000")
	if err == nil && a.rows > 0 {
		err = fmt.Errorf("%d rows are past the offset: %s", a.rows, sql)
	}
	return err
}

func (s *weir) request(ctx context.Context, operation string, body []byte) (*http.Request, error) {
	req, err := post(ctx, s.url+"/", body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.0")
	req.Header.Set("X-Amz-Target", "Timestream_20181101."+operation)
	sum := sha256.Sum256(body)
	creds := aws.Credentials{AccessKeyID: rootKey, SecretAccessKey: rootSecret}
	return req, s.signer.SignHTTP(ctx, creds, req, hex.EncodeToString(sum[:]), "timestream", "us-east-1", time.Now())
}

func (s *weir) call(ctx context.Context, operation string, body []byte) ([]byte, error) {
	req, err := s.request(ctx, operation, body)
	if err != nil {
		return nil, err
	}
	return do(s.http, req)
}

// answer is a whole query result, all pages.
type answer struct {
	rows int
	page struct {
		Rows []struct {
			Data []struct{ ScalarValue string }
		}
	}
}

func (a answer) first() string {
	if len(a.page.Rows) == 0 {
		return ""
	}
	return a.page.Rows[0].Data[0].ScalarValue
}

// query asks and reads all pages to the last byte. Only an answer of one row is
// decoded; other rows are counted.
func (s *weir) query(ctx context.Context, sql string) (answer, error) {
	var a answer
	token := ""
	for {
		input := map[string]string{"QueryString": sql}
		if token != "" {
			input["NextToken"] = token
		}
		body, _ := json.Marshal(input)
		raw, err := s.call(ctx, "Query", body)
		if err != nil {
			return a, fmt.Errorf("%w\n%s", err, sql)
		}
		n := bytes.Count(raw, []byte(`{"Data":`))
		if a.rows == 0 && n == 1 {
			if err := json.Unmarshal(raw, &a.page); err != nil {
				return a, err
			}
		}
		a.rows += n
		if token = nextToken(raw); token == "" {
			return a, nil
		}
	}
}

// nextToken finds the token without decoding a megabyte of rows, which would be the
// client's time and not the server's.
func nextToken(raw []byte) string {
	_, rest, ok := bytes.Cut(raw[:min(len(raw), 4096)], []byte(`"NextToken":"`))
	if !ok {
		return ""
	}
	token, _, _ := bytes.Cut(rest, []byte(`"`))
	return string(token)
}
