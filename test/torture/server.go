package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iot"
	iottypes "github.com/aws/aws-sdk-go-v2/service/iot/types"
)

// server is a running process.
type server struct {
	cmd       *exec.Cmd
	url, mqtt string
}

// start runs the server; of a flag given twice, in more too, the latter counts.
func start(bin, dir string, more ...string) (*server, error) {
	cmd := exec.Command(bin, append([]string{"serve", "--data", dir, "--listen", "127.0.0.1:0", "--mqtt-listen", "127.0.0.1:0", "--pg-listen", "",
		"--log-format", "json", "--memory-limit", "64MiB", "--allow-delete", "--clock", "controlled"}, more...)...)
	out, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &server{cmd: cmd}
	lines := bufio.NewScanner(out)
	var last string
	for lines.Scan() {
		last = lines.Text()
		var line struct{ Msg, Door, Addr, Level, Err string }
		if json.Unmarshal(lines.Bytes(), &line) != nil {
			continue
		}
		if line.Level == "ERROR" {
			s.kill()
			return nil, fmt.Errorf("the server complains: %s", last)
		}
		if line.Msg == "listening" && line.Door == "aws" {
			s.url = "http://" + line.Addr
		}
		if line.Msg == "listening" && line.Door == "mqtt" {
			s.mqtt = line.Addr
		}
		if s.url != "" && s.mqtt != "" {
			go io.Copy(io.Discard, out)
			return s, nil
		}
	}
	cmd.Wait()
	return nil, fmt.Errorf("the server did not start: %s", last)
}

func (s *server) terminate() { s.cmd.Process.Signal(syscall.SIGTERM) }

func (s *server) kill() {
	s.cmd.Process.Signal(syscall.SIGKILL)
	s.cmd.Wait()
}

func (s *server) send(req *http.Request) ([]byte, error) {
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != 200 {
		err = fmt.Errorf("%s %s: %s: %s", req.Method, req.URL.Path, resp.Status, b)
	}
	return b, err
}

func (s *server) call(ctx context.Context, operation, body string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, "POST", s.url, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("X-Amz-Target", "Timestream_20181101."+operation)
	req.Header.Set("Content-Type", "application/x-amz-json-1.0")
	return s.send(req)
}

// query returns the rows of a query as texts; null is empty.
func (s *server) query(ctx context.Context, sql string) ([][]string, error) {
	var rows [][]string
	token := ""
	for {
		in := map[string]string{"QueryString": sql}
		if token != "" {
			in["NextToken"] = token
		}
		body, _ := json.Marshal(in)
		b, err := s.call(ctx, "Query", string(body))
		if err != nil {
			return nil, err
		}
		var page struct {
			Rows []struct {
				Data []struct{ ScalarValue string }
			}
			NextToken string
		}
		if err := json.Unmarshal(b, &page); err != nil {
			return nil, err
		}
		for _, r := range page.Rows {
			var row []string
			for _, d := range r.Data {
				row = append(row, d.ScalarValue)
			}
			rows = append(rows, row)
		}
		if token = page.NextToken; token == "" {
			return rows, nil
		}
	}
}

func number(s string) int { n, _ := strconv.Atoi(s); return n }

// advance moves the server's clock and returns its new time.
func (s *server) advance(ctx context.Context, by time.Duration) (time.Time, error) {
	req, err := http.NewRequestWithContext(ctx, "PUT", s.url+"/admin/clock", strings.NewReader(`{"advance":"`+by.String()+`"}`))
	if err != nil {
		return time.Time{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	b, err := s.send(req)
	var state struct{ Now time.Time }
	return state.Now, errors.Join(err, unmarshal(b, &state, err))
}

func unmarshal(b []byte, v any, before error) error {
	if before != nil {
		return nil
	}
	return json.Unmarshal(b, v)
}

// create makes the tables and the rule that writes what devices publish.
func (s *server) create() error {
	ctx := context.Background()
	if _, err := s.call(ctx, "CreateDatabase", `{"DatabaseName":"torture"}`); err != nil {
		return err
	}
	// The writers' and the devices' tables keep everything; what expires is in another.
	for table, retention := range map[string][2]int{"t": {24, 1000}, "m": {24, 1000}, "d": {24, 1000}, "x": {1, 1}} {
		if _, err := s.call(ctx, "CreateTable", fmt.Sprintf(`{"DatabaseName":"torture","TableName":%q,"RetentionProperties":
			{"MemoryStoreRetentionPeriodInHours":%d,"MagneticStoreRetentionPeriodInDays":%d},"MagneticStoreWriteProperties":{"EnableMagneticStoreWrites":true}}`,
			table, retention[0], retention[1])); err != nil {
			return err
		}
	}
	c := iot.New(iot.Options{BaseEndpoint: &s.url, Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("any", "any", "")})
	_, err := c.CreateTopicRule(ctx, &iot.CreateTopicRuleInput{RuleName: aws.String("torture"), TopicRulePayload: &iottypes.TopicRulePayload{
		Sql: aws.String("SELECT n FROM 'devices/+'"),
		Actions: []iottypes.Action{{Timestream: &iottypes.TimestreamAction{
			RoleArn: aws.String("arn:aws:iam::000000000000:role/torture"), DatabaseName: aws.String("torture"), TableName: aws.String("m"),
			Dimensions: []iottypes.TimestreamDimension{{Name: aws.String("device"), Value: aws.String("${topic(2)}")}},
			Timestamp:  &iottypes.TimestreamTimestamp{Value: aws.String("${at}"), Unit: aws.String("MILLISECONDS")},
		}}},
	}})
	return err
}
