package pgwire

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/query"
	"github.com/weir-db/weir/internal/vec"
)

// portal is a statement with its parameters, and how far its rows were sent.
type portal struct {
	session   *session
	statement *statement
	params    map[string]vec.Value
	formats   []int16 // of results: none, one for all, or one each
	hold      bool    // of a cursor that outlives its transaction

	stream *query.Stream
	cancel context.CancelCauseFunc
	stop   func() // ends the statement's time limit
	cols   []output
	batch  *vec.Batch
	at     int // row of batch that is next
	done   bool
	silent bool // rows are passed over
}

// output is a column of a result.
type output struct {
	columnType
	told   columnType // what the client knows of it
	name   string
	binary bool
}

// open begins to run a query; nothing is read yet. Statements about the session run in run.
func (p *portal) open() error {
	st, c := p.statement, p.session
	if st.sql == "" || p.stream != nil {
		return nil
	}
	if err := c.stillAllowed(); err != nil {
		return err
	}
	c.server.meters.statements.Add(1)
	ctx, cancel := context.WithCancelCause(c.conditions(c.server.ctx))
	p.cancel, p.stop = cancel, func() {}
	if limit := c.settings.timeout(); limit > 0 {
		timer := time.AfterFunc(limit, func() {
			cancel(fault.New(fault.Cancelled, "canceling statement due to statement timeout"))
		})
		p.stop = func() { timer.Stop() }
	}
	err := c.work(cancel, func() (err error) {
		p.stream, err = c.server.opts.Queries.Stream(ctx, c.request(st.sql, p.params))
		return err
	})
	if err != nil {
		cancel(nil)
		p.stop()
		return err
	}
	return p.describe()
}

// describe makes the columns of the result; they must be those that the client was told when it prepared the statement.
func (p *portal) describe() error {
	st := p.statement
	for i, col := range p.stream.Columns {
		o := output{columnType: typeOf(col.Type), name: columnName(col.Name)}
		o.told = o.columnType
		if st.described {
			if len(st.told) != len(p.stream.Columns) || st.told[i].oid != o.oid && st.told[i].kind != vec.Unknown {
				return errorf(statePlanChanged, "cached plan must not change result type")
			}
			o.told = st.told[i]
		}
		switch len(p.formats) {
		case 0:
		case 1:
			o.binary = p.formats[0] == 1
		case len(p.stream.Columns):
			o.binary = p.formats[i] == 1
		default:
			return errorf(stateProtocol, "bind message has %d result formats but query has %d columns", len(p.formats), len(p.stream.Columns))
		}
		if o.told.oid != o.oid { // a text, whose two forms are the same
			o.binary = false
		}
		p.cols = append(p.cols, o)
	}
	return nil
}

// columns returns the columns of the result; nil if there is none.
func (p *portal) columns() []output {
	switch {
	case p.stream != nil:
		return p.cols
	case p.statement.show != "":
		return p.session.showColumns(p.statement)
	case p.statement.cursor != nil && !p.statement.cursor.move:
		if target := p.session.portals[p.statement.cursor.name]; target != nil {
			return target.columns()
		}
	}
	return nil
}

// description is the message that tells columns.
func (p *portal) description(columns []output) *pgproto3.RowDescription {
	m := &pgproto3.RowDescription{Fields: make([]pgproto3.FieldDescription, len(columns))}
	for i, col := range columns {
		format := int16(0)
		if col.binary {
			format = 1
		}
		m.Fields[i] = pgproto3.FieldDescription{Name: []byte(col.name), DataTypeOID: col.told.oid, DataTypeSize: col.told.size, TypeModifier: -1, Format: format}
	}
	return m
}

// run sends at most limit rows, 0 for all that are left, and how it ended.
func (p *portal) run(limit int) error {
	st, c := p.statement, p.session
	switch {
	case st.text == "":
		c.send(&pgproto3.EmptyQueryResponse{})
		return nil
	case st.sql == "":
		return p.runCommand()
	}
	if err := p.open(); err != nil {
		return err
	}
	n, err := p.rows(limit)
	if err != nil {
		return err
	}
	if !p.done {
		c.send(&pgproto3.PortalSuspended{})
		return nil
	}
	c.send(&pgproto3.CommandComplete{CommandTag: []byte("SELECT " + strconv.FormatInt(n, 10))})
	return nil
}

// rows sends at most limit rows, 0 for all that are left.
func (p *portal) rows(limit int) (n int64, err error) {
	err = p.session.work(p.cancel, func() error {
		n, err = p.sendRows(limit)
		return err
	})
	p.session.server.meters.rows.Add(n)
	return n, err
}

func (p *portal) sendRows(limit int) (n int64, err error) {
	for !p.done {
		if p.batch == nil {
			if p.batch, err = p.stream.Next(); err != nil {
				return n, err
			}
			if p.at = 0; p.batch == nil {
				p.done = true
				p.close()
				break
			}
		}
		if limit > 0 && n == int64(limit) {
			break
		}
		from, to := p.at, p.batch.Len
		if limit > 0 {
			to = int(min(int64(to), int64(from)+int64(limit)-n))
		}
		if !p.silent {
			if err := p.sendBatch(from, to); err != nil {
				return n, err
			}
		}
		n += int64(to - from)
		if p.at = to; to == p.batch.Len {
			p.batch = nil
		}
	}
	return n, nil
}

// sendBatch sends rows from <= i < to of the batch.
func (p *portal) sendBatch(from, to int) error {
	c := p.session
	dst := c.out
	for i := from; i < to; i++ {
		start := len(dst)
		dst = append(dst, 'D', 0, 0, 0, 0)
		dst = binary.BigEndian.AppendUint16(dst, uint16(len(p.cols)))
		for k := range p.cols {
			v, slot := p.batch.Columns[k].At(i)
			if isNull(v, slot) {
				dst = binary.BigEndian.AppendUint32(dst, math.MaxUint32)
				continue
			}
			at := len(dst)
			dst = append(dst, 0, 0, 0, 0)
			if p.cols[k].binary {
				dst = p.cols[k].appendBinary(dst, v, slot)
			} else {
				dst = p.cols[k].appendText(dst, v, slot)
			}
			binary.BigEndian.PutUint32(dst[at:], uint32(len(dst)-at-4))
		}
		binary.BigEndian.PutUint32(dst[start+1:], uint32(len(dst)-start-1))
		if len(dst) > flushBytes {
			c.out = dst
			if err := c.flush(); err != nil {
				return errors.Join(errGone, err)
			}
			dst = c.out
		}
	}
	c.out = dst
	return nil
}

// close ends the query. It may be called again.
func (p *portal) close() {
	if p.stream != nil && p.cancel != nil {
		p.stream.Close()
		p.stop()
		p.cancel(nil)
		p.cancel = nil
		p.batch, p.done = nil, true
	}
}

// closePortals closes the portals of a transaction that ended, or all.
func (c *session) closePortals(all bool) {
	for name, p := range c.portals {
		if all || !p.hold {
			p.close()
			delete(c.portals, name)
		}
	}
}
