package importer_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/timestreamwrite"

	"github.com/weir-db/weir/internal/importer"
)

// accepting answers every request of WriteRecords at once: what is left is the importer's own work.
type accepting struct{}

func (accepting) Do(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	n := bytes.Count(body, []byte(`"Time":"`))
	answer := fmt.Sprintf(`{"RecordsIngested":{"Total":%d,"MemoryStore":%d,"MagneticStore":0}}`, n, n)
	return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}}, Body: io.NopCloser(bytes.NewReader([]byte(answer))), Request: r}, nil
}

// BenchmarkImport is rows of ten dimensions and ten values, by series, as an export has them.
func BenchmarkImport(b *testing.B) {
	const rows = 20_000
	var text bytes.Buffer
	for i := range 10 {
		fmt.Fprintf(&text, "dim%d,", i)
	}
	text.WriteString("measure_name,time")
	for i := range 10 {
		fmt.Fprintf(&text, ",value%d", i)
	}
	text.WriteByte('\n')
	for row := range rows {
		for i := range 10 {
			fmt.Fprintf(&text, "value-%d-of-%d,", i, row/2000)
		}
		fmt.Fprintf(&text, "cpu,%d", 1_900_000_000_000+row)
		for i := range 10 {
			fmt.Fprintf(&text, ",%d.5", row%100+i)
		}
		text.WriteByte('\n')
	}
	dir := b.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "r.csv"), text.Bytes(), 0o644); err != nil {
		b.Fatal(err)
	}
	client := timestreamwrite.New(timestreamwrite.Options{
		BaseEndpoint: aws.String("http://127.0.0.1:1"), Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("any", "keys", ""), HTTPClient: accepting{},
		EndpointDiscovery: timestreamwrite.EndpointDiscoveryOptions{EnableEndpointDiscovery: aws.EndpointDiscoveryDisabled},
	})
	for b.Loop() {
		r, err := importer.Run(b.Context(), importer.Options{Paths: []string{filepath.Join(dir, "r.csv")}, Database: "d", Table: "t", Writer: client})
		if err != nil || r.Ingested != rows {
			b.Fatal(r, err)
		}
	}
	b.ReportMetric(float64(b.N)*rows*10/b.Elapsed().Seconds(), "values/s")
}
