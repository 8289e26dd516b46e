package iotsql

import (
	"crypto/md5"
	crand "crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"math"
	"math/big"
	"math/rand/v2"
	"regexp"
	"strings"
	"sync"
	"unicode/utf8"
)

// function is one built-in. Arguments of the wrong number give Undefined before
// it is called, arguments of the wrong kind are for it to judge.
type function struct {
	min, max int // arguments; max < 0: any number
	eval     func(e *env, args []Value) Value
	raw      func(e *env, args []expr) Value // instead of eval, if it must see the tree
	check    func(args []expr) string        // at compile time; a text refuses the call
}

// functions by lower-case name (IoT SQL reference, "Functions").
var functions = func() map[string]*function {
	all := map[string]*function{}
	for _, group := range []map[string]*function{contextFunctions, numberFunctions, textFunctions, valueFunctions, timeFunctions} {
		maps.Copy(all, group)
	}
	return all
}()

func one(f func(e *env, v Value) Value) *function {
	return &function{min: 1, max: 1, eval: func(e *env, a []Value) Value { return f(e, a[0]) }}
}

func none(f func(e *env) Value) *function {
	return &function{eval: func(e *env, _ []Value) Value { return f(e) }}
}

// textOrUndefined is a String unless s is empty.
func textOrUndefined(s string) Value {
	if s == "" {
		return Value{}
	}
	return text(s)
}

var contextFunctions = map[string]*function{
	"topic": {max: 1, eval: func(e *env, a []Value) Value {
		if len(a) == 0 {
			return text(e.in.Topic)
		}
		n, ok := a[0].toNum()
		if !ok || n.kind != Num {
			return Value{}
		}
		if s, ok := level(e.in.Topic, smallInt(n, 0, 1<<20)); ok {
			return text(s)
		}
		return Value{}
	}},
	"timestamp": none(func(e *env) Value { return Int(e.in.Now.UnixMilli()) }),
	"clientid": none(func(e *env) Value {
		if e.in.ClientID == "" {
			return text("n/a")
		}
		return text(e.in.ClientID)
	}),
	"principal": none(func(e *env) Value { return textOrUndefined(e.in.Principal) }),
	"accountid": none(func(e *env) Value { return text(e.in.AccountID) }),
	"traceid": none(func(e *env) Value {
		if e.in.ClientID == "" {
			return Value{}
		}
		return text(e.in.TraceID())
	}),
	"sql_version": none(func(e *env) Value { return text(string(e.version)) }),
	"newuuid":     none(func(*env) Value { return text(NewUUID()) }),
	"get_mqtt_property": one(func(e *env, v Value) Value {
		switch v.s {
		case "content_type":
			return textOrUndefined(e.in.ContentType)
		case "response_topic":
			return textOrUndefined(e.in.ResponseTopic)
		case "correlation_data":
			return textOrUndefined(base64.StdEncoding.EncodeToString(e.in.CorrelationData))
		case "format_indicator":
			if e.in.UTF8Payload {
				return text("UTF8_DATA")
			}
			return text("UNSPECIFIED_BYTES")
		}
		return Value{}
	}),
	"get_user_properties": {max: 1, eval: userProperties},
}

// NewUUID returns a random UUID (version 4).
func NewUUID() string {
	var b [16]byte
	crand.Read(b[:])
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func userProperties(e *env, a []Value) Value {
	var items []Value
	for _, p := range e.in.UserProperties {
		switch {
		case len(a) == 0:
			items = append(items, object([]Member{{p.Key, text(p.Value)}}))
		case a[0].kind == Str && a[0].s == p.Key:
			items = append(items, text(p.Value))
		}
	}
	if len(items) == 0 {
		return Value{}
	}
	return array(items)
}

// numeric1 is a function of one number.
func numeric1(f func(Value) Value) *function {
	return one(func(e *env, v Value) Value {
		n, ok := v.toNum()
		if !ok || n.kind != Num {
			return Value{}
		}
		return e.num(f(n))
	})
}

func numeric2(f func(a, b Value) Value) *function {
	return &function{min: 2, max: 2, eval: func(e *env, args []Value) Value {
		a, ok1 := args[0].toNum()
		b, ok2 := args[1].toNum()
		if !ok1 || !ok2 || a.kind != Num || b.kind != Num {
			return Value{}
		}
		return e.num(f(a, b))
	}}
}

// double1 computes in double precision; no number gives Undefined.
func double1(f func(float64) float64) *function {
	return numeric1(func(v Value) Value { return fromFloat(f(v.Float64())) })
}

func double2(f func(a, b float64) float64) *function {
	return numeric2(func(a, b Value) Value { return fromFloat(f(a.Float64(), b.Float64())) })
}

// bits2 combines two Ints of 64 bits; fractions are dropped.
func bits2(f func(a, b int64) int64) *function {
	return numeric2(func(a, b Value) Value {
		x, ok1 := toInt(a, down).Int64()
		y, ok2 := toInt(b, down).Int64()
		if !ok1 || !ok2 {
			return Value{}
		}
		return Int(f(x, y))
	})
}

var numberFunctions = map[string]*function{
	"abs": numeric1(func(v Value) Value {
		if sign(v) < 0 {
			return negate(v)
		}
		return v
	}),
	"ceil":  numeric1(func(v Value) Value { return toInt(v, up) }),
	"floor": numeric1(func(v Value) Value { return toInt(v, down) }),
	"round": numeric1(func(v Value) Value { return toInt(v, halfAway) }),
	"sign":  numeric1(func(v Value) Value { return Int(int64(sign(v))) }),
	"trunc": numeric2(func(v, n Value) Value {
		places := smallInt(n, 0, maxDigits)
		if !v.dec || int(v.exp) >= -places {
			return v
		}
		unit := pow10(int(-v.exp) - places)
		return number(new(big.Int).Quo(v.coef(), unit), -places, true)
	}),
	"mod":       numeric2(remainder),
	"remainder": numeric2(remainder),
	"acos":      double1(math.Acos),
	"asin":      double1(math.Asin),
	"atan":      double1(math.Atan),
	"cos":       double1(math.Cos),
	"cosh":      double1(math.Cosh),
	"sin":       double1(math.Sin),
	"sinh":      double1(math.Sinh),
	"tan":       double1(math.Tan),
	"tanh":      double1(math.Tanh),
	"exp":       double1(math.Exp),
	"ln":        double1(math.Log),
	"log":       double1(math.Log10),
	"sqrt":      double1(math.Sqrt),
	"atan2":     double2(math.Atan2),
	"power":     double2(math.Pow),
	"rand":      none(func(*env) Value { return fromFloat(rand.Float64()) }),
	"bitand":    bits2(func(a, b int64) int64 { return a & b }),
	"bitor":     bits2(func(a, b int64) int64 { return a | b }),
	"bitxor":    bits2(func(a, b int64) int64 { return a ^ b }),
	"bitnot": numeric1(func(v Value) Value {
		if n, ok := toInt(v, down).Int64(); ok {
			return Int(^n)
		}
		return Value{}
	}),
}

// texts is a function whose arguments are all Strings after conversion.
func texts(n int, f func(e *env, s []string) Value) *function {
	return &function{min: n, max: n, eval: func(e *env, args []Value) Value {
		var buf [3]string
		s := buf[:0]
		for _, a := range args {
			t, ok := a.toText()
			if !ok {
				return Value{}
			}
			s = append(s, t)
		}
		return f(e, s)
	}}
}

func text1(f func(s string) string) *function {
	return texts(1, func(_ *env, s []string) Value { return text(f(s[0])) })
}

func hash(f func(b []byte) []byte) *function {
	return text1(func(s string) string { return hex.EncodeToString(f([]byte(s))) })
}

// blanks is what trim removes.
const blanks = " \t"

// pad adds n blanks, at most 1000, on one side.
func pad(f func(s, blank string) string) *function {
	return &function{min: 2, max: 2, eval: func(_ *env, a []Value) Value {
		s, ok1 := a[0].toText()
		n, ok2 := a[1].toNum()
		if !ok1 || !ok2 || n.kind != Num {
			return Value{}
		}
		return text(f(s, strings.Repeat(" ", smallInt(n, 0, 1000))))
	}}
}

var textFunctions = map[string]*function{
	"concat": {max: -1, eval: concat},
	"lower":  text1(strings.ToLower),
	"upper":  text1(strings.ToUpper),
	"trim":   text1(func(s string) string { return strings.Trim(s, blanks) }),
	"ltrim":  text1(func(s string) string { return strings.TrimLeft(s, blanks) }),
	"rtrim":  text1(func(s string) string { return strings.TrimRight(s, blanks) }),
	"lpad":   pad(func(s, blank string) string { return blank + s }),
	"rpad":   pad(func(s, blank string) string { return s + blank }),
	"startswith": texts(2, func(_ *env, s []string) Value {
		return boolean(strings.HasPrefix(s[0], s[1]))
	}),
	"endswith": texts(2, func(_ *env, s []string) Value {
		return boolean(strings.HasSuffix(s[0], s[1]))
	}),
	"indexof": texts(2, func(_ *env, s []string) Value {
		i := strings.Index(s[0], s[1])
		if i > 0 {
			i = runeLen(s[0][:i])
		}
		return Int(int64(i))
	}),
	"length":    texts(1, func(_ *env, s []string) Value { return Int(int64(runeLen(s[0]))) }),
	"numbytes":  texts(1, func(_ *env, s []string) Value { return Int(int64(len(s[0]))) }),
	"substring": {min: 2, max: 3, eval: substring},
	"replace": texts(3, func(_ *env, s []string) Value {
		if n := strings.Count(s[0], s[1]); len(s[0])+n*(len(s[2])-len(s[1])) > maxText {
			return Value{}
		}
		return text(strings.ReplaceAll(s[0], s[1], s[2]))
	}),
	"regexp_matches": texts(2, func(_ *env, s []string) Value {
		re := compiled(s[1])
		if re == nil {
			return Value{}
		}
		return boolean(re.MatchString(s[0]))
	}),
	"regexp_substr": texts(2, func(_ *env, s []string) Value {
		re := compiled(s[1])
		if re == nil {
			return Value{}
		}
		if at := re.FindStringIndex(s[0]); at != nil {
			return text(s[0][at[0]:at[1]])
		}
		return Value{}
	}),
	"regexp_replace": texts(3, regexpReplace),
	"chr": one(func(_ *env, v Value) Value {
		n, ok := v.toNum()
		if !ok || n.kind != Num {
			return Value{}
		}
		if c := smallInt(n, -1, 128); c >= 0 && c < 128 {
			return text(string(rune(c)))
		}
		return Value{}
	}),
	"md5":    hash(func(b []byte) []byte { h := md5.Sum(b); return h[:] }),
	"sha1":   hash(func(b []byte) []byte { h := sha1.Sum(b); return h[:] }),
	"sha224": hash(func(b []byte) []byte { h := sha256.Sum224(b); return h[:] }),
	"sha256": hash(func(b []byte) []byte { h := sha256.Sum256(b); return h[:] }),
	"sha384": hash(func(b []byte) []byte { h := sha512.Sum384(b); return h[:] }),
	"sha512": hash(func(b []byte) []byte { h := sha512.Sum512(b); return h[:] }),
}

func concat(_ *env, a []Value) Value {
	if len(a) < 2 {
		if len(a) == 0 {
			return Value{}
		}
		return a[0]
	}
	for i := range a {
		if a[i].kind == Arr {
			var items []Value
			for _, v := range a {
				if v.kind == Arr {
					items = append(items, v.Items()...)
				} else if v.kind != Undefined {
					items = append(items, v)
				}
			}
			return array(items)
		}
	}
	var b strings.Builder
	for _, v := range a {
		s, ok := v.toText()
		if !ok || b.Len()+len(s) > maxText {
			return Value{}
		}
		b.WriteString(s)
	}
	return text(b.String())
}

func substring(_ *env, a []Value) Value {
	s, ok := a[0].toText()
	from, ok1 := a[1].toNum()
	if !ok || !ok1 || from.kind != Num {
		return Value{}
	}
	length := runeLen(s)
	i, j := smallInt(from, 0, length), length
	if len(a) == 3 {
		to, ok := a[2].toNum()
		if !ok || to.kind != Num {
			return Value{}
		}
		j = smallInt(to, 0, length)
	}
	if i >= j {
		return Value{kind: Str}
	}
	if length == len(s) {
		return text(s[i:j])
	}
	return text(string([]rune(s)[i:j]))
}

// patterns caches compiled expressions; nil for those that do not compile. It is
// dropped when it is full, which only patterns that come from payloads can do.
var patterns struct {
	sync.Mutex
	m map[string]*regexp.Regexp
}

const (
	maxPatterns = 512
	maxPattern  = 4 << 10 // bytes
)

// compiled returns a pattern, nil if it is not one: look-around and
// back-references of Java do not exist here.
func compiled(pattern string) *regexp.Regexp {
	if len(pattern) > maxPattern {
		return nil
	}
	patterns.Lock()
	re, ok := patterns.m[pattern]
	patterns.Unlock()
	if ok {
		return re
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		re = nil
	}
	patterns.Lock()
	defer patterns.Unlock()
	if len(patterns.m) >= maxPatterns || patterns.m == nil {
		patterns.m = map[string]*regexp.Regexp{}
	}
	patterns.m[strings.Clone(pattern)] = re
	return re
}

func regexpReplace(_ *env, s []string) Value {
	re := compiled(s[1])
	if re == nil {
		return Value{}
	}
	template := goTemplate(s[2])
	var out []byte
	last := 0
	for _, at := range re.FindAllStringSubmatchIndex(s[0], -1) {
		out = append(out, s[0][last:at[0]]...)
		out = re.ExpandString(out, template, s[0], at)
		if last = at[1]; len(out) > maxText {
			return Value{}
		}
	}
	return text(string(append(out, s[0][last:]...)))
}

// goTemplate turns Java's replacement text ($1, \$) into Go's.
func goTemplate(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s):
			i++
			if s[i] == '$' {
				b.WriteByte('$')
			}
			b.WriteByte(s[i])
		case c == '$' && i+1 < len(s) && s[i+1]-'0' <= 9:
			i++
			b.WriteString("${" + s[i:i+1] + "}")
		case c == '$':
			b.WriteString("$$")
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

var valueFunctions = map[string]*function{
	"isnull":      one(func(_ *env, v Value) Value { return boolean(v.kind == Null) }),
	"isundefined": one(func(_ *env, v Value) Value { return boolean(v.kind == Undefined) }),
	"nanvl": {min: 2, max: 2, eval: func(_ *env, a []Value) Value {
		if a[0].kind == Undefined || a[0].kind == Null {
			return a[1]
		}
		return a[0]
	}},
	"get_or_default": {min: 1, max: 2, eval: func(_ *env, a []Value) Value {
		switch {
		case a[0].kind != Undefined && a[0].kind != Null:
			return a[0]
		case len(a) == 2:
			return a[1]
		}
		return Value{}
	}},
	"get":    {min: 2, max: 2, eval: get},
	"encode": {min: 2, max: 2, raw: encode, check: base64Only("encode")},
	"decode": {min: 2, max: -1, eval: decode, check: base64Only("decode")},
	"transform": {min: 3, max: 3, eval: func(_ *env, a []Value) Value {
		if a[0].kind != Str || a[0].s != "enrichArray" || a[1].kind != Obj || a[2].kind != Arr {
			return Value{}
		}
		return enrich(a[1], a[2])
	}},
}

// get reads an element, a character or a member.
func get(_ *env, a []Value) Value {
	c, k := a[0], a[1]
	if c.kind == Obj {
		if k.kind != Str {
			return Value{}
		}
		return c.Member(k.s)
	}
	n, ok := k.toNum()
	if !ok || n.kind != Num {
		return Value{}
	}
	i := smallInt(n, -1, math.MaxInt32)
	switch c.kind {
	case Arr:
		if i >= 0 && i < len(c.Items()) {
			return c.Items()[i]
		}
	case Str:
		for at, r := range c.s {
			if i == 0 {
				return text(c.s[at : at+utf8.RuneLen(r)])
			}
			i--
		}
	}
	return Value{}
}

// base64Only refuses an encoding that is not built, if it is written out.
func base64Only(name string) func(args []expr) string {
	return func(args []expr) string {
		if len(args) < 2 {
			return ""
		}
		if lit, ok := args[1].(literal); ok && lit.v.kind == Str && lit.v.s != "base64" {
			return fmt.Sprintf("the encoding '%s' of %s is not supported", lit.v.s, name)
		}
		return ""
	}
}

// encode takes the payload's bytes for *, the text of any other value.
func encode(e *env, args []expr) Value {
	if scheme := args[1].eval(e); scheme.s != "base64" {
		return Value{}
	}
	if _, star := args[0].(starExpr); star && e.frame == nil {
		return text(base64.StdEncoding.EncodeToString(e.in.Payload))
	}
	s, ok := args[0].eval(e).toText()
	if !ok {
		return Value{}
	}
	return text(base64.StdEncoding.EncodeToString([]byte(s)))
}

// decode gives the JSON value of the bytes, else their text; Null if it cannot.
func decode(e *env, a []Value) Value {
	if len(a) != 2 || a[1].s != "base64" {
		return Value{}
	}
	if a[0].kind != Str {
		return null
	}
	b, err := base64.StdEncoding.DecodeString(a[0].s)
	if err != nil {
		return null
	}
	s := string(b)
	if v, err := ParseJSON(s, e.version.whole()); err == nil {
		return v
	}
	if !utf8.ValidString(s) {
		return null
	}
	return text(s)
}

// enrich adds the keys of obj to each element of list; an element keeps its own
// value for a key that it has.
func enrich(obj, list Value) Value {
	items := make([]Value, 0, len(list.Items()))
	size := 0
	for _, elem := range list.Items() {
		if elem.kind != Obj {
			return Value{}
		}
		// A bound on what is built; AWS's is 128 KiB of text.
		if size += len(obj.Members()) + len(elem.Members()); size > maxText/16 {
			return Value{}
		}
		members := append([]Member(nil), obj.Members()...)
		var index map[string]int
		for _, m := range elem.Members() {
			members, index = put(members, index, m.Key, m.Value)
		}
		items = append(items, object(members))
	}
	return array(items)
}
