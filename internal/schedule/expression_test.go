package schedule

import (
	"strings"
	"testing"
	"time"

	"github.com/weir-db/weir/internal/fault"
)

const layout = "2006-01-02 15:04"

func moment(text string) time.Time {
	t, err := time.Parse(layout, text)
	if err != nil {
		panic(err)
	}
	return t
}

func TestExpressionsGiveTheInvocationsThatAWSDocuments(t *testing.T) {
	t.Parallel()
	check := func(text, from string, want ...string) {
		t.Helper()
		e, err := parseExpression(text)
		if err != nil {
			t.Error(err)
			return
		}
		at := moment(from)
		for _, w := range want {
			at = e.next(at, moment("2026-01-01 10:07"))
			if got := at.Format(layout); got != w {
				t.Errorf("%s: got %s, want %s", text, got, w)
				return
			}
		}
	}
	check("rate(5 minutes)", "2026-01-01 10:07", "2026-01-01 10:12", "2026-01-01 10:17")
	check("rate(1 hour)", "2026-01-01 12:07", "2026-01-01 13:07")
	check("rate(1 day)", "2026-03-01 00:00", "2026-03-01 10:07", "2026-03-02 10:07")
	check("rate(1 minute)", "2020-03-01 00:00", "2026-01-01 10:08")

	// The examples of the EventBridge guide.
	check("cron(0 10 * * ? *)", "2026-01-01 10:00", "2026-01-02 10:00", "2026-01-03 10:00")
	check("cron(15 12 * * ? *)", "2026-01-01 10:00", "2026-01-01 12:15")
	check("cron(0 18 ? * MON-FRI *)", "2026-01-02 17:00", "2026-01-02 18:00", "2026-01-05 18:00")
	check("cron(0 8 1 * ? *)", "2026-01-31 10:00", "2026-02-01 08:00", "2026-03-01 08:00")
	check("cron(0/15 * * * ? *)", "2026-01-01 10:01", "2026-01-01 10:15", "2026-01-01 10:30", "2026-01-01 10:45", "2026-01-01 11:00")
	check("cron(0/10 * ? * MON-FRI *)", "2026-01-02 23:50", "2026-01-05 00:00")
	check("cron(0/5 8-17 ? * MON-FRI *)", "2026-01-02 17:54", "2026-01-02 17:55", "2026-01-05 08:00")
	check("cron(0/30 20-2 ? * MON-FRI *)", "2026-01-02 02:30", "2026-01-02 20:00")
	check("cron(0 9 ? * 2#1 *)", "2026-01-01 10:00", "2026-01-05 09:00", "2026-02-02 09:00", "2026-03-02 09:00")

	check("cron(0 12 L * ? *)", "2024-01-31 12:00", "2024-02-29 12:00", "2024-03-31 12:00")
	check("cron(0 12 LW * ? *)", "2026-01-01 10:00", "2026-01-30 12:00", "2026-02-27 12:00")
	check("cron(0 0 15W * ? *)", "2026-02-01 00:00", "2026-02-16 00:00", "2026-03-16 00:00", "2026-04-15 00:00")
	check("cron(0 0 1W * ? *)", "2026-07-31 00:00", "2026-08-03 00:00") // 1 August is a Saturday
	check("cron(0 0 31W * ? *)", "2026-02-01 00:00", "2026-03-31 00:00", "2026-05-29 00:00")
	check("cron(0 0 ? * L *)", "2026-01-01 00:00", "2026-01-03 00:00", "2026-01-10 00:00")
	check("cron(0 0 ? * FRIL *)", "2026-01-01 00:00", "2026-01-30 00:00", "2026-02-27 00:00")
	check("cron(0 0 ? * 6L *)", "2026-01-01 00:00", "2026-01-30 00:00")
	check("cron(0 0 ? * 1#5 *)", "2026-01-01 00:00", "2026-03-29 00:00", "2026-05-31 00:00")
	check("cron(0 0 ? * FRI-SUN *)", "2026-01-01 00:00", "2026-01-02 00:00", "2026-01-03 00:00", "2026-01-04 00:00", "2026-01-09 00:00")
	check("cron(30 4 1,15 jan,Jul ? 2027-2028)", "2026-01-01 00:00", "2027-01-01 04:30", "2027-01-15 04:30", "2027-07-01 04:30", "2027-07-15 04:30", "2028-01-01 04:30")
	check("cron(0 0 29 2 ? *)", "2097-01-01 00:00", "2104-02-29 00:00")
	check("cron(59 23 31 12 ? 2026/2)", "2026-12-31 23:59", "2028-12-31 23:59")
}

func TestExpressionsThatNeverComeAgainHaveNoNextTime(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"cron(0 0 1 1 ? 2020)", "cron(0 0 30 2 ? *)"} {
		e, err := parseExpression(text)
		if err != nil {
			t.Fatal(err)
		}
		if next := e.next(moment("2026-01-01 00:00"), moment("2026-01-01 00:00")); !next.IsZero() {
			t.Errorf("%s: %v", text, next)
		}
	}
}

func TestWrongExpressionsAreRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "rate", "rate()", "rate(1)", "rate(0 minutes)", "rate(1 minutes)", "rate(2 minute)", "rate(-1 minutes)", "rate(1.5 hours)", "rate(1 week)",
		"rate(30 seconds)", "rate(99999999 days)", "at(2026-01-01T00:00:00)", "cron(* * * * * *)", "cron(* * ? * ? *)", "cron(0 0 1 * 2 *)",
		"cron(0 0 * * ?)", "cron(0 0 * * ? * *)", "cron(60 0 * * ? *)", "cron(0 24 * * ? *)", "cron(0 0 0 * ? *)", "cron(0 0 32 * ? *)", "cron(0 0 * 13 ? *)",
		"cron(0 0 ? * 8 *)", "cron(0 0 ? * 2#6 *)", "cron(0 0 ? * 2#1,3#1 *)", "cron(0 0 * * ? 1969)", "cron(0 0 * * ? 2200)", "cron(0/0 * * * ? *)", "cron(a * * * ? *)",
		"cron(, * * * ? *)", "cron(1- * * * ? *)", "cron(0 0 W * ? *)", "cron(0 0 32W * ? *)", "cron(0 0 ? * XL *)", "cron(? 0 * * ? *)", "cron(L 0 * * ? *)",
	} {
		if _, err := parseExpression(text); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "'"+text+"'") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func FuzzExpression(f *testing.F) {
	f.Add("rate(5 minutes)")
	f.Add("cron(0/15 8-17 LW,15W JAN-MAR ? 2026/2)")
	f.Add("cron(0 0 ? * FRIL,2 *)")
	f.Fuzz(func(t *testing.T, text string) {
		e, err := parseExpression(text)
		if err != nil {
			return
		}
		at := moment("2026-01-01 00:00")
		for range 3 {
			next := e.next(at, at)
			if next.IsZero() {
				return
			}
			if !next.After(at) || next.Second() != 0 {
				t.Fatalf("%q: %v after %v", text, next, at)
			}
			at = next
		}
	})
}
