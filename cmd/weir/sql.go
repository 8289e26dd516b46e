package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/timestreamquery"
	"github.com/aws/aws-sdk-go-v2/service/timestreamquery/types"
	"github.com/aws/smithy-go"
)

const sqlSummary = `
weir sql [flags] ["STATEMENT"]

Asks a Timestream endpoint in SQL through its public API. With a statement, or with statements on
standard input, it prints the answers and ends; otherwise it is a shell with line editing and a
history, in which \? lists the commands.

  weir sql "SHOW DATABASES"
  weir sql --format csv "SELECT * FROM iot.sensors WHERE time > ago(1h)" > hour.csv
  echo "SELECT 1; SELECT 2;" | weir sql --format json

Keys are taken from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY if set; a server on loopback takes any.
Exit status 1 if a statement failed.`

func runSQL(ctx context.Context, args []string) error {
	fs := newFlagSet("sql", sqlSummary)
	endpoint := fs.String("endpoint", defaultEndpoint(), "`URL` of the server")
	region := fs.String("region", "us-east-1", "region `name` to sign for")
	format := fs.String("format", "table", "output: table, csv or json (one object a row)")
	timing := fs.Bool("timing", false, "print how long each statement took")
	if err := fs.parse(args); err != nil {
		return err
	}
	print, ok := renderers[*format]
	switch {
	case !ok:
		return usagef("--format %s: want table, csv or json", *format)
	case fs.NArg() > 1:
		return usagef("want one statement, got %d arguments; quote the statement", fs.NArg())
	}
	s := &shell{client: queryClient(*endpoint, *region), endpoint: *endpoint, out: os.Stdout, render: print, timing: *timing}
	if fs.NArg() == 1 {
		return s.all(ctx, fs.Arg(0))
	}
	if info, err := os.Stdin.Stat(); err == nil && info.Mode()&os.ModeCharDevice == 0 {
		text, err := io.ReadAll(os.Stdin)
		if err != nil {
			return err
		}
		return s.all(ctx, string(text))
	}
	return s.interact(ctx)
}

func defaultEndpoint() string {
	if url := os.Getenv("AWS_ENDPOINT_URL"); url != "" {
		return url
	}
	return "http://127.0.0.1:8470"
}

// keys are the caller's, from the environment; without any, words that a server on
// loopback takes.
func keys() aws.CredentialsProvider {
	id, secret := os.Getenv("AWS_ACCESS_KEY_ID"), os.Getenv("AWS_SECRET_ACCESS_KEY")
	if id == "" || secret == "" {
		id, secret = "weir", "weir"
	}
	return credentials.NewStaticCredentialsProvider(id, secret, os.Getenv("AWS_SESSION_TOKEN"))
}

func queryClient(endpoint, region string) *timestreamquery.Client {
	return timestreamquery.New(timestreamquery.Options{
		BaseEndpoint:      aws.String(endpoint),
		Region:            region,
		Credentials:       keys(),
		EndpointDiscovery: timestreamquery.EndpointDiscoveryOptions{EnableEndpointDiscovery: aws.EndpointDiscoveryDisabled},
	})
}

// table is a whole answer as text; a nil cell is null.
type table struct {
	columns []types.ColumnInfo
	rows    [][]types.Datum
}

// ask runs a statement and reads all its pages.
func ask(ctx context.Context, c *timestreamquery.Client, sql string) (*table, error) {
	var t table
	pages := timestreamquery.NewQueryPaginator(c, &timestreamquery.QueryInput{QueryString: aws.String(sql)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, plain(err)
		}
		t.columns = page.ColumnInfo
		for _, r := range page.Rows {
			t.rows = append(t.rows, r.Data)
		}
	}
	return &t, nil
}

// plain cuts the SDK's wrapping from an API error.
func plain(err error) error {
	var api smithy.APIError
	if errors.As(err, &api) && api.ErrorCode() != "" {
		return fmt.Errorf("%s: %s", api.ErrorCode(), api.ErrorMessage())
	}
	return err
}

// statements splits text at the semicolons that end statements, outside of quotes
// and comments. rest is what follows the last of them.
func statements(text string) (list []string, rest string) {
	start := 0
	for i := 0; i < len(text); {
		switch {
		case strings.HasPrefix(text[i:], "--"):
			i = skipTo(text, i, "\n")
		case strings.HasPrefix(text[i:], "/*"):
			i = skipTo(text, i+2, "*/")
		case text[i] == '\'' || text[i] == '"':
			i = skipTo(text, i+1, text[i:i+1])
		case text[i] == ';':
			if s := strings.TrimSpace(text[start:i]); s != "" {
				list = append(list, s)
			}
			i++
			start = i
		default:
			i++
		}
	}
	return list, strings.TrimSpace(text[start:])
}

// skipTo returns the place after the next end in text from i on, or its length.
func skipTo(text string, i int, end string) int {
	if k := strings.Index(text[i:], end); k >= 0 {
		return i + k + len(end)
	}
	return len(text)
}
