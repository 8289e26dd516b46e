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
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// server is a weir process with signatures checked.
type server struct {
	cmd    *exec.Cmd
	url    string
	http   *http.Client
	signer *v4.Signer
}

const rootKey, rootSecret = "AKIABENCHBENCHBENCH0", "bench-secret-bench-secret-bench-secret-0"

func startServer(bin, dir string) (*server, error) {
	cmd := exec.Command(bin, "serve", "--data", dir, "--listen", "127.0.0.1:0", "--mqtt-listen", "", "--auth", "iam", "--log-format", "json")
	cmd.Env = append(os.Environ(), "WEIR_ROOT_ACCESS_KEY_ID="+rootKey, "WEIR_ROOT_SECRET_ACCESS_KEY="+rootSecret)
	out, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &server{cmd: cmd, http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}}, signer: v4.NewSigner()}
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
		return nil, fmt.Errorf("the server did not start: %s", last)
	}
	return s, nil
}

// stop ends the process in order; it may be called again.
func (s *server) stop() error {
	if s.cmd.ProcessState != nil {
		return nil
	}
	s.cmd.Process.Signal(syscall.SIGTERM)
	return s.cmd.Wait()
}

func (s *server) request(ctx context.Context, operation string, body []byte) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, "POST", s.url+"/", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.0")
	req.Header.Set("X-Amz-Target", "Timestream_20181101."+operation)
	sum := sha256.Sum256(body)
	creds := aws.Credentials{AccessKeyID: rootKey, SecretAccessKey: rootSecret}
	return req, s.signer.SignHTTP(ctx, creds, req, hex.EncodeToString(sum[:]), "timestream", "us-east-1", time.Now())
}

func (s *server) call(ctx context.Context, operation string, body []byte) ([]byte, error) {
	req, err := s.request(ctx, operation, body)
	if err != nil {
		return nil, err
	}
	return s.do(req)
}

func (s *server) do(req *http.Request) ([]byte, error) {
	resp, err := s.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != 200 {
		err = fmt.Errorf("%s: %s", resp.Status, answer)
	}
	return answer, err
}

func (s *server) createTable(ctx context.Context, table string) error {
	if _, err := s.call(ctx, "CreateDatabase", []byte(`{"DatabaseName":"bench"}`)); err != nil {
		return err
	}
	_, err := s.call(ctx, "CreateTable", []byte(`{"DatabaseName":"bench","TableName":"`+table+`","RetentionProperties":{"MemoryStoreRetentionPeriodInHours":48,"MagneticStoreRetentionPeriodInDays":365}}`))
	return err
}

// writeAll sends the bodies over conns connections, signed beforehand as the peers'
// bodies are rendered beforehand.
func (s *server) writeAll(ctx context.Context, bodies [][]byte, conns int) error {
	reqs := make([]*http.Request, len(bodies))
	for i, b := range bodies {
		var err error
		if reqs[i], err = s.request(ctx, "WriteRecords", b); err != nil {
			return err
		}
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make(chan error, conns)
	for range conns {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(reqs) {
					return
				}
				if _, err := s.do(reqs[i]); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	return <-errs
}

// answer is a whole query result, all pages.
type answer struct {
	rows int
	page struct {
		Rows []struct {
			Data []struct{ ScalarValue string }
		}
		NextToken string
	}
}

func (a answer) first() string { return a.page.Rows[0].Data[0].ScalarValue }

// query asks and reads all pages to the last byte. Rows of pages after the first are
// only counted.
func (s *server) query(ctx context.Context, sql string) (answer, error) {
	var a answer
	token := ""
	for {
		body, _ := json.Marshal(map[string]string{"QueryString": sql})
		if token != "" {
			body, _ = json.Marshal(map[string]string{"QueryString": sql, "NextToken": token})
		}
		raw, err := s.call(ctx, "Query", body)
		if err != nil {
			return a, err
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
	_, rest, ok := bytes.Cut(raw, []byte(`"NextToken":"`))
	if !ok {
		return ""
	}
	token, _, _ := bytes.Cut(rest, []byte(`"`))
	return string(token)
}

// memory returns a line of /proc/PID/status, in bytes.
func (s *server) memory(line string) int64 {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	_, rest, _ := strings.Cut(string(b), line+":")
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return 0
	}
	kb, _ := strconv.ParseInt(fields[0], 10, 64)
	return kb << 10
}

// cpu returns the processor time that the server used.
func (s *server) cpu() time.Duration {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	_, rest, _ := strings.Cut(string(b), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

// diskUsage returns the bytes allocated below dir, preallocated log included.
func diskUsage(dir string) int64 {
	var total int64
	filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil {
			if info, err := d.Info(); err == nil {
				total += info.Sys().(*syscall.Stat_t).Blocks * 512
			}
		}
		return nil
	})
	return total
}
