package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// engine is a database under measurement: one process, one data folder.
type engine interface {
	// start begins on a folder, empty or left by an earlier start.
	start(ctx context.Context, dir string) error
	// load makes the table and stores all rows, and returns the time that took without
	// rendering and signing.
	load(ctx context.Context, w *workload) (time.Duration, error)
	// settle brings data to the form that it has later: flushed and, where the engine
	// can be told to, merged.
	settle(ctx context.Context, w *workload) error
	// ask answers one draw to the last byte. It returns how many rows came, and the time
	// that the engine took, which for a server is measured at the client. The error is
	// errNotAsked if the class does not exist for the engine.
	ask(ctx context.Context, c *class, d *draw) (rows int, took time.Duration, err error)
	// child is the process while it runs.
	child() *process
	stop() error
}

var errNotAsked = errors.New("the engine has no such question")

// missing says that a peer is not installed, and how to get it.
type missing struct{ peer, what, how string }

func (m missing) Error() string { return fmt.Sprintf("%s: %s; %s", m.peer, m.what, m.how) }

// peers makes an engine for a name. The error is a missing one.
var peers = map[string]func(s *settings) (engine, error){
	"limit":           newLimit(gateway),
	"limit-device":    newLimit(device),
	"victoriametrics": newVictoriaMetrics,
	"influxdb":        newInfluxDB,
	"clickhouse":      newClickHouse,
	"duckdb":          func(s *settings) (engine, error) { return newInProcess(s, "duckdb", duckSQL) },
	"chdb":            func(s *settings) (engine, error) { return newInProcess(s, "chdb", chdbSQL) },
}
