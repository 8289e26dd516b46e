package s3

import (
	"encoding/xml"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/weir-db/weir/internal/objstore"
)

func (q *request) upload() (objstore.Upload, error) {
	return q.Buckets.Upload(q.bucket, q.key, q.r.URL.Query().Get("uploadId"))
}

func (q *request) createUpload() error {
	if err := q.checkKey(); err != nil {
		return err
	}
	if err := refuseUnsupported(q.r.Header); err != nil {
		return err
	}
	a, err := attributes(q.r.Header)
	if err != nil {
		return err
	}
	u, err := q.Buckets.CreateUpload(q.bucket, q.key, a)
	if err != nil {
		return err
	}
	setEncryption(q.Header(), a)
	if algorithm := q.r.Header.Get("X-Amz-Checksum-Algorithm"); algorithm != "" {
		q.Header().Set("X-Amz-Checksum-Algorithm", algorithm)
	}
	return q.answer(struct {
		XMLName  xml.Name `xml:"InitiateMultipartUploadResult"`
		NS       string   `xml:"xmlns,attr"`
		Bucket   string
		Key      string
		UploadID string `xml:"UploadId"`
	}{NS: namespace, Bucket: q.bucket, Key: q.key, UploadID: u.ID})
}

func (q *request) uploadPart() error {
	u, err := q.upload()
	if err != nil {
		return err
	}
	n, err := q.partNumber()
	if err != nil {
		return err
	}
	w, err := q.Buckets.CreatePart(q.r.Context(), u, n)
	if err != nil {
		return err
	}
	defer w.Abort()
	sums, err := q.receive(w, w.MD5)
	if err != nil {
		return err
	}
	p, err := w.Commit()
	if err != nil {
		return err
	}
	q.Header().Set("Etag", quoted(p.ETag))
	for algorithm, value := range sums {
		q.Header().Set(checksumPrefix+algorithm, value)
	}
	return q.empty(http.StatusOK)
}

func (q *request) copyPart() error {
	u, err := q.upload()
	if err != nil {
		return err
	}
	n, err := q.partNumber()
	if err != nil {
		return err
	}
	from, info, err := q.source()
	if err != nil {
		return err
	}
	defer from.Close()
	start, end, _, err := byteRange(q.r.Header.Get("X-Amz-Copy-Source-Range"), info.SizeBytes)
	if err != nil {
		return err
	}
	w, err := q.Buckets.CreatePart(q.r.Context(), u, n)
	if err != nil {
		return err
	}
	defer w.Abort()
	if _, err := io.CopyBuffer(onlyWriter{w}, onlyReader{io.NewSectionReader(from, start, end-start)}, make([]byte, 128<<10)); err != nil {
		return err
	}
	p, err := w.Commit()
	if err != nil {
		return err
	}
	return q.answer(copied{XMLName: xml.Name{Local: "CopyPartResult"}, NS: namespace, LastModified: stamp(u.Initiated), ETag: quoted(p.ETag)})
}

func (q *request) completeUpload() error {
	u, err := q.upload()
	if err != nil {
		return err
	}
	var in struct {
		Part []struct {
			PartNumber int
			ETag       string
		}
	}
	if err := q.decode(&in); err != nil {
		return err
	}
	if len(in.Part) == 0 {
		return errMalformedXML
	}
	named := make([]objstore.Part, len(in.Part))
	for i, p := range in.Part {
		named[i] = objstore.Part{Number: p.PartNumber, ETag: strings.Trim(p.ETag, `"`)}
	}
	o, err := q.Buckets.CompleteUpload(q.r.Context(), u, named, writeCondition(q.r.Header))
	if err != nil {
		return err
	}
	setEncryption(q.Header(), u.Attributes)
	return q.answer(struct {
		XMLName                     xml.Name `xml:"CompleteMultipartUploadResult"`
		NS                          string   `xml:"xmlns,attr"`
		Location, Bucket, Key, ETag string
	}{NS: namespace, Location: "/" + q.bucket + "/" + q.key, Bucket: q.bucket, Key: q.key, ETag: quoted(o.ETag)})
}

func (q *request) abortUpload() error {
	u, err := q.upload()
	if err != nil {
		return err
	}
	if err := q.Buckets.AbortUpload(u); err != nil {
		return err
	}
	return q.empty(http.StatusNoContent)
}

func (q *request) listParts() error {
	u, err := q.upload()
	if err != nil {
		return err
	}
	all, err := q.Buckets.Parts(u)
	if err != nil {
		return err
	}
	type part struct {
		PartNumber   int
		LastModified string
		ETag         string
		Size         int64
	}
	v := q.r.URL.Query()
	out := struct {
		XMLName              xml.Name `xml:"ListPartsResult"`
		NS                   string   `xml:"xmlns,attr"`
		Bucket, Key          string
		UploadID             string `xml:"UploadId"`
		Initiator, Owner     owner
		StorageClass         string
		PartNumberMarker     int
		NextPartNumberMarker int
		MaxParts             int
		IsTruncated          bool
		Part                 []part
	}{NS: namespace, Bucket: q.bucket, Key: q.key, UploadID: u.ID, Initiator: q.owner(), Owner: q.owner(), StorageClass: "STANDARD", MaxParts: maxKeys}
	if n, err := strconv.Atoi(v.Get("max-parts")); err == nil && n >= 0 {
		out.MaxParts = min(n, maxKeys)
	}
	out.PartNumberMarker, _ = strconv.Atoi(v.Get("part-number-marker")) // absent is 0
	for _, p := range all {
		if p.Number <= out.PartNumberMarker {
			continue
		}
		if len(out.Part) == out.MaxParts {
			out.IsTruncated = true
			break
		}
		out.Part = append(out.Part, part{p.Number, stamp(p.Modified), quoted(p.ETag), p.SizeBytes})
		out.NextPartNumberMarker = p.Number
	}
	return q.answer(out)
}

func (q *request) listUploads() error {
	all, err := q.Buckets.Uploads(q.bucket)
	if err != nil {
		return err
	}
	type item struct {
		Key              string
		UploadID         string `xml:"UploadId"`
		Initiator, Owner owner
		StorageClass     string
		Initiated        string
	}
	v := q.r.URL.Query()
	prefix, keyMarker, idMarker := v.Get("prefix"), v.Get("key-marker"), v.Get("upload-id-marker")
	out := struct {
		XMLName            xml.Name `xml:"ListMultipartUploadsResult"`
		NS                 string   `xml:"xmlns,attr"`
		Bucket             string
		Prefix             string
		KeyMarker          string
		UploadIDMarker     string `xml:"UploadIdMarker"`
		NextKeyMarker      string
		NextUploadIDMarker string `xml:"NextUploadIdMarker"`
		MaxUploads         int
		IsTruncated        bool
		Upload             []item
	}{NS: namespace, Bucket: q.bucket, Prefix: prefix, KeyMarker: keyMarker, UploadIDMarker: idMarker, MaxUploads: maxKeys}
	passed := idMarker == ""
	for _, u := range all {
		if !strings.HasPrefix(u.Key, prefix) || u.Key < keyMarker || u.Key == keyMarker && keyMarker != "" && idMarker == "" {
			continue
		}
		if u.Key == keyMarker && !passed {
			passed = u.ID == idMarker
			continue
		}
		if len(out.Upload) == out.MaxUploads {
			out.IsTruncated = true
			break
		}
		out.Upload = append(out.Upload, item{u.Key, u.ID, q.owner(), q.owner(), "STANDARD", stamp(u.Initiated)})
		out.NextKeyMarker, out.NextUploadIDMarker = u.Key, u.ID
	}
	return q.answer(out)
}
