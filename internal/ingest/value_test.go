package ingest

import (
	"math"
	"strconv"
	"testing"
)

func TestDoublesParseLikeStrconv(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"0", "1", "-1", "0.1", "21.5", "9007199254740993", "9007199254740992", "0.000000000000000001", "123456.789e-3", "1E5", "+2", "5e-324", "1.7976931348623157e308", "00012", "1.", ".5", "123456789012345678901234567890", "0.1234567890123456789", "0.00000000000000000000000001"} {
		want, _ := strconv.ParseFloat(s, 64)
		if got, ok := parseDouble(s); !ok || math.Float64bits(got) != math.Float64bits(want) {
			t.Errorf("parseDouble(%q) = %v, %v, want %v", s, got, ok, want)
		}
	}
}

func FuzzParseDouble(f *testing.F) {
	for _, s := range []string{"12.5", "-0.0", "1e400", "9007199254740993.5", "0.30000000000000004", "Inf", "0x1p3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := parseDouble(s)
		want, err := strconv.ParseFloat(s, 64)
		if ok && (err != nil || math.Float64bits(got) != math.Float64bits(want)) {
			t.Fatalf("parseDouble(%q) = %v, strconv %v, %v", s, got, want, err)
		}
		if ok && (math.IsNaN(got) || math.IsInf(got, 0) || got == 0 && math.Signbit(got)) {
			t.Fatalf("parseDouble(%q) accepts %v", s, got)
		}
	})
}

func FuzzParseInt(f *testing.F) {
	for _, s := range []string{"1", "-9223372036854775808", "9223372036854775807", "+5", "1_0", "", "-"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := parseInt(s)
		want, err := strconv.ParseInt(s, 10, 64)
		if ok != (err == nil) || ok && got != want {
			t.Fatalf("parseInt(%q) = %d, %v, strconv %d, %v", s, got, ok, want, err)
		}
	})
}
