package ingest

import (
	"strings"
	"testing"
)

func TestLimitsReadFromASetting(t *testing.T) {
	check := func(setting string, records, multi int) {
		t.Helper()
		l, err := ParseLimits(setting)
		if err != nil || l.Records != records || l.MultiBytes != multi || l.ValueBytes != 2048 {
			t.Errorf("%q: %+v, %v", setting, l, err)
		}
	}
	check("", 100, 2048)
	check("aws", 100, 2048)
	check("roomy", 10_000, 256<<10)
	check("aws, records=500", 500, 2048)
	check("roomy,records=7,multi-bytes=4096", 7, 4096)
	check("records=9", 9, 2048)
	refuse := func(setting, text string) {
		t.Helper()
		if _, err := ParseLimits(setting); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%q: %v, want %q", setting, err, text)
		}
	}
	refuse("large", "want aws or roomy first")
	refuse("aws,roomy", "want aws or roomy first")
	refuse("aws,records=0", "from 1 to")
	refuse("aws,value-bytes=9999", "from 1 to 2048")
	refuse("aws,records=many", "from 1 to")
}
