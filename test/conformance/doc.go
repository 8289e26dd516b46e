// Package conformance shows, over the wire, what the server does for every operation of
// timestream-write and timestream-query: its success through the AWS SDK for Go, each error
// that the service models document for it with its status and text, its pages, and its
// idempotency. What a client of the SDK could not send goes as plain HTTP.
//
// The table of operations in docs/compatibility.md and the list of answers in
// docs/conformance.md are made from what the tests found; go test fails when they are stale, and
//
//	go test ./test/conformance -update
//
// writes them anew.
package conformance
