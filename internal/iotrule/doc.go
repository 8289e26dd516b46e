// Package iotrule is the rules engine of AWS IoT: topic rules match a published
// message, evaluate their SQL on it and act on the output.
//
// A [Service] keeps the rules, in memory and as documents, and runs them:
// [Service.Publish] returns when everything that the matching rules do is done, so
// that what they wrote is durable, or has failed. A failure is counted, logged with its
// cause (at most once a minute per action while it stays the same) and told to
// the rule's error action. It fails the publisher only if the fault is the server's.
//
// Readers use an immutable snapshot of the rules and take no lock. Changes are made
// one at a time and are durable and in effect when the call returns. All methods
// may be called concurrently.
//
// Built are the actions timestream and republish; the dialect is package
// iotsql. Rules come from the AWS IoT Core developer guide, "Rules for AWS IoT".
package iotrule
