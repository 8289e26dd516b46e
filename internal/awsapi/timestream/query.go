package timestream

import (
	"context"

	"github.com/weir-db/weir/internal/awsapi/wire"
	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/query"
)

type queryIn struct {
	QueryString   *string `check:"len=1..262144 secret"` // required on the first page
	ClientToken   *string `check:"len=32..128 secret"`
	NextToken     *string `check:"len=1..2048"`
	MaxRows       *int64  `check:"value=1..1000"`
	QueryInsights *struct {
		Mode *string `check:"required enum=ENABLED_WITH_RATE_CONTROL,DISABLED"`
	}
}

// firstQueryIn is what a call without a token must have besides. A follow-up may come
// without its QueryString: the Athena connector leaves it out.
type firstQueryIn struct {
	QueryString *string `check:"required"`
}

func (s *service) query(ctx context.Context, c *wire.Call) (wire.Response, error) {
	in := new(queryIn)
	if err := c.Decode(in); err != nil {
		return wire.Response{}, err
	}
	if in.NextToken == nil && in.QueryString == nil {
		return wire.Response{}, exception(check(&firstQueryIn{}))
	}
	if err := check(in); err != nil {
		return wire.Response{}, exception(err)
	}
	insights := in.QueryInsights != nil && *in.QueryInsights.Mode == "ENABLED_WITH_RATE_CONTROL"
	page, err := s.Queries.Query(ctx, query.Request{
		Caller: c.Caller.ARN, SQL: value(in.QueryString), NextToken: value(in.NextToken), ClientToken: value(in.ClientToken),
		MaxRows: int(value(in.MaxRows)), Insights: insights,
	})
	if err != nil {
		return wire.Response{}, exception(err)
	}
	if page.NextToken == "" { // the figure is cumulative: count it once
		c.BytesMetered = page.BytesMetered
	}
	frame, at := s.appendPage(c.Buffer(), page)
	return wire.Pieces(page.Release, frame[:at], rowsOf(page), frame[at:]), nil
}

type cancelQueryIn struct {
	QueryId *string `check:"required len=1..64 pattern=id"`
}

type cancelQueryOut struct{ CancellationMessage string }

func (s *service) cancelQuery(ctx context.Context, c *wire.Call, in *cancelQueryIn) (any, error) {
	message, err := s.Queries.Cancel(ctx, c.Caller.ARN, *in.QueryId)
	if err != nil {
		return nil, err
	}
	return cancelQueryOut{message}, nil
}

type prepareQueryIn struct {
	QueryString  *string `check:"required len=1..262144 secret"`
	ValidateOnly *bool
}

type prepareQueryOut struct {
	QueryString string
	Columns     []preparedColumn
	Parameters  []preparedParameter
}

type preparedColumn struct {
	Name         string
	Type         *typeOut
	DatabaseName string
	TableName    string
	Aliased      bool
}

type preparedParameter struct {
	Name string
	Type *typeOut
}

func (s *service) prepareQuery(ctx context.Context, c *wire.Call, in *prepareQueryIn) (any, error) {
	if !value(in.ValidateOnly) {
		return nil, fault.New(fault.Invalid, "ValidateOnly must be true. Timestream only supports validation of the query.")
	}
	p, err := s.Queries.Prepare(ctx, c.Caller.ARN, *in.QueryString)
	if err != nil {
		return nil, err
	}
	out := prepareQueryOut{QueryString: p.SQL, Columns: []preparedColumn{}, Parameters: []preparedParameter{}}
	for i, col := range p.Columns {
		out.Columns = append(out.Columns, preparedColumn{
			Name: columnName(col.Name, i), Type: typeShape(col.Type), DatabaseName: col.Database, TableName: col.Table, Aliased: col.Aliased,
		})
	}
	for _, param := range p.Parameters {
		out.Parameters = append(out.Parameters, preparedParameter{param.Name, typeShape(param.Type)})
	}
	return out, nil
}
