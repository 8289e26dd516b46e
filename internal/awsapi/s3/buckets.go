package s3

import (
	"encoding/base64"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/objstore"
)

func (q *request) listBuckets() error {
	type bucket struct{ Name, CreationDate, BucketRegion string }
	out := struct {
		XMLName xml.Name `xml:"ListAllMyBucketsResult"`
		NS      string   `xml:"xmlns,attr"`
		Owner   owner
		Buckets []bucket `xml:"Buckets>Bucket"`
	}{NS: namespace, Owner: q.owner()}
	all, err := q.Buckets.Buckets()
	if err != nil {
		return err
	}
	prefix := q.r.URL.Query().Get("prefix")
	for _, b := range all {
		if strings.HasPrefix(b.Name, prefix) {
			out.Buckets = append(out.Buckets, bucket{b.Name, stamp(b.Created), b.Region})
		}
	}
	return q.answer(out)
}

func (q *request) createBucket() error {
	region := q.Region
	if q.r.ContentLength != 0 {
		var in struct{ LocationConstraint string }
		if err := q.decode(&in); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if in.LocationConstraint != "" {
			region = in.LocationConstraint
		}
	}
	if err := refuseHeaders(q.r.Header, "X-Amz-Bucket-Object-Lock-Enabled"); err != nil {
		return err
	}
	if !objstore.ValidBucketName(q.bucket) {
		return fail("InvalidBucketName", http.StatusBadRequest, "The specified bucket is not valid.")
	}
	err := q.Buckets.CreateBucket(q.bucket, region)
	if fault.Is(err, fault.Conflict) {
		return fail("BucketAlreadyOwnedByYou", http.StatusConflict, "Your previous request to create the named bucket succeeded and you already own it.")
	}
	if err != nil {
		return err
	}
	q.Header().Set("Location", "/"+q.bucket)
	return q.empty(http.StatusOK)
}

func (q *request) headBucket() error {
	b, err := q.Buckets.Bucket(q.bucket)
	if err != nil {
		return err
	}
	if b.Region == "" {
		b.Region = q.Region
	}
	q.Header().Set("X-Amz-Bucket-Region", b.Region)
	return q.empty(http.StatusOK)
}

func (q *request) deleteBucket() error {
	if err := q.Buckets.DeleteBucket(q.r.Context(), q.bucket); err != nil {
		return err
	}
	return q.empty(http.StatusNoContent)
}

func (q *request) location() error {
	b, err := q.Buckets.Bucket(q.bucket)
	if err != nil {
		return err
	}
	out := struct {
		XMLName xml.Name `xml:"LocationConstraint"`
		NS      string   `xml:"xmlns,attr"`
		Region  string   `xml:",chardata"`
	}{NS: namespace, Region: b.Region}
	if b.Region == "us-east-1" { // S3 says nothing for it
		out.Region = ""
	}
	return q.answer(out)
}

// acl is the one access control list there is: all for the owner.
type acl struct {
	XMLName xml.Name `xml:"AccessControlPolicy"`
	NS      string   `xml:"xmlns,attr"`
	Owner   owner
	Grants  []grant `xml:"AccessControlList>Grant"`
}

type grant struct {
	Grantee    grantee
	Permission string
}

type grantee struct {
	XSI         string `xml:"xmlns:xsi,attr"`
	Type        string `xml:"xsi:type,attr"`
	ID          string
	DisplayName string
}

func (q *request) answerACL() error {
	o := q.owner()
	g := grantee{XSI: "http://www.w3.org/2001/XMLSchema-instance", Type: "CanonicalUser", ID: o.ID, DisplayName: o.DisplayName}
	return q.answer(acl{NS: namespace, Owner: o, Grants: []grant{{g, "FULL_CONTROL"}}})
}

func (q *request) bucketACL() error {
	if _, err := q.Buckets.Bucket(q.bucket); err != nil {
		return err
	}
	return q.answerACL()
}

// unset are the settings that can be asked for and that no bucket has.
var unset = map[string]func(*request) error{
	"accelerate":        blank("AccelerateConfiguration"),
	"logging":           blank("BucketLoggingStatus"),
	"notification":      blank("NotificationConfiguration"),
	"versioning":        blank("VersioningConfiguration"),
	"cors":              absent("NoSuchCORSConfiguration", "The CORS configuration does not exist"),
	"encryption":        absent("ServerSideEncryptionConfigurationNotFoundError", "The server side encryption configuration was not found"),
	"lifecycle":         absent("NoSuchLifecycleConfiguration", "The lifecycle configuration does not exist"),
	"object-lock":       absent("ObjectLockConfigurationNotFoundError", "Object Lock configuration does not exist for this bucket"),
	"ownershipControls": absent("OwnershipControlsNotFoundError", "The bucket ownership controls were not found"),
	"policy":            absent("NoSuchBucketPolicy", "The bucket policy does not exist"),
	"publicAccessBlock": absent("NoSuchPublicAccessBlockConfiguration", "The public access block configuration was not found"),
	"replication":       absent("ReplicationConfigurationNotFoundError", "The replication configuration was not found"),
	"tagging":           absent("NoSuchTagSet", "The TagSet does not exist"),
	"website":           absent("NoSuchWebsiteConfiguration", "The specified bucket does not have a website configuration"),
	"requestPayment": func(q *request) error {
		return q.answer(struct {
			XMLName xml.Name `xml:"RequestPaymentConfiguration"`
			NS      string   `xml:"xmlns,attr"`
			Payer   string
		}{NS: namespace, Payer: "BucketOwner"})
	},
}

func blank(name string) func(*request) error {
	return func(q *request) error {
		if _, err := q.Buckets.Bucket(q.bucket); err != nil {
			return err
		}
		return q.answer(struct {
			XMLName xml.Name
			NS      string `xml:"xmlns,attr"`
		}{XMLName: xml.Name{Local: name}, NS: namespace})
	}
}

func absent(code, text string) func(*request) error {
	return func(q *request) error {
		if _, err := q.Buckets.Bucket(q.bucket); err != nil {
			return err
		}
		return fail(code, http.StatusNotFound, "%s", text)
	}
}

// contents is one object of a list.
type contents struct {
	Key          string
	LastModified string
	ETag         string
	Size         int64
	StorageClass string
	Owner        *owner
}

type commonPrefix struct{ Prefix string }

// listing is the answer of both versions; what one lacks stays nil.
type listing struct {
	XMLName               xml.Name `xml:"ListBucketResult"`
	NS                    string   `xml:"xmlns,attr"`
	Name                  string
	Prefix                string
	Marker                *string
	NextMarker            *string
	StartAfter            *string
	ContinuationToken     *string
	NextContinuationToken *string
	KeyCount              *int
	MaxKeys               int
	Delimiter             string `xml:",omitempty"`
	EncodingType          string `xml:",omitempty"`
	IsTruncated           bool
	Contents              []contents
	CommonPrefixes        []commonPrefix
}

// maxKeys is the most that one page lists (S3 API reference).
const maxKeys = 1000

// list reads a page of keys behind after.
func (q *request) list(v url.Values, after string, withOwner bool) (*listing, string, error) {
	out := &listing{NS: namespace, Name: q.bucket, MaxKeys: maxKeys, EncodingType: v.Get("encoding-type")}
	if text := v.Get("max-keys"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return nil, "", fail("InvalidArgument", http.StatusBadRequest, "Argument maxKeys must be an integer between 0 and 2147483647")
		}
		out.MaxKeys = min(n, maxKeys)
	}
	code, err := encoder(out.EncodingType)
	if err != nil {
		return nil, "", err
	}
	out.Prefix, out.Delimiter = code(v.Get("prefix")), code(v.Get("delimiter"))
	if out.MaxKeys == 0 {
		_, err := q.Buckets.Bucket(q.bucket)
		return out, "", err
	}
	l, err := q.Buckets.List(q.r.Context(), q.bucket, objstore.ListOptions{
		Prefix: v.Get("prefix"), Delimiter: v.Get("delimiter"), After: after, Limit: out.MaxKeys,
	})
	if err != nil {
		return nil, "", err
	}
	for _, o := range l.Objects {
		c := contents{Key: code(o.Key), LastModified: stamp(o.Modified), ETag: quoted(o.ETag), Size: o.SizeBytes, StorageClass: "STANDARD"}
		if withOwner {
			who := q.owner()
			c.Owner = &who
		}
		out.Contents = append(out.Contents, c)
	}
	for _, p := range l.CommonPrefixes {
		out.CommonPrefixes = append(out.CommonPrefixes, commonPrefix{code(p)})
	}
	out.IsTruncated = l.Next != ""
	return out, l.Next, nil
}

// encoder writes keys as the client asked for.
func encoder(kind string) (func(string) string, error) {
	switch kind {
	case "":
		return func(s string) string { return s }, nil
	case "url":
		return func(s string) string {
			return strings.ReplaceAll(strings.ReplaceAll(url.QueryEscape(s), "+", "%20"), "%2F", "/")
		}, nil
	}
	return nil, fail("InvalidArgument", http.StatusBadRequest, "Invalid Encoding Method specified in Request")
}

func (q *request) listV1() error {
	v := q.r.URL.Query()
	marker := v.Get("marker")
	out, next, err := q.list(v, marker, true)
	if err != nil {
		return err
	}
	code, err := encoder(out.EncodingType)
	if err != nil {
		return err
	}
	marker = code(marker)
	out.Marker = &marker
	if next != "" {
		next = code(next)
		out.NextMarker = &next
	}
	return q.answer(out)
}

func (q *request) listV2() error {
	v := q.r.URL.Query()
	after, token := v.Get("start-after"), v.Get("continuation-token")
	if v.Has("continuation-token") {
		raw, err := base64.StdEncoding.DecodeString(token)
		if err != nil || len(raw) == 0 {
			return fail("InvalidArgument", http.StatusBadRequest, "The continuation token provided is incorrect")
		}
		after = string(raw)
	}
	out, next, err := q.list(v, after, v.Get("fetch-owner") == "true")
	if err != nil {
		return err
	}
	count := len(out.Contents) + len(out.CommonPrefixes)
	out.KeyCount = &count
	if v.Has("continuation-token") {
		out.ContinuationToken = &token
	}
	if start := v.Get("start-after"); start != "" {
		out.StartAfter = &start
	}
	if next != "" {
		next = base64.StdEncoding.EncodeToString([]byte(next))
		out.NextContinuationToken = &next
	}
	return q.answer(out)
}

func (q *request) deleteObjects() error {
	if _, err := q.Buckets.Bucket(q.bucket); err != nil {
		return err
	}
	var in struct {
		Quiet   bool
		Objects []struct {
			Key       string
			VersionID string `xml:"VersionId"`
		} `xml:"Object"`
	}
	if err := q.decode(&in); err != nil {
		return err
	}
	if len(in.Objects) == 0 || len(in.Objects) > maxKeys {
		return errMalformedXML
	}
	type deleted struct{ Key string }
	type failed struct{ Key, Code, Message string }
	out := struct {
		XMLName xml.Name `xml:"DeleteResult"`
		NS      string   `xml:"xmlns,attr"`
		Deleted []deleted
		Error   []failed
	}{NS: namespace}
	for _, o := range in.Objects {
		err := q.deleteOne(o.Key, o.VersionID)
		switch {
		case err != nil:
			e := errorOf(err)
			out.Error = append(out.Error, failed{o.Key, e.Code, e.Message})
		case !in.Quiet:
			out.Deleted = append(out.Deleted, deleted{o.Key})
		}
	}
	return q.answer(out)
}

func (q *request) deleteOne(key, version string) error {
	if version != "" && version != "null" {
		return fail("NoSuchVersion", http.StatusNotFound, "The specified version does not exist.")
	}
	if q.Authorize != nil {
		if err := q.Authorize(q.r.Context(), q.caller, "s3:DeleteObject", "arn:aws:s3:::"+q.bucket+"/"+key); err != nil {
			return err
		}
	}
	return q.Buckets.Delete(q.bucket, key)
}
