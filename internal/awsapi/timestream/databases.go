package timestream

import (
	"context"
	"encoding/base64"
	"strings"
	"time"

	"github.com/weir-db/weir/internal/awsapi/wire"
	"github.com/weir-db/weir/internal/catalog"
	"github.com/weir-db/weir/internal/fault"
)

// The fields of inputs and outputs have the API's names.

type databaseOut struct {
	Arn             string
	DatabaseName    string
	TableCount      int64
	KmsKeyId        string
	CreationTime    time.Time
	LastUpdatedTime time.Time
}

func databaseShape(d *catalog.Database) *databaseOut {
	return &databaseOut{
		Arn: d.ARN, DatabaseName: d.Name, TableCount: int64(d.TableCount()), KmsKeyId: d.KMSKeyID,
		CreationTime: d.Created, LastUpdatedTime: d.Updated,
	}
}

type oneDatabase struct{ Database *databaseOut }

type createDatabaseIn struct {
	DatabaseName *string `check:"required pattern=name"`
	KmsKeyId     *string `check:"len=1..2048"`
	Tags         []tagIn `check:"len=0..200"`
}

func (s *service) createDatabase(ctx context.Context, c *wire.Call, in *createDatabaseIn) (any, error) {
	defer s.locate(c, *in.DatabaseName, "")
	d, err := s.Catalog.CreateDatabase(ctx, *in.DatabaseName, value(in.KmsKeyId), tagsOf(in.Tags))
	if err != nil {
		return nil, err
	}
	return oneDatabase{databaseShape(d)}, nil
}

type databaseIn struct {
	DatabaseName *string `check:"required"`
}

func (s *service) describeDatabase(_ context.Context, c *wire.Call, in *databaseIn) (any, error) {
	s.locate(c, *in.DatabaseName, "")
	d, err := s.Catalog.Database(*in.DatabaseName)
	if err != nil {
		return nil, err
	}
	return oneDatabase{databaseShape(d)}, nil
}

type updateDatabaseIn struct {
	DatabaseName *string `check:"required"`
	KmsKeyId     *string `check:"required len=1..2048"`
}

func (s *service) updateDatabase(ctx context.Context, c *wire.Call, in *updateDatabaseIn) (any, error) {
	s.locate(c, *in.DatabaseName, "")
	d, err := s.Catalog.UpdateDatabase(ctx, *in.DatabaseName, *in.KmsKeyId)
	if err != nil {
		return nil, err
	}
	return oneDatabase{databaseShape(d)}, nil
}

func (s *service) deleteDatabase(ctx context.Context, c *wire.Call, in *databaseIn) (any, error) {
	s.locate(c, *in.DatabaseName, "")
	return nil, s.Catalog.DeleteDatabase(ctx, *in.DatabaseName)
}

type listDatabasesIn struct {
	NextToken  *string
	MaxResults *int64 `check:"value=1..20"`
}

type listDatabasesOut struct {
	Databases []*databaseOut
	NextToken string
}

// defaultPage is the page size of the lists when MaxResults is absent.
const defaultPage = 20

func (s *service) listDatabases(_ context.Context, _ *wire.Call, in *listDatabasesIn) (any, error) {
	after, err := readToken(in.NextToken, "databases")
	if err != nil {
		return nil, err
	}
	list, more := s.Catalog.Databases(after, int(valueOr(in.MaxResults, defaultPage)))
	out := listDatabasesOut{Databases: make([]*databaseOut, len(list))}
	for i, d := range list {
		out.Databases[i] = databaseShape(d)
	}
	if more {
		out.NextToken = token("databases", list[len(list)-1].Name)
	}
	return out, nil
}

// token continues a list after the entry of that name. kind says which list, so
// that a token serves no other.
func token(kind, after string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(kind + ":" + after))
}

// readToken returns what the list continues after, "" without a token.
func readToken(t *string, kind string) (after string, err error) {
	if t == nil {
		return "", nil
	}
	text, err := base64.RawURLEncoding.DecodeString(*t)
	after, ok := strings.CutPrefix(string(text), kind+":")
	if err != nil || !ok {
		return "", fault.New(fault.Invalid, "Invalid pagination token")
	}
	return after, nil
}

// value returns what p points to, or the zero value.
func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

func valueOr[T any](p *T, otherwise T) T {
	if p != nil {
		return *p
	}
	return otherwise
}
