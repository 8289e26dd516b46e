package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// benchLoad is what writing took.
type benchLoad struct {
	took      time.Duration
	latencies []time.Duration // of every request
}

// write writes all rows. It makes its requests itself: the SDK would need more time for them than the server.
func (o *benchOptions) write(ctx context.Context) (benchLoad, error) {
	credentials, err := keys().Retrieve(ctx)
	if err != nil {
		return benchLoad{}, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: o.conns}, Timeout: time.Minute}
	defer client.CloseIdleConnections()
	var (
		next  atomic.Int64
		wg    sync.WaitGroup
		load  benchLoad
		mu    sync.Mutex
		start = time.Now()
	)
	for range o.conns {
		wg.Go(func() {
			w := benchWriter{o: o, client: client, signer: v4.NewSigner(), credentials: credentials, end: start}
			for ctx.Err() == nil && w.fill(int(next.Add(1))-1) {
				if err := w.send(ctx); err != nil {
					cancel(err)
				}
			}
			mu.Lock()
			load.latencies = append(load.latencies, w.latencies...)
			mu.Unlock()
		})
	}
	wg.Wait()
	load.took = time.Since(start)
	return load, context.Cause(ctx)
}

// benchWriter sends requests one after the other.
type benchWriter struct {
	o           *benchOptions
	client      *http.Client
	signer      *v4.Signer
	credentials aws.Credentials
	end         time.Time // of the last readings
	body        []byte
	latencies   []time.Duration
}

// fill makes the body of request number n; false means that there is no such request.
func (w *benchWriter) fill(n int) bool {
	// A request takes a run of readings of one step (gateway) or of one device (device).
	across := w.o.devices
	if w.o.shape == "device" {
		across = w.o.steps()
	}
	perLine := (across + w.o.batch - 1) / w.o.batch
	line, first := n/perLine, n%perLine*w.o.batch
	last := min(first+w.o.batch, across)
	if w.o.shape == "device" && line >= w.o.devices || w.o.shape == "gateway" && line >= w.o.steps() {
		return false
	}
	b := append(w.body[:0], `{"DatabaseName":"`+benchDatabase+`","TableName":"`+demoTable+
		`","CommonAttributes":{"MeasureName":"`+demoMeasure+`","MeasureValueType":"MULTI","TimeUnit":"MILLISECONDS"`...)
	random := rand.New(rand.NewPCG(1, uint64(n)))
	if w.o.shape == "device" {
		b = appendDimensions(append(b, ','), line)
	}
	b = append(b, `},"Records":[`...)
	for i := first; i < last; i++ {
		if i > first {
			b = append(b, ',')
		}
		step := line
		b = append(b, '{')
		if w.o.shape == "device" {
			step = i
		} else {
			b = append(appendDimensions(b, i), ',')
		}
		b = w.appendReading(b, step, random)
		b = append(b, '}')
	}
	w.body = append(b, "]}"...)
	return true
}

func appendDimensions(b []byte, device int) []byte {
	b = append(b, `"Dimensions":[{"Name":"device","Value":"device-`...)
	b = strconv.AppendInt(b, int64(device), 10)
	b = append(b, `"},{"Name":"room","Value":"room-`...)
	b = strconv.AppendInt(b, int64(device%10), 10)
	return append(b, `"}]`...)
}

func (w *benchWriter) appendReading(b []byte, step int, random *rand.Rand) []byte {
	at := w.end.Add(-time.Duration(w.o.steps()-1-step) * benchStep)
	b = append(b, `"Time":"`...)
	b = strconv.AppendInt(b, at.UnixMilli(), 10)
	b = append(b, `","MeasureValues":[`...)
	for i, m := range []struct {
		name   string
		value  float64
		digits int
	}{
		{"temperature", 20 + random.NormFloat64()*3, 2},
		{"humidity", 40 + random.Float64()*20, 1},
		{"battery", 100 - 90*float64(step)/float64(w.o.steps()), 1},
	} {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"Name":"`...)
		b = append(b, m.name...)
		b = append(b, `","Type":"DOUBLE","Value":"`...)
		b = strconv.AppendFloat(b, m.value, 'f', m.digits, 64)
		b = append(b, `"}`...)
	}
	return append(b, ']')
}

// send writes the body and waits for the answer. A request that is throttled is sent again, and the wait counts.
func (w *benchWriter) send(ctx context.Context) error {
	sum := sha256.Sum256(w.body)
	start := time.Now()
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		code, text, err := w.sendOnce(ctx, hex.EncodeToString(sum[:]))
		if err != nil {
			return err
		}
		if code == "" {
			w.latencies = append(w.latencies, time.Since(start))
			return nil
		}
		if code != "ThrottlingException" || time.Since(start) > time.Minute {
			return fmt.Errorf("write: %s: %s", code, text)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// sendOnce returns the exception's name and text, if there is one.
func (w *benchWriter) sendOnce(ctx context.Context, sum string) (code, text string, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.o.endpoint, bytes.NewReader(w.body))
	if err != nil {
		return "", "", err
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.0")
	r.Header.Set("X-Amz-Target", "Timestream_20181101.WriteRecords")
	if err := w.signer.SignHTTP(ctx, w.credentials, r, sum, "timestream", w.o.region, time.Now()); err != nil {
		return "", "", err
	}
	answer, err := w.client.Do(r)
	if err != nil {
		return "", "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	if err != nil || answer.StatusCode == http.StatusOK {
		return "", "", err
	}
	var x struct {
		Type    string `json:"__type"`
		Message string `json:"message"`
		Upper   string `json:"Message"`
	}
	if json.Unmarshal(body, &x) != nil || x.Type == "" {
		return answer.Status, string(body[:min(len(body), 200)]), nil
	}
	return x.Type[strings.LastIndex(x.Type, "#")+1:], x.Message + x.Upper, nil
}
