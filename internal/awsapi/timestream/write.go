package timestream

import (
	"context"
	"strconv"

	"github.com/weir-db/weir/internal/awsapi/wire"
	"github.com/weir-db/weir/internal/ingest"
)

func (s *service) writeRecords(ctx context.Context, c *wire.Call) (wire.Response, error) {
	d := takeDecoder()
	defer d.release()
	req, err := d.decode(c.Body, s.Ingest.Limits())
	if err != nil {
		return wire.Response{}, err
	}
	if c.Allow != nil {
		if err := c.Allow("timestream:WriteRecords", s.Catalog.TableARN(req.Database, req.Table)); err != nil {
			return wire.Response{}, err
		}
	}
	s.locate(c, req.Database, req.Table)
	result, err := s.Ingest.Write(ctx, req)
	c.Records, c.BytesMetered = int64(result.Total), result.BytesMetered
	if err != nil {
		return wire.Response{}, exception(err)
	}
	dst := append(c.Buffer(), `{"RecordsIngested":{"Total":`...)
	dst = strconv.AppendInt(dst, int64(result.Total), 10)
	dst = append(dst, `,"MemoryStore":`...)
	dst = strconv.AppendInt(dst, int64(result.Memory), 10)
	dst = append(dst, `,"MagneticStore":`...)
	dst = strconv.AppendInt(dst, int64(result.Magnetic), 10)
	return wire.Recycled(append(dst, "}}"...)), nil
}

// rejectedShape has the status of the live service, which SDKs do not retry.
var rejectedShape = wire.Shape{Name: "RejectedRecordsException", Status: 419}

func rejectedException(r *ingest.RejectedError) *wire.Exception {
	e := wire.Newf(rejectedShape, ingest.RejectedMessage)
	list := []byte{'['}
	for i := range r.Records {
		if i > 0 {
			list = append(list, ',')
		}
		list = append(list, `{"RecordIndex":`...)
		list = strconv.AppendInt(list, int64(r.Records[i].Index), 10)
		list = append(list, `,"Reason":`...)
		list = wire.AppendString(list, r.Records[i].Reason)
		if v := r.Records[i].ExistingVersion; v != 0 {
			list = append(list, `,"ExistingVersion":`...)
			list = strconv.AppendInt(list, v, 10)
		}
		list = append(list, '}')
	}
	e.Extra = []wire.Member{{Name: "RejectedRecords", JSON: append(list, ']')}}
	e.Err = r
	return e
}
