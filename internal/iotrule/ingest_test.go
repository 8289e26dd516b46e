package iotrule_test

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-db/weir/internal/catalog"
	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/ingest"
	"github.com/weir-db/weir/internal/iotrule"
	"github.com/weir-db/weir/internal/iotrule/iotsql"
	"github.com/weir-db/weir/internal/meta"
	"github.com/weir-db/weir/internal/storage/storagetest"
)

// The rule of the article on the real ingest, with rules kept in a real file.
func TestMessagesBecomeRecords(t *testing.T) {
	t.Parallel()
	clk := clock.Manual(time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC))
	c, err := catalog.Open(t.Context(), catalog.Options{Backend: storagetest.NewNaive(clk), Clock: clk})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.CreateDatabase(t.Context(), "iot", "", nil); err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"single", "multi"} {
		if _, err := c.CreateTable(t.Context(), catalog.NewTable{Database: "iot", Name: table}); err != nil {
			t.Fatal(err)
		}
	}
	var mu sync.Mutex // guards stored: the rules write side by side
	stored := map[string]int{}
	w := ingest.New(ingest.Options{Catalog: c, Observe: func(o *ingest.Observation) {
		mu.Lock()
		defer mu.Unlock()
		stored[o.Table.ID.Table] += o.Result.Total
	}})
	path := t.TempDir() + "/meta"
	var logs bytes.Buffer
	open := func() (*iotrule.Service, *meta.Store) {
		store, err := meta.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		s, err := iotrule.Open(iotrule.Options{Writer: w, Documents: store.Bucket("topic rules"), Clock: clk, Log: slog.New(slog.NewTextHandler(&logs, nil))})
		if err != nil {
			t.Fatal(err)
		}
		return s, store
	}
	s, store := open()
	for _, table := range []string{"single", "multi"} {
		r := iotrule.Rule{Name: table, SQL: "SELECT * FROM 'sensors/+/data'", Version: iotsql.V2016, Actions: []iotrule.Action{{Timestream: &iotrule.Timestream{
			RoleARN: "arn:aws:iam::123456789012:role/r", Database: "iot", Table: table,
			Dimensions: []iotrule.Dimension{{Name: "device_id", Value: "${device_id}"}, {Name: "location", Value: "${location}"}},
		}}}}
		if table == "multi" {
			r.Tags = []iotrule.Tag{{Key: iotrule.MultiMeasureTag, Value: "readings"}}
		}
		if err := s.Create(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	s, store = open()
	defer store.Close()
	publish := func(payload string, single, multi int, logged string) {
		t.Helper()
		clear(stored)
		logs.Reset()
		clk.Advance(time.Second)
		if err := s.Publish(t.Context(), &iotrule.Message{Topic: "sensors/d1/data", Payload: []byte(payload), ClientID: "d1"}); err != nil {
			t.Error(err)
		}
		if stored["single"] != single || stored["multi"] != multi || !strings.Contains(logs.String(), logged) || logged == "" && logs.Len() > 0 {
			t.Errorf("%s: stored %v, log %s", payload, stored, &logs)
		}
	}
	publish(`{"device_id":"d1","location":"hall","temperature":20.5,"humidity":48.25,"ok":true}`, 5, 1, "")
	// A whole number is a BIGINT for the rule of one record per attribute, as on AWS,
	// and clashes with the DOUBLE before it; the tagged rule is not bothered.
	publish(`{"device_id":"d1","location":"hall","temperature":20}`, 2, 1, "temperature: ")
	publish(`{"device_id":"d1","location":"hall","temperature":20.75}`, 3, 1, "")
	if err := c.DeleteTable(t.Context(), "iot", "multi"); err != nil {
		t.Fatal(err)
	}
	publish(`{"device_id":"d1","location":"hall","temperature":21.5}`, 3, 0, "The table multi does not exist.")
}
