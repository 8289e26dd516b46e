// Package mqtt is the broker for devices: MQTT 3.1.1 and 5, QoS 0 and 1, as AWS
// IoT Core's message broker does it where that differs from the standard
// (docs/iot.md lists the differences).
//
// A [Broker] embeds github.com/mochi-mqtt/server, of which no type leaves this
// package, so that it can be replaced. Every message that a client publishes goes to
// Options.OnMessage first; its PUBACK follows when that returns, so an
// acknowledged message has been stored by the rules that wanted it.
//
// A client that breaks the protocol, sends garbage, stops reading or goes past a
// limit loses its own connection and nothing else: each connection has its own
// goroutine that survives a panic in the library, a deadline for its first
// packet, for its silence (1.5 × keep alive) and for every write.
//
// Retained messages, persistent sessions and the messages that wait for them are kept in
// Options.Documents, so that a restart finds them; a PUBACK means that they are durable,
// too. All methods may be called concurrently.
package mqtt
