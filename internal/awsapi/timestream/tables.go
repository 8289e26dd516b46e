package timestream

import (
	"context"
	"strings"
	"time"

	"github.com/weir-db/weir/internal/awsapi/wire"
	"github.com/weir-db/weir/internal/catalog"
)

// The nested shapes serve as input and, in the same form, as output.

type retention struct {
	MemoryStoreRetentionPeriodInHours  *int64 `check:"required value=1..8766"`
	MagneticStoreRetentionPeriodInDays *int64 `check:"required value=1..73000"`
}

type magneticWrites struct {
	EnableMagneticStoreWrites         *bool `check:"required"`
	MagneticStoreRejectedDataLocation *rejectedLocation
}

type rejectedLocation struct {
	S3Configuration *s3Configuration
}

type s3Configuration struct {
	BucketName       *string `check:"len=3..63 pattern=bucket"`
	ObjectKeyPrefix  *string `check:"len=1..928 pattern=prefix"`
	EncryptionOption *string `check:"enum=SSE_S3,SSE_KMS"`
	KmsKeyId         *string `check:"len=1..2048"`
}

type schema struct {
	CompositePartitionKey []keyPart `check:"len=1.."`
}

type keyPart struct {
	Type                *string `check:"required enum=DIMENSION,MEASURE"`
	Name                *string `check:"len=1.."`
	EnforcementInRecord *string `check:"enum=REQUIRED,OPTIONAL"`
}

func (r *retention) declared() *catalog.Retention {
	if r == nil {
		return nil
	}
	return &catalog.Retention{MemoryHours: *r.MemoryStoreRetentionPeriodInHours, MagneticDays: *r.MagneticStoreRetentionPeriodInDays}
}

// mayReport asks whether the caller may write where reports of refused records shall go.
func (m *magneticWrites) mayReport(c *wire.Call) error {
	if m == nil || m.MagneticStoreRejectedDataLocation == nil || m.MagneticStoreRejectedDataLocation.S3Configuration == nil {
		return nil
	}
	at := m.MagneticStoreRejectedDataLocation.S3Configuration
	return c.Check("s3:PutObject", "arn:aws:s3:::"+value(at.BucketName)+"/"+value(at.ObjectKeyPrefix)+"*")
}

func (m *magneticWrites) declared() *catalog.MagneticWrites {
	if m == nil {
		return nil
	}
	out := &catalog.MagneticWrites{Enabled: *m.EnableMagneticStoreWrites}
	if l := m.MagneticStoreRejectedDataLocation; l != nil {
		out.Rejected = &catalog.RejectedLocation{}
		if c := l.S3Configuration; c != nil {
			*out.Rejected = catalog.RejectedLocation{
				S3: true, Bucket: value(c.BucketName), Prefix: value(c.ObjectKeyPrefix), Encryption: value(c.EncryptionOption), KMSKeyID: value(c.KmsKeyId),
			}
		}
	}
	return out
}

func (s *schema) declared() []catalog.KeyPart {
	if s == nil {
		return nil
	}
	var parts []catalog.KeyPart
	for _, p := range s.CompositePartitionKey {
		parts = append(parts, catalog.KeyPart{Type: value(p.Type), Name: value(p.Name), Enforcement: value(p.EnforcementInRecord)})
	}
	return parts
}

type tableOut struct {
	Arn                          string
	TableName                    string
	DatabaseName                 string
	TableStatus                  string
	RetentionProperties          retention
	CreationTime                 time.Time
	LastUpdatedTime              time.Time
	MagneticStoreWriteProperties magneticWrites
	Schema                       schema
}

func tableShape(t *catalog.Table) *tableOut {
	return &tableOut{
		Arn: t.ARN, TableName: t.ID.Table, DatabaseName: t.ID.Database, TableStatus: "ACTIVE",
		RetentionProperties: retention{&t.Retention.MemoryHours, &t.Retention.MagneticDays},
		CreationTime:        t.Created, LastUpdatedTime: t.Updated,
		MagneticStoreWriteProperties: magneticShape(&t.Magnetic),
		Schema:                       schemaShape(t.Key),
	}
}

func magneticShape(m *catalog.MagneticWrites) magneticWrites {
	out := magneticWrites{EnableMagneticStoreWrites: &m.Enabled}
	if l := m.Rejected; l != nil {
		out.MagneticStoreRejectedDataLocation = &rejectedLocation{}
		if l.S3 {
			out.MagneticStoreRejectedDataLocation.S3Configuration = &s3Configuration{given(l.Bucket), given(l.Prefix), given(l.Encryption), given(l.KMSKeyID)}
		}
	}
	return out
}

func schemaShape(k catalog.PartitionKey) schema {
	var out schema
	for _, p := range k.Parts() {
		out.CompositePartitionKey = append(out.CompositePartitionKey, keyPart{given(p.Type), given(p.Name), given(p.Enforcement)})
	}
	return out
}

// given returns nil for "".
func given(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

type oneTable struct{ Table *tableOut }

type createTableIn struct {
	DatabaseName                 *string `check:"required pattern=name"`
	TableName                    *string `check:"required pattern=name"`
	RetentionProperties          *retention
	Tags                         []tagIn `check:"len=0..200"`
	MagneticStoreWriteProperties *magneticWrites
	Schema                       *schema
}

func (s *service) createTable(ctx context.Context, c *wire.Call, in *createTableIn) (any, error) {
	if err := in.MagneticStoreWriteProperties.mayReport(c); err != nil {
		return nil, err
	}
	defer s.locate(c, *in.DatabaseName, *in.TableName)
	t, err := s.Catalog.CreateTable(ctx, catalog.NewTable{
		Database: *in.DatabaseName, Name: *in.TableName, Retention: in.RetentionProperties.declared(),
		Magnetic: in.MagneticStoreWriteProperties.declared(), Key: in.Schema.declared(), Tags: tagsOf(in.Tags),
	})
	if err != nil {
		return nil, err
	}
	return oneTable{tableShape(t)}, nil
}

type tableIn struct {
	DatabaseName *string `check:"required"`
	TableName    *string `check:"required"`
}

func (s *service) describeTable(_ context.Context, c *wire.Call, in *tableIn) (any, error) {
	s.locate(c, *in.DatabaseName, *in.TableName)
	t, err := s.Catalog.Table(*in.DatabaseName, *in.TableName)
	if err != nil {
		return nil, err
	}
	return oneTable{tableShape(t)}, nil
}

type updateTableIn struct {
	DatabaseName                 *string `check:"required"`
	TableName                    *string `check:"required"`
	RetentionProperties          *retention
	MagneticStoreWriteProperties *magneticWrites
	Schema                       *schema
}

func (s *service) updateTable(ctx context.Context, c *wire.Call, in *updateTableIn) (any, error) {
	if err := in.MagneticStoreWriteProperties.mayReport(c); err != nil {
		return nil, err
	}
	s.locate(c, *in.DatabaseName, *in.TableName)
	t, err := s.Catalog.UpdateTable(ctx, *in.DatabaseName, *in.TableName, catalog.TableChange{
		Retention: in.RetentionProperties.declared(), Magnetic: in.MagneticStoreWriteProperties.declared(), Key: in.Schema.declared(),
	})
	if err != nil {
		return nil, err
	}
	return oneTable{tableShape(t)}, nil
}

func (s *service) deleteTable(ctx context.Context, c *wire.Call, in *tableIn) (any, error) {
	s.locate(c, *in.DatabaseName, *in.TableName)
	return nil, s.Catalog.DeleteTable(ctx, *in.DatabaseName, *in.TableName)
}

type listTablesIn struct {
	DatabaseName *string
	NextToken    *string
	MaxResults   *int64 `check:"value=1..20"`
}

type listTablesOut struct {
	Tables    []*tableOut
	NextToken string
}

func (s *service) listTables(_ context.Context, c *wire.Call, in *listTablesIn) (any, error) {
	s.locate(c, value(in.DatabaseName), "")
	kind := "tables"
	if in.DatabaseName != nil {
		kind += "/" + *in.DatabaseName
	}
	after, err := readToken(in.NextToken, kind)
	if err != nil {
		return nil, err
	}
	database, table, _ := strings.Cut(after, "/")
	size := int(valueOr(in.MaxResults, defaultPage))
	var list []*catalog.Table
	var more bool
	if in.DatabaseName != nil {
		list, more, err = s.Catalog.Tables(*in.DatabaseName, table, size)
	} else {
		list, more = s.Catalog.AllTables(database, table, size)
	}
	if err != nil {
		return nil, err
	}
	out := listTablesOut{Tables: make([]*tableOut, len(list))}
	for i, t := range list {
		out.Tables[i] = tableShape(t)
	}
	if more {
		last := list[len(list)-1]
		out.NextToken = token(kind, last.ID.Database+"/"+last.ID.Table)
	}
	return out, nil
}
