package main

import (
	"context"
	"log/slog"
	"os"
	"time"

	"github.com/weir-db/weir/internal/server"
)

// demoServer is a running server in this process.
type demoServer struct {
	api, mqtt string // host:port
	close     func() error
}

// startDemoServer starts a server that keeps its data in folder. Of its log the demo
// shows what somebody should act on.
func startDemoServer(ctx context.Context, folder, listen, mqttListen string) (*demoServer, error) {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	s, err := server.Start(ctx, server.Options{
		DataDir: folder, Listen: listen, MQTTListen: mqttListen, Auth: server.AuthAuto, Region: demoRegion,
		Log: log,
	})
	if err != nil {
		return nil, err
	}
	return &demoServer{s.Addr("aws"), s.Addr("mqtt"), func() error { return closeWithin(s, 8*time.Second, time.Second, log) }}, nil
}
