package timestream

import (
	"context"
	"time"

	"github.com/weir-db/weir/internal/awsapi/wire"
	"github.com/weir-db/weir/internal/batchload"
	"github.com/weir-db/weir/internal/fault"
)

// Loads is what the door needs of batch load; *batchload.Service is one.
type Loads interface {
	Create(c batchload.Config, token string) (id string, err error)
	Task(id string) (batchload.Task, error)
	Tasks(status batchload.Status, after string, max int) (list []batchload.Task, more bool)
	Resume(id string) error
}

// The nested shapes serve as input and, in the same form, as output.

type dataModelConfiguration struct {
	DataModel                *dataModel
	DataModelS3Configuration *modelLocation
}

type modelLocation struct {
	BucketName *string `check:"len=3..63 pattern=bucket"`
	ObjectKey  *string `check:"len=1..1024"`
}

type dataModel struct {
	TimeColumn           *string            `check:"len=1..256"`
	TimeUnit             *string            `check:"enum=MILLISECONDS,SECONDS,MICROSECONDS,NANOSECONDS"`
	DimensionMappings    []dimensionMapping `check:"required len=1.."`
	MultiMeasureMappings *multiMapping
	MixedMeasureMappings []mixedMapping `check:"len=1.."`
	MeasureNameColumn    *string        `check:"len=1..256"`
}

type dimensionMapping struct {
	SourceColumn      *string `check:"len=1.."`
	DestinationColumn *string `check:"len=1.."`
}

type multiMapping struct {
	TargetMultiMeasureName        *string            `check:"len=1..256"`
	MultiMeasureAttributeMappings []attributeMapping `check:"required len=1.."`
}

type attributeMapping struct {
	SourceColumn                    *string `check:"required len=1.."`
	TargetMultiMeasureAttributeName *string `check:"len=1..256"`
	MeasureValueType                *string `check:"enum=DOUBLE,BIGINT,BOOLEAN,VARCHAR,TIMESTAMP"`
}

type mixedMapping struct {
	MeasureName                   *string            `check:"len=1..256"`
	SourceColumn                  *string            `check:"len=1.."`
	TargetMeasureName             *string            `check:"len=1..256"`
	MeasureValueType              *string            `check:"required enum=DOUBLE,BIGINT,VARCHAR,BOOLEAN,TIMESTAMP,MULTI"`
	MultiMeasureAttributeMappings []attributeMapping `check:"len=1.."`
}

type dataSourceConfiguration struct {
	DataSourceS3Configuration *sourceLocation `check:"required"`
	CsvConfiguration          *csvConfiguration
	DataFormat                *string `check:"required enum=CSV"`
}

type sourceLocation struct {
	BucketName      *string `check:"required len=3..63 pattern=bucket"`
	ObjectKeyPrefix *string `check:"len=1..1024"`
}

type csvConfiguration struct {
	ColumnSeparator *string `check:"len=1..1"`
	EscapeChar      *string `check:"len=1..1"`
	QuoteChar       *string `check:"len=1..1"`
	NullValue       *string `check:"len=1..256"`
	TrimWhiteSpace  *bool
}

type reportConfiguration struct {
	ReportS3Configuration *reportLocation
}

type reportLocation struct {
	BucketName       *string `check:"required len=3..63 pattern=bucket"`
	ObjectKeyPrefix  *string `check:"len=1..928 pattern=prefix"`
	EncryptionOption *string `check:"enum=SSE_S3,SSE_KMS"`
	KmsKeyId         *string `check:"len=1..2048"`
}

type createLoadIn struct {
	ClientToken             *string `check:"len=1..64 secret"`
	DataModelConfiguration  *dataModelConfiguration
	DataSourceConfiguration *dataSourceConfiguration `check:"required"`
	ReportConfiguration     *reportConfiguration     `check:"required"`
	TargetDatabaseName      *string                  `check:"required pattern=name"`
	TargetTableName         *string                  `check:"required pattern=name"`
	RecordVersion           *int64
}

type taskID struct{ TaskId string }

func (s *service) createLoad(_ context.Context, c *wire.Call, in *createLoadIn) (any, error) {
	s.locate(c, *in.TargetDatabaseName, *in.TargetTableName)
	src := in.DataSourceConfiguration.DataSourceS3Configuration
	config := batchload.Config{
		Database: *in.TargetDatabaseName, Table: *in.TargetTableName,
		Source:        batchload.Location{Bucket: *src.BucketName, Key: value(src.ObjectKeyPrefix)},
		RecordVersion: value(in.RecordVersion),
	}
	if in.RecordVersion != nil && *in.RecordVersion < 1 {
		return nil, fault.New(fault.Invalid, "RecordVersion must be at least 1.")
	}
	r := in.ReportConfiguration.ReportS3Configuration
	if r == nil {
		return nil, fault.New(fault.Invalid, "ReportConfiguration needs a ReportS3Configuration.")
	}
	config.Report = batchload.Report{
		Location:   batchload.Location{Bucket: *r.BucketName, Key: value(r.ObjectKeyPrefix)},
		Encryption: value(r.EncryptionOption), KMSKeyID: value(r.KmsKeyId),
	}
	if m := in.DataModelConfiguration; m != nil {
		config.Model = m.DataModel.declared()
		if at := m.DataModelS3Configuration; at != nil {
			config.ModelAt = &batchload.Location{Bucket: value(at.BucketName), Key: value(at.ObjectKey)}
		}
	}
	if csv := in.DataSourceConfiguration.CsvConfiguration; csv != nil {
		config.CSV = &batchload.CSV{
			Separator: value(csv.ColumnSeparator), Quote: value(csv.QuoteChar), Escape: value(csv.EscapeChar), Null: value(csv.NullValue), Trim: value(csv.TrimWhiteSpace),
		}
	}
	if err := c.Check("s3:GetObject", "arn:aws:s3:::"+config.Source.Bucket+"/"+config.Source.Key+"*"); err != nil {
		return nil, err
	}
	if at := config.ModelAt; at != nil {
		if err := c.Check("s3:GetObject", "arn:aws:s3:::"+at.Bucket+"/"+at.Key); err != nil {
			return nil, err
		}
	}
	if err := c.Check("s3:PutObject", "arn:aws:s3:::"+config.Report.Bucket+"/"+config.Report.Key+"*"); err != nil {
		return nil, err
	}
	id, err := s.Loads.Create(config, value(in.ClientToken))
	return taskID{id}, err
}

func (m *dataModel) declared() *batchload.Model {
	if m == nil {
		return nil
	}
	out := &batchload.Model{TimeColumn: value(m.TimeColumn), TimeUnit: value(m.TimeUnit), MeasureNameColumn: value(m.MeasureNameColumn)}
	for _, d := range m.DimensionMappings {
		out.DimensionMappings = append(out.DimensionMappings, batchload.DimensionMapping{SourceColumn: value(d.SourceColumn), DestinationColumn: value(d.DestinationColumn)})
	}
	if mm := m.MultiMeasureMappings; mm != nil {
		out.MultiMeasureMappings = &batchload.MultiMapping{TargetMultiMeasureName: value(mm.TargetMultiMeasureName), MultiMeasureAttributeMappings: attributesOf(mm.MultiMeasureAttributeMappings)}
	}
	for _, x := range m.MixedMeasureMappings {
		out.MixedMeasureMappings = append(out.MixedMeasureMappings, batchload.MixedMapping{
			MeasureName: value(x.MeasureName), SourceColumn: value(x.SourceColumn), TargetMeasureName: value(x.TargetMeasureName),
			MeasureValueType: value(x.MeasureValueType), MultiMeasureAttributeMappings: attributesOf(x.MultiMeasureAttributeMappings),
		})
	}
	return out
}

func attributesOf(list []attributeMapping) []batchload.AttributeMapping {
	var out []batchload.AttributeMapping
	for _, a := range list {
		out = append(out, batchload.AttributeMapping{
			SourceColumn: value(a.SourceColumn), TargetMultiMeasureAttributeName: value(a.TargetMultiMeasureAttributeName), MeasureValueType: value(a.MeasureValueType),
		})
	}
	return out
}

func dataModelShape(m *batchload.Model) *dataModel {
	if m == nil {
		return nil
	}
	out := &dataModel{TimeColumn: given(m.TimeColumn), TimeUnit: given(m.TimeUnit), MeasureNameColumn: given(m.MeasureNameColumn)}
	for _, d := range m.DimensionMappings {
		out.DimensionMappings = append(out.DimensionMappings, dimensionMapping{given(d.SourceColumn), given(d.DestinationColumn)})
	}
	if mm := m.MultiMeasureMappings; mm != nil {
		out.MultiMeasureMappings = &multiMapping{given(mm.TargetMultiMeasureName), attributesShape(mm.MultiMeasureAttributeMappings)}
	}
	for _, x := range m.MixedMeasureMappings {
		out.MixedMeasureMappings = append(out.MixedMeasureMappings, mixedMapping{
			given(x.MeasureName), given(x.SourceColumn), given(x.TargetMeasureName), given(x.MeasureValueType), attributesShape(x.MultiMeasureAttributeMappings),
		})
	}
	return out
}

func attributesShape(list []batchload.AttributeMapping) []attributeMapping {
	var out []attributeMapping
	for _, a := range list {
		out = append(out, attributeMapping{given(a.SourceColumn), given(a.TargetMultiMeasureAttributeName), given(a.MeasureValueType)})
	}
	return out
}

type loadIn struct {
	TaskId *string `check:"required len=3..32 pattern=task"`
}

// loadSummary is a task in a list.
type loadSummary struct {
	TaskId          string
	TaskStatus      string
	DatabaseName    string
	TableName       string
	CreationTime    time.Time
	LastUpdatedTime time.Time
	ResumableUntil  time.Time
}

type loadProgress struct {
	RecordsProcessed, RecordsIngested, ParseFailures, RecordIngestionFailures, FileFailures, BytesMetered int64
}

type loadDescription struct {
	TaskId                  string
	TaskStatus              string
	ErrorMessage            *string
	TargetDatabaseName      string
	TargetTableName         string
	DataModelConfiguration  *dataModelConfiguration
	DataSourceConfiguration *dataSourceConfiguration
	ReportConfiguration     *reportConfiguration
	RecordVersion           int64
	ProgressReport          loadProgress
	CreationTime            time.Time
	LastUpdatedTime         time.Time
	ResumableUntil          time.Time
}

type oneLoad struct{ BatchLoadTaskDescription loadDescription }

func (s *service) describeLoad(_ context.Context, c *wire.Call, in *loadIn) (any, error) {
	t, err := s.Loads.Task(*in.TaskId)
	if err != nil {
		return nil, err
	}
	s.locate(c, t.Config.Database, t.Config.Table)
	return oneLoad{loadShape(&t)}, nil
}

func loadShape(t *batchload.Task) loadDescription {
	c := &t.Config
	format := "CSV"
	out := loadDescription{
		TaskId: t.ID, TaskStatus: string(t.Status), ErrorMessage: given(t.Error),
		TargetDatabaseName: c.Database, TargetTableName: c.Table, RecordVersion: max(1, c.RecordVersion),
		DataSourceConfiguration: &dataSourceConfiguration{DataSourceS3Configuration: &sourceLocation{given(c.Source.Bucket), given(c.Source.Key)}, DataFormat: &format},
		ReportConfiguration:     &reportConfiguration{&reportLocation{given(c.Report.Bucket), given(c.Report.Key), given(c.Report.Encryption), given(c.Report.KMSKeyID)}},
		DataModelConfiguration:  &dataModelConfiguration{DataModel: dataModelShape(c.Model)},
		ProgressReport:          loadProgress(t.Progress),
		CreationTime:            t.Created, LastUpdatedTime: t.Updated, ResumableUntil: t.ResumableUntil,
	}
	if at := c.ModelAt; at != nil {
		out.DataModelConfiguration.DataModelS3Configuration = &modelLocation{given(at.Bucket), given(at.Key)}
	}
	if csv := c.CSV; csv != nil {
		out.DataSourceConfiguration.CsvConfiguration = &csvConfiguration{given(csv.Separator), given(csv.Escape), given(csv.Quote), given(csv.Null), &csv.Trim}
	}
	return out
}

type listLoadsIn struct {
	TaskStatus *string `check:"enum=CREATED,IN_PROGRESS,FAILED,SUCCEEDED,PROGRESS_STOPPED,PENDING_RESUME"`
	MaxResults *int64  `check:"value=1..100"`
	NextToken  *string
}

type listLoadsOut struct {
	BatchLoadTasks []loadSummary
	NextToken      string
}

func (s *service) listLoads(_ context.Context, _ *wire.Call, in *listLoadsIn) (any, error) {
	kind := "loads/" + value(in.TaskStatus)
	after, err := readToken(in.NextToken, kind)
	if err != nil {
		return nil, err
	}
	list, more := s.Loads.Tasks(batchload.Status(value(in.TaskStatus)), after, int(valueOr(in.MaxResults, 100)))
	out := listLoadsOut{BatchLoadTasks: []loadSummary{}}
	for _, t := range list {
		out.BatchLoadTasks = append(out.BatchLoadTasks, loadSummary{t.ID, string(t.Status), t.Config.Database, t.Config.Table, t.Created, t.Updated, t.ResumableUntil})
	}
	if more {
		out.NextToken = token(kind, list[len(list)-1].ID)
	}
	return out, nil
}

func (s *service) resumeLoad(_ context.Context, _ *wire.Call, in *loadIn) (any, error) {
	return struct{}{}, s.Loads.Resume(*in.TaskId)
}
