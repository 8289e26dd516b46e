package query

import (
	"bytes"
	"testing"
)

func TestSplitRowsAreNotCountedSmallerThanTheyAre(t *testing.T) {
	p := &piece{text: newText(), rows: 4, bytes: 2100}
	for _, size := range []int{10, 10, 980, 1000} {
		p.text.bytes = append(p.text.bytes, bytes.Repeat([]byte("x"), size)...)
		p.text.ends = append(p.text.ends, len(p.text.bytes))
	}
	rest := p.split(2)
	if rest.bytes < 1980 || p.bytes < 20 || p.bytes+rest.bytes != 2100 {
		t.Errorf("rows of 20 and 1980 bytes count as %d and %d", p.bytes, rest.bytes)
	}
}
