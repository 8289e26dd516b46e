// Package embedded is the storage engine inside the server's process: a log, a memory
// store and immutable columnar segments. It implements the contract of package storage.
//
// # The way of a row
//
// Write judges rows by the window of acceptance, writes the rest as one record to the
// log, waits for the sync that it shares with others, and applies the record: only
// then are names, types and versions judged and the rows visible. Records are applied
// in the order of the log, by whoever waits, so the state is a function of the log and
// a replay comes to the same (table, recordv2.go, replay.go).
//
// Rows live in the table's active memory store, by series. A flush freezes the store,
// writes a segment per day, names it in the manifest and lets the log forget the
// records; a scan sees active, frozen and segments through one immutable view. Which
// tier a row belongs to, memory or magnetic store, is a matter of its time only:
// flushes are early, and retention is by the clock.
//
// # Reading
//
// A scan narrows by time (from predicates, retention and what was deleted), by series
// (dimension predicates, once per distinct value) and by statistics. What it reads of
// one series is runs: chunks of the memory store and blocks of segments, which are
// merged only where they overlap in time, the highest version winning. Every offer of
// a storage.ScanSpec is taken on. Aggregation works on runs too: rows of a series and
// bin are neighbours, and a block within one bin is answered from its statistics.
// Workers share the series among them.
//
// # Deleting
//
// A deletion is a record of the log, so it has a place in the order of all writes. Scans pass
// over what it names from the moment it is applied, and statistics of blocks that it cuts are not used; flushes,
// merges and purges leave the rows out for good (delete.go).
//
// # Files
//
//	lock                     held while the store is open
//	manifest                 tables, policies, columns, live segments (manifest.go)
//	wal/                     the log (package wal); records in recordv2.go, earlier ones in record.go;
//	                         copies of those that cannot be applied (poison.go)
//	segments/t1/<day>-<n>    segments (package segment) of the table with uid 1
//	cache/                   pieces of segments in a remote store (remote.go)
//
// # Locks
//
// In this order: Store.flushMu, Store.segmentsMu, Store.manifestMu, table.applyMu,
// table.submitMu, then those of single series, segments and the log. The disk is
// written under the first three, and read under applyMu only to judge rows that are
// older than what was flushed of their series. Scans take no lock for longer than it
// takes to copy slice headers.
//
// # Trouble
//
// A log that cannot be written refuses writes (fault.Unavailable) until it can again;
// rows that cannot be flushed stay in memory and log, and when memory is full writes
// wait and then are refused (fault.Throttled). Damage of a segment is an error of the
// scans that touch it, with name and offset; damage of the log or the manifest keeps
// the store from opening; a record of the log that is whole and cannot be applied stops its table only (poison.go). A bug that panics ends what it happened in and not the process (contain.go).
package embedded
