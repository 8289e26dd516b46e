// Package storagetest is what every storage backend must pass: a conformance
// suite ([Suite]), a naive backend in memory as its model ([NewNaive]), and a
// seeded random test that drives a backend and the model with the same operations
// and compares their receipts, schemas and answers.
//
// Scans are compared by [Answer], which finishes what a scanner did not apply, so
// a backend that pushes everything down and one that pushes nothing down must give
// the same lines. A failure of the random test prints its seed; run it again with
// -storagetest.seed.
package storagetest
