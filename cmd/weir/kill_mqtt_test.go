package main

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/paho"
)

// TestMQTTSessionsAndRetainedMessagesSurviveBeingKilled publishes with QoS 1 for a device that is away, kills the server in the
// middle, again and again, and then the device must get everything that was acknowledged, in order.
func TestMQTTSessionsAndRetainedMessagesSurviveBeingKilled(t *testing.T) {
	t.Parallel()
	k := &killed{t: t, dir: filepath.Join(t.TempDir(), "data"), addr: unusedAddr(t), mqtt: unusedAddr(t)}
	k.start()
	defer func() { k.kill() }()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	got := make(chan string, 1000)
	device, present := connectMQTT(t, ctx, k.mqtt, "device", got)
	if present {
		t.Fatal("a session before the first one")
	}
	if _, err := device.Subscribe(ctx, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: "to/device", QoS: 1}}}); err != nil {
		t.Fatal(err)
	}
	if err := device.Disconnect(&paho.Disconnect{}); err != nil {
		t.Fatal(err)
	}

	var acknowledged []string
	retained := ""
	for round := range 3 {
		gateway, _ := connectMQTT(t, ctx, k.mqtt, fmt.Sprint("gateway", round), nil)
		for i := range 40 {
			if i == 30 { // what is on its way may be lost or not
				process := k.cmd.Process
				time.AfterFunc(time.Millisecond, func() { process.Kill() })
			}
			payload := fmt.Sprintf("%d/%02d", round, i)
			short, stop := context.WithTimeout(ctx, 3*time.Second)
			_, err := gateway.Publish(short, &paho.Publish{Topic: "to/device", QoS: 1, Payload: []byte(payload)})
			if err == nil {
				acknowledged = append(acknowledged, payload)
				if _, err = gateway.Publish(short, &paho.Publish{Topic: "state", QoS: 1, Retain: true, Payload: []byte(payload)}); err == nil {
					retained = payload
				}
			}
			stop()
			if err != nil {
				break
			}
		}
		k.kill()
		k.start()
	}

	_, present = connectMQTT(t, ctx, k.mqtt, "device", got)
	if !present {
		t.Fatal("the session is gone")
	}
	var received []string
	for last := acknowledged[len(acknowledged)-1]; !slices.Contains(received, last); {
		select {
		case payload := <-got:
			received = append(received, payload)
		case <-ctx.Done():
			t.Fatalf("%d of %d messages came", len(received), len(acknowledged))
		}
	}
	if !slices.IsSorted(received) {
		t.Errorf("out of order: %v", received)
	}
	for _, payload := range acknowledged {
		if !slices.Contains(received, payload) {
			t.Errorf("%s was acknowledged and is lost", payload)
		}
	}

	late := make(chan string, 1)
	reader, _ := connectMQTT(t, ctx, k.mqtt, "reader", late)
	if _, err := reader.Subscribe(ctx, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: "state", QoS: 1}}}); err != nil {
		t.Fatal(err)
	}
	select {
	case payload := <-late:
		if payload < retained {
			t.Errorf("the retained message is %s, want %s", payload, retained)
		}
	case <-ctx.Done():
		t.Error("the retained message is lost")
	}
}

func unusedAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// connectMQTT connects with a session that lasts; payloads of what comes go to got.
func connectMQTT(t *testing.T, ctx context.Context, addr, id string, got chan<- string) (c *paho.Client, present bool) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	c = paho.NewClient(paho.ClientConfig{ClientID: id, Conn: conn, OnPublishReceived: []func(paho.PublishReceived) (bool, error){
		func(p paho.PublishReceived) (bool, error) {
			if got != nil {
				got <- string(p.Packet.Payload)
			}
			return true, nil
		},
	}})
	expiry := uint32(600)
	ack, err := c.Connect(ctx, &paho.Connect{ClientID: id, KeepAlive: 60, Properties: &paho.ConnectProperties{SessionExpiryInterval: &expiry}})
	if err != nil {
		t.Fatal(err)
	}
	return c, ack.SessionPresent
}
