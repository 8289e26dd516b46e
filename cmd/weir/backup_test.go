package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weir-db/weir/internal/server"
)

func TestBackupWritesAFileThatRestoreMakesAFolderOf(t *testing.T) {
	t.Parallel()
	s, err := server.Start(t.Context(), server.Options{DataDir: t.TempDir(), Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(context.Background()) })
	dir := t.TempDir()
	file, data := filepath.Join(dir, "b.weir"), filepath.Join(dir, "data")
	if err := run(t.Context(), []string{"backup", "--endpoint", s.URL(), "--to", file}); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file holds secrets: %v, %v", info.Mode(), err)
	}
	if err := run(t.Context(), []string{"backup", "--endpoint", s.URL(), "--to", file}); err == nil || !strings.Contains(err.Error(), "exists already") {
		t.Errorf("over a file that exists: %v", err)
	}
	if err := run(t.Context(), []string{"restore", file, "--data", data}); err != nil {
		t.Fatal(err)
	}
	if err := run(t.Context(), []string{"check", "--data", data}); err != nil {
		t.Error(err)
	}
	if err := run(t.Context(), []string{"restore", "--data", data, file}); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("into a folder that is not empty: %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 2 {
		t.Errorf("left %v, %v", left, err)
	}
}

func TestADownloadThatBreaksOffLeavesNoFile(t *testing.T) {
	t.Parallel()
	s, err := server.Start(t.Context(), server.Options{DataDir: t.TempDir(), Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(context.Background()) })
	whole, err := requestBackup(t.Context(), s.URL(), "us-east-1")
	if err != nil {
		t.Fatal(err)
	}
	defer whole.Close()
	half := make([]byte, 150)
	if _, err := whole.Read(half); err != nil {
		t.Fatal(err)
	}
	broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/zstd")
		w.Write(half)
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}))
	defer broken.Close()
	dir := t.TempDir()
	if err := run(t.Context(), []string{"backup", "--endpoint", broken.URL, "--to", filepath.Join(dir, "b.weir")}); err == nil {
		t.Error("half a backup was taken for one")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
}

func TestBackupTellsWhyTheServerRefuses(t *testing.T) {
	t.Parallel()
	s, err := server.Start(t.Context(), server.Options{DataDir: t.TempDir(), Listen: "127.0.0.1:0", Auth: server.AuthIAM, RootAccessKeyID: "AKIAROOTROOTROOTROOT", RootSecretAccessKey: "not this"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(context.Background()) })
	err = run(t.Context(), []string{"backup", "--endpoint", s.URL(), "--to", filepath.Join(t.TempDir(), "b")})
	if err == nil || !strings.Contains(err.Error(), "403") {
		t.Errorf("backup without keys: %v", err)
	}
}
