package server_test

import (
	"context"
	"runtime/debug"
	"strconv"
	"sync"
	"testing"
	"time"
)

// BenchmarkWriteOverHTTP is signed, durable calls of WriteRecords with 100 records of ten dimensions and ten whole-numbered doubles each,
// the shape of TSBS devops: of one host ("device", dimensions in CommonAttributes), or of 100 hosts ("gateway"), over one connection and over two.
// Bodies are made and signed beside the clocks. Reported are the processor time of a call, from the socket to the socket and with the flushes that
// it causes, and the voluntary waits of the process's threads; of both, the client's two system calls are a part.
func BenchmarkWriteOverHTTP(b *testing.B) {
	defer debug.SetGCPercent(debug.SetGCPercent(800)) // about what cmd/weir makes of it for a server with little in memory
	for _, shape := range []string{"device", "gateway"} {
		for _, connections := range []int{1, 2} {
			b.Run(shape+"/connections="+strconv.Itoa(connections), func(b *testing.B) {
				s := benchServer(b, b.TempDir())
				b.Cleanup(func() { s.Close(context.Background()) })
				var clients []*benchClient
				for range connections {
					clients = append(clients, dialBench(b, s))
				}
				clients[0].do(b, clients[0].signed(b, "CreateDatabase", []byte(`{"DatabaseName":"bench"}`)))
				clients[0].do(b, clients[0].signed(b, "CreateTable", []byte(`{"DatabaseName":"bench","TableName":"cpu"}`)))
				w := hostWriter{start: time.Now().Add(-2 * time.Hour).Truncate(time.Hour)}
				body := w.device
				if shape == "gateway" {
					body = w.gateway
				}
				var cpu, waits int64
				send := func(n int) {
					requests := make([][]byte, n)
					for i := range requests {
						requests[i] = clients[0].signed(b, "WriteRecords", body())
					}
					b.StartTimer()
					before := usage()
					var sending sync.WaitGroup
					for k, c := range clients {
						sending.Go(func() {
							for i := k; i < n; i += connections {
								c.do(b, requests[i])
							}
						})
					}
					sending.Wait()
					after := usage()
					b.StopTimer()
					cpu += after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano()
					waits += after.Nvcsw - before.Nvcsw
				}
				b.StopTimer()
				send(2 * benchLot)
				cpu, waits = 0, 0
				b.ResetTimer()
				for left := b.N; left > 0; left -= benchLot {
					send(min(left, benchLot))
				}
				b.ReportMetric(float64(cpu)/float64(b.N), "cpu-ns/op")
				b.ReportMetric(float64(waits)/float64(b.N), "waits/op")
			})
		}
	}
}

// benchLot is how many requests are made at a time.
const benchLot = 200

// hostWriter makes bodies of rows that nobody wrote yet.
type hostWriter struct {
	start   time.Time
	written int // bodies
	dst     []byte
}

const benchGateway = 100 // hosts of a gateway, rows of a body

func (w *hostWriter) device() []byte {
	host, round := w.written%benchGateway, w.written/benchGateway
	w.written++
	w.dst = append(append(w.dst[:0], `{"DatabaseName":"bench","TableName":"cpu","CommonAttributes":{`...), w.dimensions(host)...)
	w.dst = append(w.dst, `},"Records":[`...)
	for i := range benchGateway {
		w.record(host, round*benchGateway+i, i > 0, "")
	}
	w.dst = append(w.dst, "]}"...)
	return w.dst
}

func (w *hostWriter) gateway() []byte {
	step := w.written
	w.written++
	w.dst = append(w.dst[:0], `{"DatabaseName":"bench","TableName":"cpu","Records":[`...)
	for host := range benchGateway {
		w.record(host, step, host > 0, w.dimensions(host)+",")
	}
	w.dst = append(w.dst, "]}"...)
	return w.dst
}

func (w *hostWriter) dimensions(host int) string {
	n := strconv.Itoa(host)
	return `"Dimensions":[{"Name":"hostname","Value":"host_` + n + `"},{"Name":"region","Value":"eu-central-1"},{"Name":"datacenter","Value":"eu-central-1a"},` +
		`{"Name":"rack","Value":"` + n + `"},{"Name":"os","Value":"Ubuntu16.04LTS"},{"Name":"arch","Value":"x86"},{"Name":"team","Value":"SF"},` +
		`{"Name":"service","Value":"` + strconv.Itoa(host%20) + `"},{"Name":"service_version","Value":"1"},{"Name":"service_environment","Value":"test"}]`
}

var hostMeasures = [10]string{"usage_user", "usage_system", "usage_idle", "usage_nice", "usage_iowait", "usage_irq", "usage_softirq", "usage_steal", "usage_guest", "usage_guest_nice"}

// record appends a record; times are ten milliseconds apart, so that some 700,000 bodies of a benchmark are all within the window of acceptance.
func (w *hostWriter) record(host, step int, comma bool, dimensions string) {
	if comma {
		w.dst = append(w.dst, ',')
	}
	w.dst = append(append(append(w.dst, '{'), dimensions...), `"MeasureName":"metrics","MeasureValueType":"MULTI","Time":"`...)
	w.dst = strconv.AppendInt(w.dst, w.start.UnixMilli()+10*int64(step), 10)
	w.dst = append(w.dst, `","TimeUnit":"MILLISECONDS","MeasureValues":[`...)
	for m, name := range hostMeasures {
		if m > 0 {
			w.dst = append(w.dst, ',')
		}
		w.dst = append(append(append(w.dst, `{"Name":"`...), name...), `","Value":"`...)
		w.dst = append(strconv.AppendInt(w.dst, int64((host*31+step*(m+7))%101), 10), `","Type":"DOUBLE"}`...)
	}
	w.dst = append(w.dst, "]}"...)
}
