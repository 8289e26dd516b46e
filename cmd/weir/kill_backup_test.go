package main

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/timestreamwrite"
	"github.com/aws/aws-sdk-go-v2/service/timestreamwrite/types"
)

// TestABackupThatIsKilledIsWholeOrNotThere kills weir backup, restore and check, and the server that a backup comes from, at random
// moments. A backup that has its name is whole; a folder whose restore was killed is refused; a check leaves a folder as it was.
func TestABackupThatIsKilledIsWholeOrNotThere(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	k := &killed{t: t, dir: filepath.Join(t.TempDir(), "data"), addr: l.Addr().String()}
	url := "http://" + k.addr
	random := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 2))
	noise := make([]byte, 4<<20) // so that copying takes a moment
	rand.NewChaCha8([32]byte{}).Read(noise)
	if err := os.MkdirAll(filepath.Join(k.dir, "objects", "noise"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(k.dir, "objects", "noise", "x"), noise, 0o644); err != nil {
		t.Fatal(err)
	}
	k.start()
	defer func() { k.kill() }()
	w := writeClient(url, "us-east-1", 1, 3)
	if _, err := w.CreateDatabase(t.Context(), &timestreamwrite.CreateDatabaseInput{DatabaseName: aws.String("db")}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.CreateTable(t.Context(), &timestreamwrite.CreateTableInput{DatabaseName: aws.String("db"), TableName: aws.String("t")}); err != nil {
		t.Fatal(err)
	}
	written := 0
	write := func() {
		t.Helper()
		var records []types.Record
		for range 50 {
			records = append(records, types.Record{Dimensions: []types.Dimension{{Name: aws.String("d"), Value: aws.String("a")}}, MeasureName: aws.String("n"),
				MeasureValue: aws.String(fmt.Sprint(written)), MeasureValueType: types.MeasureValueTypeBigint, Time: aws.String(fmt.Sprint(time.Now().UnixMilli() - 100_000 + int64(written)))})
			written++
		}
		if _, err := w.WriteRecords(t.Context(), &timestreamwrite.WriteRecordsInput{DatabaseName: aws.String("db"), TableName: aws.String("t"), Records: records}); err != nil {
			t.Fatal(err)
		}
	}
	soon := func() { time.Sleep(time.Duration(random.IntN(150)) * time.Millisecond) } // when it dies is what varies
	out := t.TempDir()
	var whole []string
	for round := range 4 {
		write()
		file := filepath.Join(out, fmt.Sprint(round, ".weir"))
		cmd := weirCommand("backup", "--endpoint", url, "--to", file)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		soon()
		if round%2 == 0 {
			cmd.Process.Kill()
			cmd.Wait()
		} else {
			k.kill()
			err := cmd.Wait()
			if _, there := os.Stat(file); (err == nil) != (there == nil) {
				t.Errorf("the server was killed: backup ends with %v, its file: %v", err, there)
			}
			k.start()
		}
		if _, err := os.Stat(file); err == nil {
			whole = append(whole, file)
		}
	}
	last := filepath.Join(out, "last.weir")
	if text, err := weirCommand("backup", "--endpoint", url, "--to", last).CombinedOutput(); err != nil {
		t.Fatalf("backup: %v\n%s", err, text)
	}
	for _, file := range append(whole, last) {
		folder := filepath.Join(t.TempDir(), "data")
		if text, err := weirCommand("restore", file, "--data", folder).CombinedOutput(); err != nil {
			t.Errorf("restore of %s: %v\n%s", filepath.Base(file), err, text)
		}
	}
	for range 3 {
		folder := filepath.Join(t.TempDir(), "data")
		cmd := weirCommand("restore", last, "--data", folder)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		soon()
		cmd.Process.Kill()
		cmd.Wait()
		if list, err := os.ReadDir(folder); err != nil || len(list) == 0 {
			continue // it had not begun
		}
		if text, err := weirCommand("check", "--data", folder).CombinedOutput(); err != nil && !strings.Contains(string(text), "has not finished") {
			t.Errorf("check of a restore that was killed: %v\n%s", err, text)
		}
	}
	k.kill()
	for range 3 {
		cmd := weirCommand("check", "--data", k.dir)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		soon()
		cmd.Process.Kill()
		cmd.Wait()
	}
	if text, err := weirCommand("check", "--data", k.dir).CombinedOutput(); err != nil {
		t.Errorf("check: %v\n%s", err, text)
	}
	k.start()
	a, err := ask(t.Context(), queryClient(url, "us-east-1"), "SELECT COUNT(*) FROM db.t")
	if err != nil || aws.ToString(a.rows[0][0].ScalarValue) != fmt.Sprint(written) {
		t.Errorf("%d records were written; counted: %v, %v", written, a, err)
	}
}
