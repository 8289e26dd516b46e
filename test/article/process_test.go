package article

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/server"
)

// Environment of the process that is the server.
const (
	dataVariable = "WEIR_ARTICLE_DATA" // its data folder
	timeVariable = "WEIR_ARTICLE_TIME" // RFC 3339; its clock stands still there
)

// TestMain makes this binary a server when it is told to be one, so that a test can kill it.
func TestMain(m *testing.M) {
	if dir := os.Getenv(dataVariable); dir != "" {
		if err := serve(dir, os.Getenv(timeVariable)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// serve runs a server until its standard input ends, which it does with the test's process.
func serve(dir, at string) error {
	now, err := time.Parse(time.RFC3339, at)
	if err != nil {
		return err
	}
	s, err := server.Start(context.Background(), server.Options{
		DataDir: dir, Listen: "127.0.0.1:0", MQTTListen: "127.0.0.1:0", Clock: clock.Manual(now),
	})
	if err != nil {
		return err
	}
	fmt.Println(s.URL(), s.Addr("mqtt"))
	bufio.NewReader(os.Stdin).ReadString('\n')
	return s.Close(context.Background())
}

// process is a server in a process of its own.
type process struct {
	url, mqtt string
	cmd       *exec.Cmd
}

// start starts a server over dir whose clock stands at now. The test's end kills it.
func start(t *testing.T, dir string, now time.Time) *process {
	t.Helper()
	p := &process{cmd: exec.Command(os.Args[0])}
	p.cmd.Env = append(os.Environ(), dataVariable+"="+dir, timeVariable+"="+now.Format(time.RFC3339))
	p.cmd.Stderr = t.Output()
	if _, err := p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the server did not say where it listens: %v", err)
	}
	p.url, p.mqtt, _ = strings.Cut(strings.TrimSpace(line), " ")
	return p
}

// kill ends the process as kill -9 does.
func (p *process) kill() {
	if p.cmd.ProcessState == nil {
		p.cmd.Process.Kill()
		p.cmd.Wait()
	}
}
