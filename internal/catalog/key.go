package catalog

import "github.com/weir-db/weir/internal/fault"

// KeyPart is one entry of a CompositePartitionKey as the API writes it.
type KeyPart struct {
	Type        string // DIMENSION or MEASURE
	Name        string // of the dimension
	Enforcement string // EnforcementInRecord: REQUIRED, OPTIONAL or empty
}

// Parts returns the key as the API writes it.
func (k PartitionKey) Parts() []KeyPart {
	switch {
	case k.Dimension == "":
		return []KeyPart{{Type: "MEASURE"}}
	case k.Required:
		return []KeyPart{{Type: "DIMENSION", Name: k.Dimension, Enforcement: "REQUIRED"}}
	}
	return []KeyPart{{Type: "DIMENSION", Name: k.Dimension, Enforcement: "OPTIONAL"}}
}

// parseKey checks a key as given at creation (Timestream guide, customer-defined
// partition keys). No parts mean the default.
func parseKey(parts []KeyPart) (PartitionKey, error) {
	if len(parts) == 0 {
		return PartitionKey{}, nil
	}
	if len(parts) > 1 {
		return PartitionKey{}, fault.New(fault.Invalid, "You have specified too many partition keys to be used in your composite partition key. Only 1 partition keys can be specified.")
	}
	p := parts[0]
	switch {
	case p.Type == "MEASURE" && p.Name != "":
		return PartitionKey{}, fault.New(fault.Invalid, "A partition key of type MEASURE must not have a name.")
	case p.Type == "MEASURE" && p.Enforcement != "":
		return PartitionKey{}, fault.New(fault.Invalid, "A partition key of type MEASURE must not have an enforcement level.")
	case p.Type == "MEASURE":
		return PartitionKey{}, nil
	case p.Name == "":
		return PartitionKey{}, fault.New(fault.Invalid, "A partition key of type DIMENSION must have a name.")
	}
	return PartitionKey{Dimension: p.Name, Required: p.Enforcement == "REQUIRED"}, nil
}

// changedKey checks the key of an update: only its enforcement may change.
func changedKey(old PartitionKey, parts []KeyPart) (PartitionKey, error) {
	next, err := parseKey(parts)
	if err != nil {
		return old, err
	}
	if next.Dimension != old.Dimension {
		return old, fault.New(fault.Invalid, "The partition key of a table cannot be changed after its creation; only its enforcement level can.")
	}
	return next, nil
}
