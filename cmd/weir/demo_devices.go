package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/timestreamwrite"
	writetypes "github.com/aws/aws-sdk-go-v2/service/timestreamwrite/types"
	"github.com/eclipse/paho.golang/paho"
)

// demoDevice is a simulated sensor of temperature, humidity and its own battery.
type demoDevice struct {
	name, room   string
	celsius      float64 // mean of the day
	battery      float64 // percent at the end of the history
	drainPerHour float64 // percent
	glitches     []int   // minutes before the end of the history at which it reads far too much
}

// demoDevices hold the answers to the demo's questions: th-04 is nearly empty and
// draining fast, th-07 glitches three times in the last hour, th-10 and th-11 stand
// beside the boiler.
var demoDevices = []demoDevice{
	{name: "th-01", room: "office", celsius: 21.5, battery: 91, drainPerHour: 0.02},
	{name: "th-02", room: "office", celsius: 22.0, battery: 84, drainPerHour: 0.03},
	{name: "th-03", room: "office", celsius: 20.8, battery: 77, drainPerHour: 0.02},
	{name: "th-04", room: "workshop", celsius: 18.4, battery: 11, drainPerHour: 1.5},
	{name: "th-05", room: "workshop", celsius: 18.9, battery: 68, drainPerHour: 0.02},
	{name: "th-06", room: "workshop", celsius: 19.3, battery: 95, drainPerHour: 0.04},
	{name: "th-07", room: "cold-store", celsius: 4.2, battery: 73, drainPerHour: 0.05, glitches: []int{41, 27, 13}},
	{name: "th-08", room: "cold-store", celsius: 3.9, battery: 62, drainPerHour: 0.05},
	{name: "th-09", room: "cold-store", celsius: 4.5, battery: 16, drainPerHour: 0.03},
	{name: "th-10", room: "boiler-room", celsius: 43.6, battery: 88, drainPerHour: 0.02},
	{name: "th-11", room: "boiler-room", celsius: 45.9, battery: 79, drainPerHour: 0.02},
	{name: "th-12", room: "roof", celsius: 12.7, battery: 58, drainPerHour: 0.06},
}

// demoReading is what a device says at one moment.
type demoReading struct {
	Room        string  `json:"room"`
	TimeMs      int64   `json:"ts"` // since 1970 UTC
	Temperature float64 `json:"temperature"`
	Humidity    float64 `json:"humidity"`
	Battery     float64 `json:"battery"`
}

const (
	demoStep   = time.Minute
	demoSwing  = 1.4 // degrees between the mean of the day and its noon
	demoJitter = 0.3 // degrees, at most
	demoGlitch = 17  // degrees
)

// demoHistory is how far back the history reaches: a day, less the few minutes that
// the demo may take, so that every reading is within its questions' 24 hours.
const demoHistory = 24*time.Hour - 5*demoStep

// at returns the reading of the device at a time; end is the end of the history. It
// is a pure function: the same arguments give the same reading.
func (d *demoDevice) at(t, end time.Time) demoReading {
	ago := end.Sub(t)
	noise := demoNoise(d.name, t.UnixMilli())
	phase := 2 * math.Pi * ago.Hours() / 24
	celsius := d.celsius + demoSwing*math.Cos(phase) + demoJitter*noise
	for _, m := range d.glitches {
		if ago == time.Duration(m)*time.Minute {
			celsius += demoGlitch
		}
	}
	return demoReading{
		Room:        d.room,
		TimeMs:      t.UnixMilli(),
		Temperature: hundredths(celsius),
		Humidity:    hundredths(52 - 6*math.Cos(phase) + noise),
		Battery:     hundredths(math.Max(0, d.battery+d.drainPerHour*ago.Hours())),
	}
}

// demoNoise is a number from -1 to 1 that looks random (splitmix64's mixing step).
func demoNoise(name string, n int64) float64 {
	x := uint64(n)
	for _, c := range []byte(name) {
		x = (x ^ uint64(c)) * 0x9e3779b97f4a7c15
	}
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return float64(int64(x^x>>31)) / (1 << 63)
}

func hundredths(x float64) float64 { return math.Round(x*100) / 100 }

// record is the reading as a multi-measure record, as an SDK client writes it.
func (r *demoReading) record(device string) writetypes.Record {
	measure := func(name string, v float64) writetypes.MeasureValue {
		return writetypes.MeasureValue{Name: aws.String(name), Type: writetypes.MeasureValueTypeDouble, Value: aws.String(strconv.FormatFloat(v, 'f', -1, 64))}
	}
	return writetypes.Record{
		Dimensions: []writetypes.Dimension{{Name: aws.String("device"), Value: aws.String(device)}, {Name: aws.String("room"), Value: aws.String(r.Room)}},
		Time:       aws.String(strconv.FormatInt(r.TimeMs, 10)),
		MeasureValues: []writetypes.MeasureValue{
			measure("temperature", r.Temperature), measure("humidity", r.Humidity), measure("battery", r.Battery),
		},
	}
}

// demoBatch is the number of records in a request, the API's limit.
const demoBatch = 100

// writeHistory writes each device's day, up to end, through the SDK, a few requests at
// a time, and returns how many records and requests that took.
func writeHistory(ctx context.Context, c *timestreamwrite.Client, end time.Time) (records, requests int, err error) {
	batches := make(chan []writetypes.Record)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	const writers = 4
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for b := range batches {
				if err := writeBatch(ctx, c, b); err != nil {
					cancel(err)
				}
			}
		})
	}
	var batch []writetypes.Record
	send := func() {
		select {
		case batches <- batch:
			records, requests = records+len(batch), requests+1
		case <-ctx.Done():
		}
		batch = nil
	}
	for t := end.Add(-demoHistory); t.Before(end); t = t.Add(demoStep) {
		for i := range demoDevices {
			d := &demoDevices[i]
			r := d.at(t, end)
			if batch = append(batch, r.record(d.name)); len(batch) == demoBatch {
				send()
			}
		}
	}
	if len(batch) > 0 {
		send()
	}
	close(batches)
	wg.Wait()
	return records, requests, context.Cause(ctx)
}

func writeBatch(ctx context.Context, c *timestreamwrite.Client, records []writetypes.Record) error {
	_, err := c.WriteRecords(ctx, &timestreamwrite.WriteRecordsInput{
		DatabaseName: aws.String(demoDatabase),
		TableName:    aws.String(demoTable),
		CommonAttributes: &writetypes.Record{
			MeasureName: aws.String(demoMeasure), MeasureValueType: writetypes.MeasureValueTypeMulti, TimeUnit: writetypes.TimeUnitMilliseconds,
		},
		Records: records,
	})
	var rejected *writetypes.RejectedRecordsException
	if errors.As(err, &rejected) && len(rejected.RejectedRecords) > 0 {
		return fmt.Errorf("%d records were rejected, the first because: %s", len(rejected.RejectedRecords), aws.ToString(rejected.RejectedRecords[0].Reason))
	}
	if err != nil {
		return fmt.Errorf("write a batch of history: %w", plain(err))
	}
	return nil
}

// demoFleet is the devices, each connected over MQTT 5.
type demoFleet struct {
	end       time.Time // of the history
	clients   []*paho.Client
	published atomic.Int64 // acknowledged messages
}

// connectFleet opens a connection for each device.
func connectFleet(ctx context.Context, addr string, end time.Time) (*demoFleet, error) {
	f := &demoFleet{end: end}
	for i := range demoDevices {
		c, err := connectDevice(ctx, addr, demoDevices[i].name)
		if err != nil {
			f.disconnect()
			return nil, fmt.Errorf("connect %s over MQTT: %w", demoDevices[i].name, err)
		}
		f.clients = append(f.clients, c)
	}
	return f, nil
}

func connectDevice(ctx context.Context, addr, name string) (*paho.Client, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	c := paho.NewClient(paho.ClientConfig{ClientID: name, Conn: conn})
	if _, err := c.Connect(ctx, &paho.Connect{ClientID: name, CleanStart: true, KeepAlive: 60}); err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

// publish lets every device publish its reading of the time t with QoS 1, all at
// once, and returns when all are acknowledged, which means stored.
func (f *demoFleet) publish(ctx context.Context, t time.Time) error {
	errs := make([]error, len(f.clients))
	var wg sync.WaitGroup
	for i := range f.clients {
		wg.Go(func() { errs[i] = f.publishOne(ctx, i, t) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (f *demoFleet) publishOne(ctx context.Context, i int, t time.Time) error {
	d := &demoDevices[i]
	payload, err := json.Marshal(d.at(t, f.end))
	if err != nil {
		return err
	}
	if _, err := f.clients[i].Publish(ctx, &paho.Publish{Topic: "sensors/" + d.name + "/data", QoS: 1, Payload: payload}); err != nil {
		return fmt.Errorf("publish as %s: %w", d.name, err)
	}
	f.published.Add(1)
	return nil
}

// run publishes at each tick until ctx is done, which is no error; what is being
// published then is published to the end.
func (f *demoFleet) run(ctx context.Context, ticks <-chan time.Time) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case t := <-ticks:
			if err := f.publish(context.WithoutCancel(ctx), t); err != nil {
				return err
			}
		}
	}
}

func (f *demoFleet) disconnect() {
	for _, c := range f.clients {
		_ = c.Disconnect(&paho.Disconnect{}) // the connection is closed either way
	}
}
