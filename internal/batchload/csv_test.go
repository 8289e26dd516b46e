package batchload

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

func readAll(text string, c *CSV) string {
	r := newCSVReader(strings.NewReader(text), c, place{})
	var out []string
	for {
		fields, first, last, err := r.row()
		var bad *rowError
		switch {
		case errors.Is(err, io.EOF):
			return strings.Join(out, " ")
		case errors.As(err, &bad):
			out = append(out, fmt.Sprintf("%d-%d:%s", first, last, bad.text))
		case err != nil:
			return err.Error()
		default:
			out = append(out, fmt.Sprintf("%d-%d:%q", first, last, fields))
		}
	}
}

func TestRowsAreReadWithTheirLines(t *testing.T) {
	check := func(text string, c *CSV, want string) {
		t.Helper()
		if got := readAll(text, c); got != want {
			t.Errorf("%q:\ngot  %s\nwant %s", text, got, want)
		}
	}
	check("a,b\n1,2\n", nil, `1-1:["a" "b"] 2-2:["1" "2"]`)
	check("a,b\r\n1,\r\n", nil, `1-1:["a" "b"] 2-2:["1" ""]`)
	check("1,2", nil, `1-1:["1" "2"]`)
	check("\n\na\n\n", nil, `3-3:["a"]`)
	check(`"a,""b""","x`+"\n"+`y",z`+"\nq,r,s\n", nil, `1-2:["a,\"b\"" "x\ny" "z"] 3-3:["q" "r" "s"]`)
	check(`""`+"\n", nil, `1-1:[""]`)
	check(`'a|b'|c\|d`+"\n", &CSV{Separator: "|", Quote: "'", Escape: `\`}, `1-1:["a|b" "c|d"]`)
	check(" a ,\" b \" , c\n", &CSV{Trim: true}, `1-1:["a" " b " "c"]`)
	check("ok\n\"open\nfield", nil, `1-1:["ok"] 2-2:A quoted field does not end before the file does.`)
	check("\"a\"b,c\nok\n", nil, `1-1:Something follows the closing quote of a field. 2-2:["ok"]`)
}

func TestReadingGoesOnFromAnyRow(t *testing.T) {
	text := "h\n\"a\nb\"\nc\n"
	r := newCSVReader(strings.NewReader(text), nil, place{})
	r.row()
	r.row()
	again := newCSVReader(strings.NewReader(text[r.offset:]), nil, place{Offset: r.offset, Line: r.line})
	if fields, first, _, err := again.row(); err != nil || fields[0] != "c" || first != 4 {
		t.Fatalf("got %q, line %d, %v", fields, first, err)
	}
}

func FuzzCSV(f *testing.F) {
	f.Add("a,\"b\nc\"\nd", `"`, `\`, true)
	f.Fuzz(func(t *testing.T, text, quote, escape string, trim bool) {
		c := &CSV{Trim: trim}
		if len(quote) == 1 {
			c.Quote = quote
		}
		if len(escape) == 1 {
			c.Escape = escape
		}
		r := newCSVReader(strings.NewReader(text), c, place{})
		for n := 0; ; n++ {
			_, _, _, err := r.row()
			if errors.Is(err, io.EOF) {
				return
			}
			if n > len(text)+1 {
				t.Fatal("more rows than characters")
			}
		}
	})
}
