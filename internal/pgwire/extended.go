package pgwire

import (
	"github.com/jackc/pgx/v5/pgproto3"
	"strconv"

	"github.com/weir-db/weir/internal/vec"
)

// extended acts on a message of the extended protocol.
func (c *session) extended(m pgproto3.FrontendMessage) error {
	switch m := m.(type) {
	case *pgproto3.Parse:
		return c.parse(m)
	case *pgproto3.Bind:
		return c.bind(m)
	case *pgproto3.Describe:
		return c.describeObject(m)
	case *pgproto3.Execute:
		return c.execute(m)
	case *pgproto3.Close:
		if m.ObjectType == 'S' {
			delete(c.statements, m.Name)
		} else {
			c.closePortal(m.Name)
		}
		c.send(&pgproto3.CloseComplete{})
		return nil
	case *pgproto3.FunctionCall:
		return errorf(stateUnsupported, "function calls by messages of their own are not supported")
	}
	return fatalf(stateProtocol, "unexpected message")
}

func (c *session) parse(m *pgproto3.Parse) error {
	if m.Name != "" && c.statements[m.Name] != nil {
		return errorf(stateDuplicatePrep, "prepared statement %q already exists", m.Name)
	}
	if len(c.statements) >= c.server.opts.MaxStatements && c.statements[m.Name] == nil {
		return errorf(stateProgramLimit, "a connection may have %d prepared statements", c.server.opts.MaxStatements)
	}
	delete(c.statements, m.Name)
	st, err := c.newStatement(m.Query, m.ParameterOIDs, true)
	if err != nil {
		return err
	}
	c.statements[m.Name] = st
	c.send(&pgproto3.ParseComplete{})
	return nil
}

func (c *session) statement(name string) (*statement, error) {
	if st := c.statements[name]; st != nil {
		return st, nil
	}
	if name == "" {
		return nil, errorf(stateNoStatement, "unnamed prepared statement does not exist")
	}
	return nil, errorf(stateNoStatement, "prepared statement %q does not exist", name)
}

func (c *session) bind(m *pgproto3.Bind) error {
	st, err := c.statement(m.PreparedStatement)
	if err != nil {
		return err
	}
	if len(m.Parameters) != len(st.params) {
		return errorf(stateProtocol, "bind message supplies %d parameters, but prepared statement %q requires %d", len(m.Parameters), m.PreparedStatement, len(st.params))
	}
	if n := len(m.ParameterFormatCodes); n > 1 && n != len(m.Parameters) {
		return errorf(stateProtocol, "bind message has %d parameter formats but %d parameters", n, len(m.Parameters))
	}
	if m.DestinationPortal == "" {
		c.closePortal("")
	}
	p := &portal{session: c, statement: st, formats: m.ResultFormatCodes, params: map[string]vec.Value{}}
	for i, value := range m.Parameters {
		format := int16(0)
		switch len(m.ParameterFormatCodes) {
		case 0:
		case 1:
			format = m.ParameterFormatCodes[0]
		default:
			format = m.ParameterFormatCodes[i]
		}
		v, err := st.params[i].value(value, format)
		if err != nil {
			return err
		}
		p.params[strconv.Itoa(i+1)] = v
	}
	if err := c.addPortal(m.DestinationPortal, p); err != nil {
		return err
	}
	c.send(&pgproto3.BindComplete{})
	return nil
}

func (c *session) addPortal(name string, p *portal) error {
	if c.portals[name] != nil {
		return errorf(stateDuplicate, "cursor %q already exists", name)
	}
	if len(c.portals) >= c.server.opts.MaxStatements {
		return errorf(stateProgramLimit, "a connection may have %d portals", c.server.opts.MaxStatements)
	}
	c.portals[name] = p
	return nil
}

func (c *session) closePortal(name string) {
	if p := c.portals[name]; p != nil {
		p.close()
		delete(c.portals, name)
	}
}

func (c *session) portal(name string) (*portal, error) {
	if p := c.portals[name]; p != nil {
		return p, nil
	}
	return nil, errorf(stateNoPortal, "portal %q does not exist", name)
}

func (c *session) describeObject(m *pgproto3.Describe) error {
	if m.ObjectType == 'S' {
		st, err := c.statement(m.Name)
		if err != nil {
			return err
		}
		told := &pgproto3.ParameterDescription{ParameterOIDs: []uint32{}}
		for _, p := range st.params {
			told.ParameterOIDs = append(told.ParameterOIDs, p.oid)
		}
		c.send(told)
		if !st.described {
			c.sendColumns(&portal{session: c, statement: st})
			return nil
		}
		columns := make([]output, len(st.told))
		for i := range columns {
			columns[i] = output{told: st.told[i], name: st.names[i]}
		}
		c.send((*portal)(nil).description(columns))
		return nil
	}
	p, err := c.portal(m.Name)
	if err != nil {
		return err
	}
	if err := p.open(); err != nil {
		return err
	}
	c.sendColumns(p)
	return nil
}

func (c *session) sendColumns(p *portal) {
	if columns := p.columns(); columns != nil {
		c.send(p.description(columns))
	} else {
		c.send(&pgproto3.NoData{})
	}
}

func (c *session) execute(m *pgproto3.Execute) error {
	p, err := c.portal(m.Portal)
	if err != nil {
		return err
	}
	if c.transaction == 'E' && p.statement.sql != "" {
		return errorf(stateAborted, "current transaction is aborted, commands ignored until end of transaction block")
	}
	return p.run(int(m.MaxRows))
}
