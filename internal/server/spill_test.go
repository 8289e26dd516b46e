package server_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/timestreamquery"

	"github.com/weir-db/weir/internal/server"
)

// sortOfMany sorts 60,000 rows, which take more than a MiB.
const sortOfMany = "SELECT x, y FROM UNNEST(sequence(1, 60)) AS a (x) CROSS JOIN UNNEST(sequence(1, 1000)) AS b (y) ORDER BY y % 7, x"

func TestQueriesSpillIntoTheDataFolderAndLeaveNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	left := filepath.Join(dir, "tmp", "query-41")
	if err := os.MkdirAll(left, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(left, "7.run"), []byte("of a server that was killed"), 0o644); err != nil {
		t.Fatal(err)
	}
	ask := func(o server.Options, sql string) (string, error) {
		o.DataDir, o.Listen, o.QueryMemoryLimitBytes = dir, "127.0.0.1:0", 1<<20
		s, err := server.Start(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			if err := s.Close(ctx); err != nil {
				t.Error(err)
			}
		}()
		q := timestreamquery.New(timestreamquery.Options{
			BaseEndpoint: aws.String(s.URL()), Region: "us-east-1", RetryMaxAttempts: 1, Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
			EndpointDiscovery: timestreamquery.EndpointDiscoveryOptions{EnableEndpointDiscovery: aws.EndpointDiscoveryDisabled},
		})
		out, err := q.Query(t.Context(), &timestreamquery.QueryInput{QueryString: aws.String(sql)})
		if err != nil {
			return "", err
		}
		var text strings.Builder
		for _, r := range out.Rows {
			text.WriteString(aws.ToString(r.Data[0].ScalarValue) + "\n")
		}
		return text.String(), nil
	}
	plan, err := ask(server.Options{}, "EXPLAIN ANALYZE "+sortOfMany)
	if err != nil || !strings.Contains(plan, ", spilled ") || !strings.Contains(plan, "rows: 60000 in ") {
		t.Errorf("%v\n%s", err, plan)
	}
	if names, err := filepath.Glob(filepath.Join(dir, "tmp", "query-*")); err != nil || len(names) > 0 {
		t.Errorf("left behind: %v, %v", names, err)
	}
	for want, o := range map[string]server.Options{
		"memory limit of 1 MiB; raise --query-memory-limit":             {SpillLimitBytes: -1},
		"limit of 8 KiB on temporary files; raise --query-spill-limit":  {QuerySpillLimitBytes: 8 << 10},
		"limit of 8 KiB on temporary files; try again later or raise -": {SpillLimitBytes: 8 << 10},
	} {
		if _, err := ask(o, "SELECT max(y) FROM ("+sortOfMany+" LIMIT 50000)"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error = %v, want %q", err, want)
		}
	}
}
