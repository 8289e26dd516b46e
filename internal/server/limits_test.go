package server_test

import (
	"strings"
	"testing"

	"github.com/weir-db/weir/internal/server"
)

func TestLimitsReadFromASetting(t *testing.T) {
	t.Parallel()
	check := func(setting string, records, multi, partitions int) {
		t.Helper()
		l, err := server.ParseLimits(setting)
		if err != nil || l.Ingest.Records != records || l.Ingest.MultiBytes != multi || l.Query.UnloadPartitions != partitions {
			t.Errorf("%q: %+v, %v", setting, l, err)
		}
	}
	check("", 0, 0, 0)
	check("aws", 0, 0, 0)
	check("roomy", 10_000, 256<<10, 100_000)
	check("aws, records=500", 500, 0, 0)
	check("roomy,records=7,multi-bytes=4096,unload-partitions=200", 7, 4096, 200)
	check("records=9", 9, 0, 0)
	if l, err := server.ParseLimits("aws,databases=2,load-files=7"); err != nil || l.Databases != 2 || l.LoadFiles != 7 || l.Tables != 0 {
		t.Errorf("%+v, %v", l, err)
	}
	refuse := func(setting, text string) {
		t.Helper()
		if _, err := server.ParseLimits(setting); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%q: %v, want %q", setting, err, text)
		}
	}
	refuse("large", "want aws or roomy first")
	refuse("aws,roomy", "want aws or roomy first")
	refuse("aws,records=0", "from 1 to")
	refuse("aws,value-bytes=9999", "from 1 to 2048")
	refuse("aws,records=many", "from 1 to")
}
