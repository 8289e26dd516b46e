// Command torture kills the server at random moments, while clients write through
// the public API and rules write what devices publish, and demands after each restart
// that every acknowledged record is there with its value.
//
//	go run ./test/torture -rounds 200 -bin ./weir
//
// One data folder lives through all rounds, with a small memory limit, so that flushes and
// merges are interrupted too. The seed is printed; -seed repeats the moments as far as
// the machine's timing allows.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const perRequest = 20 // records

func main() {
	bin := flag.String("bin", "./weir", "server `binary`")
	rounds := flag.Int("rounds", 200, "kills")
	writers := flag.Int("writers", 4, "concurrent writers")
	seed := flag.Uint64("seed", uint64(time.Now().UnixNano()), "of the random moments")
	flag.Parse()
	fmt.Println("seed", *seed)
	if err := torture(*bin, *rounds, *writers, *seed); err != nil {
		fmt.Fprintln(os.Stderr, "torture:", err)
		os.Exit(1)
	}
}

func torture(bin string, rounds, writers int, seed uint64) error {
	dir, err := os.MkdirTemp("", "weir-torture")
	if err != nil {
		return err
	}
	random := rand.New(rand.NewPCG(seed, 1))
	acked := make([]int, writers) // requests of each writer that were answered 200
	tried := make([]int, writers) // requests that were sent
	began := time.Now()
	for round := range rounds {
		s, err := start(bin, dir)
		if err != nil {
			return fmt.Errorf("round %d: %w (data in %s)", round, err, dir)
		}
		if round == 0 {
			err = s.create()
		} else {
			err = s.verify(acked, tried)
		}
		if err != nil {
			s.kill()
			return fmt.Errorf("round %d: %w (data in %s)", round, err, dir)
		}
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() { acked[w], tried[w] = s.write(ctx, w, acked[w], tried[w]) })
		}
		time.Sleep(time.Duration(20+random.IntN(400)) * time.Millisecond)
		s.kill()
		cancel()
		wg.Wait()
		if (round+1)%20 == 0 {
			total := 0
			for _, n := range acked {
				total += n * perRequest
			}
			fmt.Printf("%d kills, %d records acknowledged, none lost, %v\n", round+1, total, time.Since(began).Round(time.Second))
		}
	}
	s, err := start(bin, dir)
	if err != nil {
		return err
	}
	defer s.kill()
	if err := s.verify(acked, tried); err != nil {
		return fmt.Errorf("at the end: %w (data in %s)", err, dir)
	}
	return os.RemoveAll(dir)
}

type server struct {
	cmd *exec.Cmd
	url string
}

func start(bin, dir string) (*server, error) {
	cmd := exec.Command(bin, "serve", "--data", dir, "--listen", "127.0.0.1:0", "--mqtt-listen", "", "--log-format", "json", "--memory-limit", "64MiB")
	out, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(out)
	var last string
	for lines.Scan() {
		last = lines.Text()
		var line struct{ Msg, Door, Addr string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "listening" && line.Door == "aws" {
			go io.Copy(io.Discard, out)
			return &server{cmd, "http://" + line.Addr}, nil
		}
	}
	cmd.Wait()
	return nil, fmt.Errorf("the server did not start: %s", last)
}

func (s *server) kill() {
	s.cmd.Process.Signal(syscall.SIGKILL)
	s.cmd.Wait()
}

func (s *server) call(ctx context.Context, operation, body string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, "POST", s.url, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("X-Amz-Target", "Timestream_20181101."+operation)
	req.Header.Set("Content-Type", "application/x-amz-json-1.0")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != 200 {
		err = fmt.Errorf("%s: %s: %s", operation, resp.Status, b)
	}
	return b, err
}

func (s *server) create() error {
	ctx := context.Background()
	if _, err := s.call(ctx, "CreateDatabase", `{"DatabaseName":"torture"}`); err != nil {
		return err
	}
	_, err := s.call(ctx, "CreateTable", `{"DatabaseName":"torture","TableName":"t","RetentionProperties":{"MemoryStoreRetentionPeriodInHours":24,"MagneticStoreRetentionPeriodInDays":100},"MagneticStoreWriteProperties":{"EnableMagneticStoreWrites":true}}`)
	return err
}

// write sends request after request until one fails, and returns how many are
// acknowledged and how many were tried. Record n of a writer has the time base+n ms, some
// days back for every seventh request (late data), and n as its value.
func (s *server) write(ctx context.Context, writer, acked, tried int) (int, int) {
	for k := acked; ; k++ {
		tried = max(tried, k+1)
		var b bytes.Buffer
		fmt.Fprintf(&b, `{"DatabaseName":"torture","TableName":"t","CommonAttributes":{"Dimensions":[{"Name":"w","Value":"%d"}],"MeasureName":"m","MeasureValueType":"MULTI"},"Records":[`, writer)
		for i := range perRequest {
			n := k*perRequest + i
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, `{"Time":"%d","MeasureValues":[{"Name":"n","Value":"%d","Type":"BIGINT"},{"Name":"x","Value":"%d.5","Type":"DOUBLE"}]}`, at(k, n), n, n%100)
		}
		b.WriteString("]}")
		if _, err := s.call(ctx, "WriteRecords", b.String()); err != nil {
			return k, tried
		}
	}
}

var base = time.Now().Add(-time.Hour).UnixMilli()

func at(request, n int) int64 {
	if request%7 == 3 {
		return base - 5*86_400_000 + int64(n)
	}
	return base + int64(n)
}

// verify reads everything back: all acknowledged records, each once, with its value;
// beyond them only records that were tried.
func (s *server) verify(acked, tried []int) error {
	b, err := s.call(context.Background(), "Query", `{"QueryString":"SELECT w, count(*), count(DISTINCT n), sum(CASE WHEN x = n % 100 + 0.5e0 THEN 1 ELSE 0 END), max(n), min(n) FROM torture.t GROUP BY w"}`)
	if err != nil {
		return err
	}
	var answer struct {
		Rows []struct {
			Data []struct{ ScalarValue string }
		}
	}
	if err := json.Unmarshal(b, &answer); err != nil {
		return err
	}
	found := map[int][5]int{}
	for _, r := range answer.Rows {
		w, _ := strconv.Atoi(r.Data[0].ScalarValue)
		var f [5]int
		for i := range f {
			f[i], _ = strconv.Atoi(r.Data[i+1].ScalarValue)
		}
		found[w] = f
	}
	for w := range acked {
		f := found[w]
		rows, distinct, right, last := f[0], f[1], f[2], f[3]
		switch {
		case rows < acked[w]*perRequest:
			return fmt.Errorf("writer %d: %d records are there, %d were acknowledged", w, rows, acked[w]*perRequest)
		case rows > tried[w]*perRequest:
			return fmt.Errorf("writer %d: %d records are there, only %d were ever sent", w, rows, tried[w]*perRequest)
		case distinct != rows || right != rows:
			return fmt.Errorf("writer %d: %d records, %d different, %d with their value", w, rows, distinct, right)
		case rows > 0 && last < acked[w]*perRequest-1:
			return fmt.Errorf("writer %d: the last record is %d, acknowledged were %d", w, last, acked[w]*perRequest)
		}
	}
	return nil
}
