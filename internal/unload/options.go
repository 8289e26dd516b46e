package unload

import (
	"slices"
	"strconv"
	"strings"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/objstore"
	"github.com/weir-db/weir/internal/sql/plan"
	"github.com/weir-db/weir/internal/sql/syntax"
	"github.com/weir-db/weir/internal/vec"
)

// Format is the format of the data files.
type Format string

// The formats, as the manifest writes them.
const (
	CSV     Format = "CSV"
	Parquet Format = "PARQUET"
)

// Spec is what an UNLOAD statement asks for beside its query (sql.md, section 13).
type Spec struct {
	Bucket, Prefix string // Prefix has no slash at its end; "" is the bucket itself
	Format         Format
	Gzip           bool
	Encryption     string // SSE_S3 or SSE_KMS
	KMSKey         string
	PartitionedBy  []string
	Delimiter      byte
	Escape         string // one character
	Header         bool
	MaxFileBytes   int64 // about
}

// Limits of UNLOAD (Timestream quotas; api.md, section 14).
const (
	minFileBytes = 16 << 20
	maxFileBytes = 78 << 30
)

// Parse reads the destination and the options. Errors are of kind fault.Invalid.
func Parse(u *syntax.Unload) (*Spec, error) {
	s := &Spec{Format: CSV, Gzip: true, Encryption: "SSE_S3", Delimiter: ',', Escape: `\`, MaxFileBytes: maxFileBytes}
	rest, ok := strings.CutPrefix(u.To.Value, "s3://")
	s.Bucket, s.Prefix, _ = strings.Cut(rest, "/")
	s.Prefix = strings.TrimSuffix(s.Prefix, "/")
	if !ok || !objstore.ValidBucketName(s.Bucket) {
		return nil, mistake(u.To.Pos(), "UNLOAD destination '%s' is not a valid S3 URI: s3://bucket/prefix", u.To.Value)
	}
	seen := map[string]bool{}
	for _, o := range u.Options {
		name := strings.ToLower(o.Name.Name)
		if seen[name] {
			return nil, mistake(o.Name.Pos(), "UNLOAD option %s is given twice", name)
		}
		seen[name] = true
		if err := s.set(name, o); err != nil {
			return nil, err
		}
	}
	switch {
	case s.KMSKey != "" && s.Encryption != "SSE_KMS" && seen["encryption"]:
		// awswrangler sends both; the key is then of no use, as on AWS.
	case s.KMSKey != "":
		s.Encryption = "SSE_KMS"
	}
	if s.Escape == string(s.Delimiter) {
		return nil, mistake(u.Pos(), "UNLOAD options field_delimiter and escaped_by must differ")
	}
	return s, nil
}

func mistake(at syntax.Pos, format string, args ...any) error {
	return fault.New(fault.Invalid, "line "+strconv.Itoa(at.Line)+":"+strconv.Itoa(at.Col)+": "+format, args...)
}

func (s *Spec) set(name string, o syntax.Option) error {
	if name == "partitioned_by" {
		return s.setPartitions(o)
	}
	lit, ok := o.Value.(*syntax.StringLit)
	if !ok {
		return mistake(o.Value.Pos(), "UNLOAD option %s must be a text in quotes", name)
	}
	invalid := func(want string) error {
		return mistake(lit.Pos(), "Invalid value '%s' for UNLOAD option %s: %s", lit.Value, name, want)
	}
	upper := strings.ToUpper(lit.Value)
	switch name {
	case "format":
		if s.Format = Format(upper); s.Format != CSV && s.Format != Parquet {
			return invalid("it must be CSV or PARQUET")
		}
	case "compression":
		if s.Gzip = upper == "GZIP"; !s.Gzip && upper != "NONE" {
			return invalid("it must be GZIP or NONE")
		}
	case "encryption":
		if s.Encryption = upper; upper != "SSE_S3" && upper != "SSE_KMS" {
			return invalid("it must be SSE_S3 or SSE_KMS")
		}
	case "kms_key":
		if s.KMSKey = lit.Value; lit.Value == "" {
			return invalid("it must be the id or the ARN of a key")
		}
	case "include_header":
		if s.Header = upper == "TRUE"; !s.Header && upper != "FALSE" {
			return invalid("it must be true or false")
		}
	case "field_delimiter":
		c := unescaped(lit.Value)
		if len(c) != 1 || c[0] >= 0x80 || strings.ContainsAny(c, "\"\r\n\x00") {
			return invalid("it must be one ASCII character, and no quote or end of a line")
		}
		s.Delimiter = c[0]
	case "escaped_by":
		c := unescaped(lit.Value)
		if len([]rune(c)) != 1 || strings.ContainsAny(c, "\r\n\x00") {
			return invalid("it must be one character")
		}
		s.Escape = c
	case "max_file_size":
		n, ok := fileSize(upper)
		if !ok {
			return invalid("it must be a size between 16MB and 78GB")
		}
		s.MaxFileBytes = n
	default:
		return mistake(o.Name.Pos(), "Unknown UNLOAD option: %s", o.Name.Name)
	}
	return nil
}

// unescaped takes the two spellings of AWS's examples that are longer than their character.
func unescaped(text string) string {
	switch text {
	case `\t`:
		return "\t"
	case `\\`:
		return `\`
	}
	return text
}

func fileSize(text string) (int64, bool) {
	unit := int64(1 << 20)
	number, ok := strings.CutSuffix(text, "MB")
	if !ok {
		unit = 1 << 30
		number, ok = strings.CutSuffix(text, "GB")
	}
	number = strings.TrimSpace(number)
	if !ok || strings.Trim(number, "0123456789.") != "" {
		return 0, false
	}
	f, err := strconv.ParseFloat(number, 64)
	if err != nil || f > 1<<20 {
		return 0, false
	}
	n := int64(f * float64(unit))
	return n, n >= minFileBytes && n <= maxFileBytes
}

func (s *Spec) setPartitions(o syntax.Option) error {
	list, ok := o.Value.(*syntax.ArrayExpr)
	if !ok || len(list.Elems) == 0 {
		return mistake(o.Value.Pos(), "UNLOAD option partitioned_by must be an array of column names: ARRAY['column', …]")
	}
	for _, e := range list.Elems {
		lit, ok := e.(*syntax.StringLit)
		if !ok {
			return mistake(e.Pos(), "UNLOAD option partitioned_by must be an array of column names: ARRAY['column', …]")
		}
		s.PartitionedBy = append(s.PartitionedBy, lit.Value)
	}
	return nil
}

// columnName is the name of column i in files and metadata.
func columnName(c plan.OutputColumn, i int) string {
	if c.Name == "" {
		return "_col" + strconv.Itoa(i)
	}
	return c.Name
}

// check compares the spec with the columns of the query. Errors are of kind fault.Invalid.
func (s *Spec) check(columns []plan.OutputColumn) error {
	data := len(columns) - len(s.PartitionedBy)
	if data <= 0 {
		return fault.New(fault.Invalid, "UNLOAD with partitioned_by needs at least one column that is not a partition column.")
	}
	for i, c := range columns {
		if bad, ok := refused(c.Type); ok {
			return fault.New(fault.Invalid, "UNLOAD does not support the data type %s of column '%s'.", bad, columnName(c, i))
		}
	}
	for i, want := range s.PartitionedBy {
		c := columns[data+i]
		if name := columnName(c, data+i); !strings.EqualFold(name, want) {
			return fault.New(fault.Invalid, "The partitioned_by columns [%s] must be the last columns of the SELECT, in the same order; column %d is '%s'.",
				strings.Join(s.PartitionedBy, ", "), data+i+1, name)
		}
		if c.Type.Kind.Storage() == vec.StoreNested {
			return fault.New(fault.Invalid, "The partitioned_by column '%s' has type %s; partition columns must be scalars.", want, c.Type)
		}
	}
	if s.Format == Parquet {
		return distinctNames(columns[:data])
	}
	return nil
}

// distinctNames refuses what the schema of a Parquet file cannot say.
func distinctNames(columns []plan.OutputColumn) error {
	var seen []string
	for i, c := range columns {
		name := columnName(c, i)
		if slices.Contains(seen, name) {
			return fault.New(fault.Invalid, "UNLOAD to Parquet needs columns of different names; '%s' is there twice.", name)
		}
		seen = append(seen, name)
	}
	return nil
}

// refused returns the type, in t or below, that cannot be unloaded.
func refused(t vec.Type) (vec.Type, bool) {
	switch t.Kind {
	case vec.Time, vec.Unknown:
		return t, true
	case vec.Array, vec.TimeSeries:
		return refused(*t.Elem)
	case vec.Row:
		for _, f := range t.Fields {
			if bad, ok := refused(f.Type); ok {
				return bad, true
			}
		}
	}
	return vec.Type{}, false
}
