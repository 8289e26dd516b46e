// Package arn reads and writes Amazon Resource Names,
// arn:partition:service:region:account:resource. Values are plain and may be
// used concurrently.
package arn

import (
	"fmt"
	"strings"

	"github.com/weir-db/weir/internal/fault"
)

// ARN is the six parts of a name. Region and AccountID are empty where a
// service leaves them out.
type ARN struct {
	Partition string // "aws"
	Service   string
	Region    string
	AccountID string
	Resource  string // e.g. "database/d/table/t"; may hold colons
}

// New returns the name of a resource in the partition "aws".
func New(service, region, accountID, resource string) ARN {
	return ARN{Partition: "aws", Service: service, Region: region, AccountID: accountID, Resource: resource}
}

// Parse reads an ARN. It wants all six parts and a partition, service and
// resource that are not empty.
func Parse(s string) (ARN, error) {
	parts := strings.SplitN(s, ":", 6)
	if len(parts) != 6 || parts[0] != "arn" || parts[1] == "" || parts[2] == "" || parts[5] == "" {
		return ARN{}, fault.New(fault.Invalid, "The ARN %q is invalid.", s)
	}
	return ARN{Partition: parts[1], Service: parts[2], Region: parts[3], AccountID: parts[4], Resource: parts[5]}, nil
}

// String returns the name in its usual form.
func (a ARN) String() string {
	return "arn:" + a.Partition + ":" + a.Service + ":" + a.Region + ":" + a.AccountID + ":" + a.Resource
}

// Database returns the name of a Timestream database.
func Database(region, accountID, database string) string {
	return New("timestream", region, accountID, "database/"+database).String()
}

// Table returns the name of a Timestream table.
func Table(region, accountID, database, table string) string {
	return New("timestream", region, accountID, fmt.Sprintf("database/%s/table/%s", database, table)).String()
}

// Timestream is what a Timestream ARN names: a database, a table of it (Table
// is set), or a scheduled query.
type Timestream struct {
	Database, Table string
	ScheduledQuery  string // name and suffix, as in the ARN
}

// ParseTimestream reads the ARN of a database, a table or a scheduled query.
func ParseTimestream(s string) (Timestream, error) {
	a, err := Parse(s)
	if err != nil {
		return Timestream{}, err
	}
	parts := strings.Split(a.Resource, "/")
	for _, p := range parts {
		if p == "" {
			parts = nil
		}
	}
	switch {
	case a.Service != "timestream":
	case len(parts) == 2 && parts[0] == "database":
		return Timestream{Database: parts[1]}, nil
	case len(parts) == 4 && parts[0] == "database" && parts[2] == "table":
		return Timestream{Database: parts[1], Table: parts[3]}, nil
	case len(parts) == 2 && parts[0] == "scheduled-query":
		return Timestream{ScheduledQuery: parts[1]}, nil
	}
	return Timestream{}, fault.New(fault.Invalid, "The ARN %q does not name a database, a table or a scheduled query.", s)
}
