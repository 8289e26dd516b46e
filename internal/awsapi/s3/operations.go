package s3

import (
	"net/http"
	"net/url"
)

// operation is one operation of the S3 API.
type operation struct {
	name   string
	action string // as policies name it
	run    func(*request) error
}

func op(name, action string, run func(*request) error) operation {
	return operation{name, "s3:" + action, run}
}

// subResources are the parameters that make another operation of a request. Those of
// nobody's below end in NotImplemented.
var subResources = []string{
	"accelerate", "acl", "analytics", "attributes", "cors", "delete", "encryption", "intelligent-tiering", "inventory", "legal-hold",
	"lifecycle", "location", "logging", "metadataTable", "metrics", "notification", "object-lock", "ownershipControls", "policy", "policyStatus",
	"publicAccessBlock", "replication", "requestPayment", "restore", "retention", "select", "session", "tagging", "torrent", "uploads",
	"versioning", "versions", "website",
}

func subResource(v url.Values) string {
	for _, name := range subResources {
		if v.Has(name) {
			return name
		}
	}
	return ""
}

// operation finds out what a request asks for. What is unknown is named so that it can be counted.
func (q *request) operation() (operation, error) {
	v := q.r.URL.Query()
	sub := subResource(v)
	var o operation
	switch {
	case v.Has("versionId") && v.Get("versionId") != "null":
		return operation{name: "unknown"}, fail("NoSuchVersion", http.StatusNotFound, "The specified version does not exist.")
	case q.bucket == "":
		if q.r.Method == http.MethodGet || q.r.Method == http.MethodHead {
			o = op("ListBuckets", "ListAllMyBuckets", (*request).listBuckets)
		}
	case q.key == "":
		o = bucketOperation(q.r.Method, sub, v)
	default:
		o = objectOperation(q.r, sub, v)
	}
	if o.run == nil {
		return operation{name: "unknown"}, errNotImplemented
	}
	return o, nil
}

func bucketOperation(method, sub string, v url.Values) operation {
	switch method + " " + sub {
	case "PUT ":
		return op("CreateBucket", "CreateBucket", (*request).createBucket)
	case "HEAD ":
		return op("HeadBucket", "ListBucket", (*request).headBucket)
	case "DELETE ":
		return op("DeleteBucket", "DeleteBucket", (*request).deleteBucket)
	case "GET ":
		if v.Get("list-type") == "2" {
			return op("ListObjectsV2", "ListBucket", (*request).listV2)
		}
		return op("ListObjects", "ListBucket", (*request).listV1)
	case "GET location":
		return op("GetBucketLocation", "GetBucketLocation", (*request).location)
	case "GET acl":
		return op("GetBucketAcl", "GetBucketAcl", (*request).bucketACL)
	case "GET uploads":
		return op("ListMultipartUploads", "ListBucketMultipartUploads", (*request).listUploads)
	case "POST delete":
		return op("DeleteObjects", "DeleteObject", (*request).deleteObjects)
	}
	if method == http.MethodGet {
		if run := unset[sub]; run != nil {
			return op("GetBucketSettings", "GetBucketSettings", run)
		}
	}
	return operation{}
}

func objectOperation(r *http.Request, sub string, v url.Values) operation {
	upload := v.Has("uploadId")
	switch r.Method + " " + sub {
	case "PUT ":
		copying := r.Header.Get("X-Amz-Copy-Source") != ""
		switch {
		case upload && copying:
			return op("UploadPartCopy", "PutObject", (*request).copyPart)
		case upload:
			return op("UploadPart", "PutObject", (*request).uploadPart)
		case copying:
			return op("CopyObject", "PutObject", (*request).copyObject)
		}
		return op("PutObject", "PutObject", (*request).putObject)
	case "GET ":
		if upload {
			return op("ListParts", "ListMultipartUploadParts", (*request).listParts)
		}
		return op("GetObject", "GetObject", (*request).getObject)
	case "HEAD ":
		return op("HeadObject", "GetObject", (*request).getObject)
	case "DELETE ":
		if upload {
			return op("AbortMultipartUpload", "AbortMultipartUpload", (*request).abortUpload)
		}
		return op("DeleteObject", "DeleteObject", (*request).deleteObject)
	case "POST ":
		if upload {
			return op("CompleteMultipartUpload", "PutObject", (*request).completeUpload)
		}
	case "POST uploads":
		return op("CreateMultipartUpload", "PutObject", (*request).createUpload)
	case "GET acl":
		return op("GetObjectAcl", "GetObjectAcl", (*request).objectACL)
	case "GET tagging":
		return op("GetObjectTagging", "GetObjectTagging", (*request).objectTags)
	}
	return operation{}
}
