package iotrule

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/weir-db/weir/internal/arn"
	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/ingest"
	"github.com/weir-db/weir/internal/iotrule/iotsql"
)

const kindTimestream = "timestream"

const (
	maxMeasures   = 100  // records of one WriteRecords call
	maxValueBytes = 2048 // of a measure value
)

// timestreamAction writes the top-level attributes of a rule's output, one
// single-measure record each, by one WriteRecords call with the dimensions and the
// time in common (AWS IoT guide, "Timestream"). With the tag [MultiMeasureTag] it
// writes one multi-measure record instead: then attributes that only feed a
// dimension or the time are left out, all numbers are DOUBLE, so that 20.0 and 20.5
// have one type, and a time that is not given is in nanoseconds, so that messages of
// the same millisecond do not collide.
type timestreamAction struct {
	writer          Writer
	service         *Service
	role            string // that writes
	database, table *iotsql.Template
	dimensions      []dimension
	time            *iotsql.Template // nil: when the rule ran
	unit            *iotsql.Template // nil: milliseconds

	multi string          // measure name; "" for single-measure records
	leave map[string]bool // multi: attributes that are not measures
}

type dimension struct {
	name  string
	value *iotsql.Template
}

func (s *Service) compileTimestream(c *compiled, p *Timestream, at string) (*action, error) {
	at += ".timestream"
	if err := checkRole(p.RoleARN, at+".roleArn"); err != nil {
		return nil, err
	}
	if n := len(p.Dimensions); n == 0 || n > maxDimensions {
		return nil, invalid("%s.dimensions must have 1 to %d entries, not %d.", at, maxDimensions, n)
	}
	t := &timestreamAction{writer: s.opt.Writer, service: s, role: p.RoleARN}
	var err error
	if t.database, err = template(c.stmt, p.Database, at+".databaseName"); err != nil {
		return nil, err
	}
	if t.table, err = template(c.stmt, p.Table, at+".tableName"); err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for i, d := range p.Dimensions {
		at := fmt.Sprintf("%s.dimensions.%d", at, i+1)
		if err := checkDimension(d.Name, at); err != nil {
			return nil, err
		}
		if seen[d.Name] {
			return nil, invalid("%s: the dimension %s is given twice.", at, d.Name)
		}
		seen[d.Name] = true
		value, err := template(c.stmt, d.Value, at+".value")
		if err != nil {
			return nil, err
		}
		t.dimensions = append(t.dimensions, dimension{d.Name, value})
	}
	if p.Timestamp != nil {
		if err := t.setTime(c, p.Timestamp, at+".timestamp"); err != nil {
			return nil, err
		}
	}
	if name, ok := c.tag(MultiMeasureTag); ok {
		t.setMulti(c, name)
	}
	return &action{kind: kindTimestream, failed: "TimestreamAction", resource: p.Database + "/" + p.Table, do: t}, nil
}

func checkDimension(name, at string) error {
	switch {
	case name == "":
		return invalid("%s.name is missing.", at)
	case name == "measure_name" || name == "time" || strings.HasPrefix(name, "measure_value"),
		strings.HasPrefix(name, "ts_"), strings.Contains(name, ":"):
		return invalid("%s.name %q is reserved: it must not be measure_name, measure_value or time, start with ts_ or measure_value, or contain a colon.", at, name)
	}
	return nil
}

func (t *timestreamAction) setTime(c *compiled, p *Timestamp, at string) (err error) {
	if t.time, err = template(c.stmt, p.Value, at+".value"); err != nil {
		return err
	}
	if p.Unit == "" {
		return nil
	}
	if t.unit, err = template(c.stmt, p.Unit, at+".unit"); err != nil {
		return err
	}
	if unit, ok := t.unit.Constant(); ok && !isUnit(unit) {
		return invalid("%s.unit %q is invalid: it must be SECONDS, MILLISECONDS, MICROSECONDS or NANOSECONDS.", at, unit)
	}
	return nil
}

func isUnit(s string) bool {
	switch ingest.TimeUnit(s) {
	case ingest.Seconds, ingest.Milliseconds, ingest.Microseconds, ingest.Nanoseconds:
		return true
	}
	return false
}

func (t *timestreamAction) setMulti(c *compiled, name string) {
	if name == "" {
		name = c.Name
	}
	t.multi, t.leave = name, map[string]bool{}
	for _, d := range t.dimensions {
		t.leave[d.name] = true
		if attribute, ok := d.value.Attribute(); ok {
			t.leave[attribute] = true
		}
	}
	if t.time != nil {
		if attribute, ok := t.time.Attribute(); ok {
			t.leave[attribute] = true
		}
	}
}

// prepare makes the request. An attribute that cannot be a measure value does not
// keep the others from being written; the action then fails all the same.
func (t *timestreamAction) prepare(x *execution) (job, error) {
	if x.result.Value.Kind() != iotsql.Obj {
		return nil, noObject(x)
	}
	req := &ingest.Request{}
	if err := t.common(x, req); err != nil {
		return nil, err
	}
	var b measures
	b.collect(x.result.Value.Members(), t.leave, t.multi != "")
	if len(b.list) > maxMeasures && t.multi == "" {
		return nil, invalid("The output of the rule has %d values; at most %d can be written.", len(b.list), maxMeasures)
	}
	if t.multi != "" {
		b.record(req, t.multi)
	} else {
		b.records(req)
	}
	bad := b.err()
	if len(req.Records) == 0 {
		return nil, bad
	}
	return func(ctx context.Context) error {
		if err := t.write(ctx, req); err != nil {
			return err
		}
		return bad
	}, nil
}

func noObject(x *execution) error {
	if x.result.Raw {
		if _, err := iotsql.ParseJSON(string(x.message.Payload), true); err != nil {
			return invalid("The output of the rule is the payload, and that is not a JSON object: %v.", err)
		}
	}
	return invalid("The output of the rule is not a JSON object.")
}

// common fills in what all records of the message share.
func (t *timestreamAction) common(x *execution, req *ingest.Request) error {
	var err error
	if req.Database, err = substitute(x, t.database, "databaseName"); err != nil {
		return err
	}
	if req.Table, err = substitute(x, t.table, "tableName"); err != nil {
		return err
	}
	req.Common.Dimensions = make([]ingest.Dimension, len(t.dimensions))
	for i, d := range t.dimensions {
		value, err := substitute(x, d.value, "the dimension "+d.name)
		if err != nil {
			return err
		}
		req.Common.Dimensions[i] = ingest.Dimension{Name: d.name, Value: value}
	}
	if t.time == nil {
		req.Common.Time = strconv.FormatInt(x.input.Now.UnixMilli(), 10)
		if t.multi != "" {
			req.Common.Time, req.Common.TimeUnit = strconv.FormatInt(x.input.Now.UnixNano(), 10), ingest.Nanoseconds
		}
		return nil
	}
	if req.Common.Time, err = substitute(x, t.time, "timestamp.value"); err != nil {
		return err
	}
	if t.unit != nil {
		unit, err := substitute(x, t.unit, "timestamp.unit")
		if err != nil {
			return err
		}
		req.Common.TimeUnit = ingest.TimeUnit(unit)
	}
	return nil
}

// substitute evaluates a template that must give a text.
func substitute(x *execution, t *iotsql.Template, what string) (string, error) {
	s, missing := t.Eval(x.input, &x.result)
	switch {
	case missing != "":
		return "", invalid("The value of %s is undefined: the message has nothing for %s.", what, missing)
	case s == "":
		return "", invalid("The value of %s is empty.", what)
	}
	return s, nil
}

// measures collects measure values as texts in one buffer.
type measures struct {
	list []measure
	buf  []byte
	bad  []string // what cannot be written, and why
}

// measure is a name with a type and a text, either str or buf[from:to].
type measure struct {
	name     string
	typ      ingest.ValueType
	str      string
	from, to int
}

func (b *measures) collect(members []iotsql.Member, leave map[string]bool, doubles bool) {
	b.list = make([]measure, 0, len(members))
	for i := range members {
		if m := &members[i]; !leave[m.Key] {
			b.add(m.Key, m.Value, doubles)
		}
	}
}

func (b *measures) add(name string, v iotsql.Value, doubles bool) {
	m := measure{name: name, from: len(b.buf)}
	switch v.Kind() {
	case iotsql.Undefined, iotsql.Null:
		return
	case iotsql.Bool:
		m.typ, m.str = ingest.Boolean, "false"
		if v.Bool() {
			m.str = "true"
		}
	case iotsql.Num:
		m.typ = ingest.Double
		if v.IsInt() && !doubles {
			if _, ok := v.Int64(); !ok {
				b.bad = append(b.bad, fmt.Sprintf("%s is an integer of more than 64 bits", name))
				return
			}
			m.typ = ingest.Bigint
		}
		b.buf = v.AppendNumber(b.buf)
	case iotsql.Str:
		if m.typ, m.str = ingest.Varchar, v.Str(); m.str == "" {
			b.bad = append(b.bad, name+" is an empty string")
			return
		}
	default:
		m.typ = ingest.Varchar
		var err error
		if b.buf, err = v.AppendJSON(b.buf, maxValueBytes); err != nil {
			b.buf = b.buf[:m.from]
			b.bad = append(b.bad, fmt.Sprintf("the JSON text of %s is longer than %d bytes", name, maxValueBytes))
			return
		}
	}
	m.to = len(b.buf)
	b.list = append(b.list, m)
}

// value returns the text of a measure; all is the whole buffer as a string.
func (m *measure) value(all string) string {
	if m.str != "" {
		return m.str
	}
	return all[m.from:m.to]
}

func (b *measures) records(req *ingest.Request) {
	all := string(b.buf)
	req.Records = make([]ingest.Record, len(b.list))
	for i := range b.list {
		m := &b.list[i]
		req.Records[i] = ingest.Record{MeasureName: m.name, MeasureValue: m.value(all), Type: m.typ}
	}
}

func (b *measures) record(req *ingest.Request, name string) {
	if len(b.list) == 0 {
		return
	}
	all := string(b.buf)
	values := make([]ingest.MeasureValue, len(b.list))
	for i := range b.list {
		m := &b.list[i]
		values[i] = ingest.MeasureValue{Name: m.name, Value: m.value(all), Type: m.typ}
	}
	req.Records = []ingest.Record{{MeasureName: name, MeasureValues: values, Type: ingest.Multi}}
}

// err says what could not be written, nil if everything could.
func (b *measures) err() error {
	if len(b.bad) == 0 {
		return nil
	}
	return invalid("Values of the message cannot be stored: %s.", strings.Join(b.bad, "; "))
}

// retryAfter are the pauses before a write is tried again that found the store busy.
var retryAfter = []time.Duration{20 * time.Millisecond, 200 * time.Millisecond}

func (t *timestreamAction) write(ctx context.Context, req *ingest.Request) error {
	if err := t.service.authorize(t.role, "timestream:WriteRecords", arn.Table(t.service.opt.Region, t.service.opt.AccountID, req.Database, req.Table)); err != nil {
		return err
	}
	for try := 0; ; try++ {
		_, err := t.writer.Write(ctx, req)
		busy := fault.Is(err, fault.Throttled) || fault.Is(err, fault.Unavailable)
		if !busy || try == len(retryAfter) {
			return described(req, err)
		}
		pause := time.NewTimer(retryAfter[try])
		select {
		case <-ctx.Done():
			pause.Stop()
			return err
		case <-pause.C:
		}
	}
}

// described names the attributes that a table refused.
func described(req *ingest.Request, err error) error {
	var rejected *ingest.RejectedError
	if !errors.As(err, &rejected) {
		return err
	}
	var b strings.Builder
	for i, r := range rejected.Records {
		if i == 5 {
			fmt.Fprintf(&b, " (and %d more)", len(rejected.Records)-i)
			break
		}
		fmt.Fprintf(&b, " %s: %s", req.Records[r.Index].MeasureName, r.Reason)
	}
	return invalid("Records were rejected by %s/%s:%s", req.Database, req.Table, b.String())
}
