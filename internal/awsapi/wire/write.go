package wire

import (
	"net/http"
	"strconv"
)

var contentTypes = [...]string{
	JSON10: "application/x-amz-json-1.0",
	JSON11: "application/x-amz-json-1.1",
	Query:  "text/xml",
	REST:   "application/json",
	CBOR:   "application/cbor",
}

// WriteResponse writes r in the protocol of c. It must be called once, and r not
// used after it. The error is the connection's.
func WriteResponse(w http.ResponseWriter, c *Call, r Response) error {
	for k, vs := range r.Header {
		w.Header()[http.CanonicalHeaderKey(k)] = vs
	}
	body, owned := r.JSON, r.recycle
	switch {
	case c.Protocol == Query:
		body, owned = appendXMLResponse(c.Buffer(), c, r.Value), true
	case c.Protocol == CBOR:
		body, owned = appendCBOR(c.Buffer(), r.Value), true
	case r.Value != nil:
		body, owned = AppendJSON(c.Buffer(), r.Value), true
	case body == nil && c.Protocol != REST:
		body = []byte("{}")
	}
	err := send(w, c, r.Status, body, r.rest...)
	if err != nil {
		return err // HTTP/2 may still read what it failed to write: its memory is not used again
	}
	if owned {
		recycle(body)
	}
	if r.sent != nil {
		r.sent()
	}
	return nil
}

// WriteError writes e in the protocol of c.
func WriteError(w http.ResponseWriter, c *Call, e *Exception) error {
	code := e.QueryCode
	if code == "" {
		code = e.Name
	}
	side := "Sender"
	if e.Receiver {
		side = "Receiver"
	}
	h := w.Header()
	if c.Service != nil && c.Service.QueryCompatible && c.Protocol != Query {
		h["X-Amzn-Query-Error"] = []string{code + ";" + side}
	}
	var body []byte
	switch c.Protocol {
	case Query:
		body = appendXMLError(c.Buffer(), c, e, code, side)
	case CBOR:
		body = appendCBORError(c.Buffer(), c, e)
	default:
		h["X-Amzn-Errortype"] = []string{e.Name}
		body = appendJSONError(c.Buffer(), c, e)
	}
	err := send(w, c, e.Status, body)
	recycle(body)
	return err
}

func send(w http.ResponseWriter, c *Call, status int, body []byte, rest ...[]byte) error {
	h := w.Header()
	h["X-Amzn-Requestid"] = []string{c.RequestID}
	if len(body) > 0 || c.Protocol != REST {
		h["Content-Type"] = []string{contentTypes[c.Protocol]}
	}
	if c.Protocol == CBOR {
		h["Smithy-Protocol"] = []string{"rpc-v2-cbor"}
	}
	length := len(body)
	for _, piece := range rest {
		length += len(piece)
	}
	h["Content-Length"] = []string{strconv.Itoa(length)}
	if status == 0 {
		status = http.StatusOK
	}
	w.WriteHeader(status)
	_, err := w.Write(body)
	for _, piece := range rest {
		if err == nil {
			_, err = w.Write(piece)
		}
	}
	return err
}

// typeOf returns an exception's full name, as JSON and CBOR bodies carry it.
func typeOf(c *Call, e *Exception) string {
	ns := e.Namespace
	if ns == "" && c.Service != nil {
		ns = c.Service.ErrorNamespace
	}
	if ns == "" {
		return e.Name
	}
	return ns + "#" + e.Name
}

// appendJSONError writes both Message and message: older Go SDKs read only the
// first, the framework's own errors only have the second.
func appendJSONError(dst []byte, c *Call, e *Exception) []byte {
	w := &jsonWriter{dst: dst}
	w.open()
	if c.Protocol != REST {
		w.field("__type")
		w.str(typeOf(c, e))
	}
	if e.Message != "" {
		if c.Protocol != REST {
			w.field("Message")
			w.str(e.Message)
		}
		w.field("message")
		w.str(e.Message)
	}
	for _, m := range e.Extra {
		w.field(m.Name)
		if m.JSON != nil {
			w.raw(m.JSON)
		} else {
			emit(w, m.Value)
		}
	}
	w.close()
	return w.dst
}

func appendCBORError(dst []byte, c *Call, e *Exception) []byte {
	w := &cborWriter{dst: dst}
	w.open()
	w.field("__type")
	w.str(typeOf(c, e))
	if e.Message != "" {
		w.field("message")
		w.str(e.Message)
	}
	for _, m := range e.Extra {
		if m.Value != nil {
			w.field(m.Name)
			emit(w, m.Value)
		}
	}
	w.close()
	return w.dst
}

func appendXMLResponse(dst []byte, c *Call, v any) []byte {
	w := &xmlWriter{dst: dst}
	w.dst = append(w.dst, '<')
	w.dst = append(w.dst, c.Operation...)
	w.dst = append(w.dst, `Response xmlns="`...)
	w.dst = append(w.dst, c.Service.XMLNamespace...)
	w.dst = append(w.dst, `">`...)
	if v != nil {
		w.field(c.Operation + "Result")
		emit(w, v)
		w.endField()
	}
	w.field("ResponseMetadata")
	w.leaf("RequestId", c.RequestID)
	w.endField()
	w.dst = append(w.dst, "</"...)
	w.dst = append(w.dst, c.Operation...)
	return append(w.dst, "Response>"...)
}

func appendXMLError(dst []byte, c *Call, e *Exception, code, side string) []byte {
	w := &xmlWriter{dst: dst}
	w.dst = append(w.dst, "<ErrorResponse"...)
	if c.Service != nil && c.Service.XMLNamespace != "" {
		w.dst = append(w.dst, ` xmlns="`...)
		w.dst = append(w.dst, c.Service.XMLNamespace...)
		w.dst = append(w.dst, '"')
	}
	w.dst = append(w.dst, '>')
	w.field("Error")
	w.leaf("Type", side)
	w.leaf("Code", code)
	w.leaf("Message", e.Message)
	for _, m := range e.Extra {
		if m.Value != nil {
			w.field(m.Name)
			emit(w, m.Value)
			w.endField()
		}
	}
	w.endField()
	w.leaf("RequestId", c.RequestID)
	return append(w.dst, "</ErrorResponse>"...)
}
