package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"time"

	"github.com/eclipse/paho.golang/paho"
)

const (
	perRequest  = 20 // records
	perRound    = 40 // requests of a writer, at most: what is there must be verified
	perDeletion = 5  // records of a generation
)

// load is what clients did, over all rounds. Each field belongs to one goroutine while a round runs.
type load struct {
	writers int
	base    time.Time
	acked   []int // requests of each writer that were answered 200
	tried   []int // requests that were sent
	checked int   // acked requests of writer 0 up to which all were verified not long ago

	published, puback int // messages sent and acknowledged

	generations []generation

	expiring []time.Time // of records in the table that forgets: acknowledged ones
	latest   time.Time   // that the server's clock ever showed
}

// generation is some records that are written together and maybe deleted.
type generation struct{ written, deleting, deleted bool }

func newLoad(writers int) *load {
	now := time.Now()
	return &load{writers: writers, base: now.Add(-time.Hour), acked: make([]int, writers), tried: make([]int, writers), latest: now}
}

func (l *load) String() string {
	records, deleted := 0, 0
	for _, n := range l.acked {
		records += n * perRequest
	}
	for _, g := range l.generations {
		if g.deleted {
			deleted += perDeletion
		}
	}
	return fmt.Sprintf("%d records and %d messages acknowledged, none lost, %d deleted, none back", records, l.puback, deleted)
}

// write sends request after request until one fails. Record n of a writer has the time base+n ms, some
// days back for every seventh request (late data), and n as its value.
func (l *load) write(ctx context.Context, s *server, writer int) {
	first := l.acked[writer]
	for k := first; k < first+perRound && ctx.Err() == nil; k++ {
		l.tried[writer] = max(l.tried[writer], k+1)
		var b bytes.Buffer
		fmt.Fprintf(&b, `{"DatabaseName":"torture","TableName":"t","CommonAttributes":{"Dimensions":[{"Name":"w","Value":"%d"}],"MeasureName":"m","MeasureValueType":"MULTI"},"Records":[`, writer)
		for i := range perRequest {
			n := k*perRequest + i
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, `{"Time":"%d","MeasureValues":[{"Name":"n","Value":"%d","Type":"BIGINT"},{"Name":"x","Value":"%d.5","Type":"DOUBLE"}]}`, l.at(k, n), n, n%100)
		}
		b.WriteString("]}")
		if _, err := s.call(ctx, "WriteRecords", b.String()); err != nil {
			return
		}
		l.acked[writer] = k + 1
		time.Sleep(time.Millisecond)
	}
}

func (l *load) at(request, n int) int64 {
	at := l.base.UnixMilli() + int64(n)
	if request%7 == 3 {
		at -= 5 * 86_400_000
	}
	return at
}

// publish sends messages of a device; each is acknowledged when the rule has stored it.
func (l *load) publish(ctx context.Context, s *server) {
	conn, err := net.Dial("tcp", s.mqtt)
	if err != nil {
		return
	}
	defer conn.Close()
	c := paho.NewClient(paho.ClientConfig{Conn: conn})
	if _, err := c.Connect(ctx, &paho.Connect{ClientID: "device", CleanStart: true, KeepAlive: 30}); err != nil {
		return
	}
	for k := l.puback; ctx.Err() == nil; k++ {
		l.published = max(l.published, k+1)
		payload := fmt.Sprintf(`{"n":%d,"at":%d}`, k, l.base.UnixMilli()+int64(k))
		r, err := c.Publish(ctx, &paho.Publish{Topic: "devices/one", QoS: 1, Payload: []byte(payload)})
		if err != nil || r.ReasonCode >= 0x80 {
			return
		}
		l.puback = k + 1
		time.Sleep(5 * time.Millisecond)
	}
}

// delete writes generations of records and deletes two of three.
func (l *load) delete(ctx context.Context, s *server) {
	for ctx.Err() == nil {
		g := len(l.generations)
		l.generations = append(l.generations, generation{})
		var b bytes.Buffer
		fmt.Fprintf(&b, `{"DatabaseName":"torture","TableName":"d","CommonAttributes":{"Dimensions":[{"Name":"g","Value":"g%d"}],"MeasureName":"m","MeasureValueType":"MULTI"},"Records":[`, g)
		for i := range perDeletion {
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, `{"Time":"%d","MeasureValues":[{"Name":"n","Value":"%d","Type":"BIGINT"}]}`, l.base.UnixMilli()+int64(i), i)
		}
		b.WriteString("]}")
		if _, err := s.call(ctx, "WriteRecords", b.String()); err != nil {
			return
		}
		l.generations[g].written = true
		victim := g - g%5 // older ones too, which may be on disk
		if g%3 == 0 || l.generations[victim].deleted || !l.generations[victim].written {
			continue
		}
		l.generations[victim].deleting = true
		if _, err := s.query(ctx, fmt.Sprintf("DELETE FROM torture.d WHERE g = 'g%d'", victim)); err != nil {
			return
		}
		l.generations[victim].deleted = true
	}
}

// jump moves the clock, by seconds or by days, and writes into the table that forgets.
func (l *load) jump(ctx context.Context, s *server, random *rand.Rand) {
	last := time.Now() // where the clock is after a start
	for ctx.Err() == nil {
		by := time.Duration(random.ExpFloat64() * float64(10*time.Minute))
		if random.IntN(6) == 0 {
			by = time.Duration(random.IntN(60)) * time.Hour
		}
		now, err := s.advance(ctx, by)
		if err != nil {
			l.saw(last.Add(by + time.Minute)) // it may have come to pass all the same
			return
		}
		l.saw(now)
		last = now
		if _, err := s.call(ctx, "WriteRecords", fmt.Sprintf(`{"DatabaseName":"torture","TableName":"x","Records":[{"Dimensions":[{"Name":"d","Value":"%d"}],
			"MeasureName":"v","MeasureValue":"1","MeasureValueType":"BIGINT","Time":"%d"}]}`, random.IntN(3), now.UnixMilli())); err != nil {
			return
		}
		l.expiring = append(l.expiring, now)
		time.Sleep(10 * time.Millisecond)
	}
}

// saw notes a time that the server's clock showed.
func (l *load) saw(now time.Time) {
	if now.After(l.latest) {
		l.latest = now
	}
}
