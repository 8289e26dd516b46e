package arn_test

import (
	"testing"

	"github.com/weir-db/weir/internal/arn"
	"github.com/weir-db/weir/internal/fault"
)

func TestParseAndStringAreInverse(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"arn:aws:timestream:us-east-1:000000000000:database/d/table/t",
		"arn:aws:iam::123456789012:role/path/name",
		"arn:aws:s3:::bucket/a:b",
	} {
		a, err := arn.Parse(s)
		if err != nil || a.String() != s {
			t.Errorf("%s: got %s, %v", s, a, err)
		}
	}
	for _, s := range []string{"", "arn", "arn:aws:iam::1", "x:aws:iam::1:role/r", "arn:aws:iam::1:", "arn::iam::1:role/r"} {
		if _, err := arn.Parse(s); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: got %v, want an invalid fault", s, err)
		}
	}
}

func TestTimestreamNames(t *testing.T) {
	t.Parallel()
	check := func(s string, want arn.Timestream) {
		t.Helper()
		if got, err := arn.ParseTimestream(s); err != nil || got != want {
			t.Errorf("%s: got %+v, %v", s, got, err)
		}
	}
	check(arn.Database("r", "1", "d"), arn.Timestream{Database: "d"})
	check(arn.Table("r", "1", "d", "t"), arn.Timestream{Database: "d", Table: "t"})
	check("arn:aws:timestream:r:1:scheduled-query/q-1", arn.Timestream{ScheduledQuery: "q-1"})
	for _, s := range []string{"arn:aws:iot:r:1:database/d", "arn:aws:timestream:r:1:database/", "arn:aws:timestream:r:1:database/d/table", "arn:aws:timestream:r:1:other/d"} {
		if _, err := arn.ParseTimestream(s); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: got %v, want an invalid fault", s, err)
		}
	}
}
