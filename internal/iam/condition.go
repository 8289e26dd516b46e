package iam

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// An operator compares a value of the request with one of the policy, whose variables are
// replaced.
type operator func(x *evaluation, have, want string) bool

// operators are those of the IAM user guide, "Condition operators", by name in lower case. Their
// negations are made by checkCondition.
var operators = map[string]operator{
	"stringequals": func(x *evaluation, have, want string) bool { return x.literally(have, want, strings.Compare) },
	"stringequalsignorecase": func(x *evaluation, have, want string) bool {
		return x.literally(strings.ToLower(have), strings.ToLower(want), strings.Compare)
	},
	"stringlike":   func(x *evaluation, have, want string) bool { return x.matches(want, have) },
	"arnequals":    func(x *evaluation, have, want string) bool { return x.matches(want, have) },
	"arnlike":      func(x *evaluation, have, want string) bool { return x.matches(want, have) },
	"bool":         func(_ *evaluation, have, want string) bool { return strings.EqualFold(have, want) },
	"binaryequals": func(_ *evaluation, have, want string) bool { return have == want },
	"ipaddress":    func(_ *evaluation, have, want string) bool { return inNetwork(have, want) },

	"numericequals":            numeric(func(a, b float64) bool { return a == b }),
	"numericlessthan":          numeric(func(a, b float64) bool { return a < b }),
	"numericlessthanequals":    numeric(func(a, b float64) bool { return a <= b }),
	"numericgreaterthan":       numeric(func(a, b float64) bool { return a > b }),
	"numericgreaterthanequals": numeric(func(a, b float64) bool { return a >= b }),

	"dateequals":            dated(func(c int) bool { return c == 0 }),
	"datelessthan":          dated(func(c int) bool { return c < 0 }),
	"datelessthanequals":    dated(func(c int) bool { return c <= 0 }),
	"dategreaterthan":       dated(func(c int) bool { return c > 0 }),
	"dategreaterthanequals": dated(func(c int) bool { return c >= 0 }),
}

var negations = map[string]string{
	"stringnotequals": "stringequals", "stringnotequalsignorecase": "stringequalsignorecase", "stringnotlike": "stringlike",
	"arnnotequals": "arnequals", "arnnotlike": "arnlike", "notipaddress": "ipaddress", "numericnotequals": "numericequals", "datenotequals": "dateequals",
}

// condition is the name of an operator, taken apart.
type condition struct {
	compare    operator
	negated    bool
	ifExists   bool
	all, some  bool // ForAllValues, ForAnyValue
	isNullTest bool
}

func parseCondition(name string) (c condition, ok bool) {
	name = strings.ToLower(name)
	if rest, found := strings.CutPrefix(name, "forallvalues:"); found {
		name, c.all = rest, true
	} else if rest, found := strings.CutPrefix(name, "foranyvalue:"); found {
		name, c.some = rest, true
	}
	if name == "null" {
		c.isNullTest = true
		return c, true
	}
	name, c.ifExists = strings.CutSuffix(name, "ifexists")
	if positive := negations[name]; positive != "" {
		name, c.negated = positive, true
	}
	c.compare, ok = operators[name]
	return c, ok
}

// conditions says whether all conditions of a statement hold.
func (x *evaluation) conditions(s *Statement) bool {
	for name, keys := range s.Condition {
		c, ok := parseCondition(name)
		if !ok {
			return false // refused when the policy was stored
		}
		for key, want := range keys {
			if !x.holds(c, key, texts(want)) {
				return false
			}
		}
	}
	return true
}

// texts are the values of a condition, which may be written as numbers and booleans.
func texts(values []any) []string {
	list := make([]string, len(values))
	for i, v := range values {
		if f, ok := v.(float64); ok {
			list[i] = strconv.FormatFloat(f, 'f', -1, 64)
			continue
		}
		list[i] = fmt.Sprint(v)
	}
	return list
}

func (x *evaluation) holds(c condition, key string, want []string) bool {
	have := x.key(strings.ToLower(key))
	if c.isNullTest {
		return slices.ContainsFunc(want, func(w string) bool { return strings.EqualFold(w, strconv.FormatBool(len(have) == 0)) })
	}
	if len(have) == 0 {
		return c.ifExists || c.all || c.negated && !c.some
	}
	one := func(h string) bool {
		equal := func(w string) bool { return c.compare(x, h, w) }
		if c.negated {
			return x.matchesNone(want, equal)
		}
		return slices.ContainsFunc(want, equal)
	}
	if c.some {
		return slices.ContainsFunc(have, one)
	}
	return !slices.ContainsFunc(have, func(h string) bool { return !one(h) })
}

// key returns the values of a condition key.
func (x *evaluation) key(name string) []string {
	value := ""
	switch name {
	case "aws:principalarn":
		if value = x.r.Principal; x.e != nil {
			value = x.e.ARN // of a session: its role's
		}
	case "aws:principalaccount":
		value = x.d.opt.AccountID
	case "aws:principaltype":
		value = x.principalType()
	case "aws:username":
		if x.principalType() == "User" {
			value = x.e.Name
		}
	case "aws:userid":
		if x.e != nil {
			value = x.e.ID
			if _, session, ok := strings.Cut(x.r.Principal, ":assumed-role/"+x.e.Name+"/"); ok {
				value += ":" + session
			}
		}
	case "aws:currenttime":
		value = x.d.opt.MachineNow().UTC().Format(time.RFC3339)
	case "aws:epochtime":
		value = strconv.FormatInt(x.d.opt.MachineNow().Unix(), 10)
	default:
		if tag, ok := strings.CutPrefix(name, "aws:principaltag/"); ok && x.e != nil {
			for _, t := range x.e.Tags {
				if strings.EqualFold(t.Key, tag) {
					return []string{t.Value}
				}
			}
		}
	}
	if value != "" {
		return []string{value}
	}
	if x.r.Context == nil {
		return nil
	}
	return x.r.Context(name)
}

func (x *evaluation) principalType() string {
	switch {
	case x.e == nil:
		return ""
	case strings.Contains(x.e.ARN, ":user/"):
		return "User"
	}
	return "AssumedRole"
}

// literally compares with a text whose variables are replaced and whose wildcards are letters.
func (x *evaluation) literally(have, want string, compare func(a, b string) int) bool {
	if !strings.Contains(want, "${") {
		return compare(have, want) == 0
	}
	tokens, ok := x.expand(want)
	for i, r := range tokens {
		switch r {
		case anyRunes:
			tokens[i] = '*'
		case oneRune:
			tokens[i] = '?'
		}
	}
	return ok && compare(have, string(tokens)) == 0
}

func inNetwork(have, want string) bool {
	ip, err := netip.ParseAddr(have)
	if err != nil {
		return false
	}
	ip = ip.Unmap().WithZone("") // networks have no zones
	network, err := netip.ParsePrefix(want)
	if err != nil {
		single, err := netip.ParseAddr(want)
		return err == nil && single.Unmap() == ip
	}
	return network.Contains(ip)
}

func numeric(holds func(a, b float64) bool) operator {
	return func(_ *evaluation, have, want string) bool {
		a, errA := strconv.ParseFloat(have, 64)
		b, errB := strconv.ParseFloat(want, 64)
		return errA == nil && errB == nil && holds(a, b)
	}
}

func dated(holds func(c int) bool) operator {
	return func(_ *evaluation, have, want string) bool {
		a, okA := dateOf(have)
		b, okB := dateOf(want)
		return okA && okB && holds(a.Compare(b))
	}
}

// dateOf reads a date of ISO 8601, or seconds since 1970.
func dateOf(text string) (time.Time, bool) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04Z07:00", "2006-01-02"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, true
		}
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	return time.Unix(seconds, 0), err == nil
}
