package pgwire

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// reported are the settings that clients are told of at once (Postgres manual, "Asynchronous Operations").
var reported = []string{"server_version", "server_encoding", "client_encoding", "application_name", "is_superuser", "session_authorization",
	"DateStyle", "IntervalStyle", "TimeZone", "integer_datetimes", "standard_conforming_strings", "default_transaction_read_only", "in_hot_standby"}

// serverVersion is the version of Postgres whose protocol and texts are meant.
const serverVersion = "15.0"

// defaults are the settings that there are. What weir has no use for is kept and told back.
var defaults = map[string]string{
	"server_version": serverVersion, "server_version_num": "150000", "server_encoding": "UTF8", "client_encoding": "UTF8", "application_name": "",
	"is_superuser": "off", "datestyle": "ISO, MDY", "intervalstyle": "postgres", "timezone": "UTC", "integer_datetimes": "on",
	"standard_conforming_strings": "on", "default_transaction_read_only": "on", "transaction_read_only": "on", "in_hot_standby": "off",
	"transaction_isolation": "read committed", "default_transaction_isolation": "read committed", "default_transaction_deferrable": "off",
	"search_path": "", "extra_float_digits": "1", "statement_timeout": "0", "lock_timeout": "0", "idle_in_transaction_session_timeout": "0",
	"client_min_messages": "notice", "bytea_output": "hex", "row_security": "off", "max_identifier_length": "63", "synchronous_commit": "off",
	"backslash_quote": "safe_encoding", "escape_string_warning": "on", "synchronize_seqscans": "off", "geqo": "on", "jit": "off", "enable_seqscan": "on",
	"lc_collate": "C", "lc_ctype": "C", "lc_messages": "C", "lc_monetary": "C", "lc_numeric": "C", "lc_time": "C", "xmloption": "content",
	"session_replication_role": "origin", "default_table_access_method": "heap", "default_tablespace": "", "check_function_bodies": "off", "max_index_keys": "32",
}

// fixed are those that cannot be changed.
var fixed = map[string]bool{"server_version": true, "server_version_num": true, "server_encoding": true, "is_superuser": true, "session_authorization": true,
	"integer_datetimes": true, "in_hot_standby": true, "max_identifier_length": true, "max_index_keys": true}

// settings are those of a session, by their names in lower case.
type settings struct{ values, first map[string]string }

func newSettings(user string) *settings {
	values := maps.Clone(defaults)
	values["session_authorization"] = user
	return &settings{values: values, first: maps.Clone(values)}
}

// set changes a setting to what can be done with it.
func (s *settings) set(name, value string) error {
	key := strings.ToLower(name)
	if len(value) > 1000 {
		return errorf(stateBadValue, "the value of parameter %q is longer than 1000 characters", name)
	}
	if _, known := s.values[key]; !known && !strings.Contains(key, ".") {
		return errorf(stateUnknownSetting, "unrecognized configuration parameter %q", name)
	}
	if fixed[key] {
		return errorf("55P02", "parameter %q cannot be changed", name)
	}
	low := strings.ToLower(value)
	refused := errorf(stateBadValue, "invalid value for parameter %q: %q is not supported", name, value)
	switch key {
	case "client_encoding":
		switch strings.NewReplacer("-", "", "_", "").Replace(low) {
		case "utf8", "unicode", "sqlascii":
			value = "UTF8"
		default:
			return refused
		}
	case "datestyle":
		if !strings.HasPrefix(low, "iso") {
			return refused
		}
		value = "ISO, MDY"
	case "intervalstyle":
		if low != "postgres" {
			return refused
		}
	case "standard_conforming_strings":
		if !isOn(low) {
			return refused
		}
		value = "on"
	case "default_transaction_read_only", "transaction_read_only":
		value = "on" // whatever is wished: nothing can be written
	case "statement_timeout":
		d, ok := duration(value)
		if !ok {
			return refused
		}
		value = strconv.FormatInt(d.Milliseconds(), 10)
		if d > 0 {
			value += "ms"
		}
	}
	if _, known := s.values[key]; !known && len(s.values) > 2*len(defaults) {
		return errorf(stateProgramLimit, "too many parameters were made")
	}
	s.values[key] = value
	return nil
}

func isOn(low string) bool { return slices.Contains([]string{"on", "true", "yes", "1", "t"}, low) }

// duration reads milliseconds, or a number with a unit.
func duration(value string) (time.Duration, bool) {
	value = strings.ReplaceAll(value, " ", "")
	if n, err := strconv.ParseInt(value, 10, 32); err == nil {
		return time.Duration(n) * time.Millisecond, n >= 0
	}
	d, err := time.ParseDuration(strings.Replace(value, "min", "m", 1))
	return d, err == nil && d >= 0
}

func (s *settings) timeout() time.Duration {
	d, _ := duration(s.values["statement_timeout"])
	return d
}
