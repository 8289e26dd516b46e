package constraint

import (
	"strings"
	"testing"

	"github.com/weir-db/weir/internal/fault"
)

func TestMessagesReadAsTheServiceWritesThem(t *testing.T) {
	var v Violations
	if v.Err() != nil {
		t.Fatalf("Err of nothing = %v", v.Err())
	}
	v.Add("records.1.member.dimensions.1.member.dimensionValueType", "X", Enum("VARCHAR"))
	want := "1 validation error detected: Value 'X' at 'records.1.member.dimensions.1.member.dimensionValueType' failed to satisfy constraint: Member must satisfy enum value set: [VARCHAR]"
	if err := v.Err(); err.Error() != want || !fault.Is(err, fault.Invalid) {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	v.Null("tableName")
	v.Hidden("queryString", MinLength(1))
	want = "3 validation errors detected: " + strings.TrimPrefix(want, "1 validation error detected: ") +
		"; Value null at 'tableName' failed to satisfy constraint: Member must not be null" +
		"; Value at 'queryString' failed to satisfy constraint: Member must have length greater than or equal to 1"
	if err := v.Err(); err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestMessagesStayShortAndValidUTF8(t *testing.T) {
	var v Violations
	for range 1000 {
		v.Add("x", strings.Repeat("é", 5000), MaxLength(1))
	}
	if text := v.Err().Error(); len(text) > 20*800 || strings.ToValidUTF8(text, "?") != text || !strings.HasPrefix(text, "20 validation errors") {
		t.Errorf("message of %d bytes: %.80s…", len(text), text)
	}
}

func TestLengthCountsCharacters(t *testing.T) {
	if LengthOver("ééé", 3) || !LengthOver("éééé", 3) || LengthOver("abc", 3) {
		t.Error("LengthOver does not count characters")
	}
}
