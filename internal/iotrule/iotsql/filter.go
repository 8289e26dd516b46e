package iotsql

import (
	"errors"
	"strings"
)

// Limits of topics and filters (AWS IoT Core quotas, message broker).
const (
	MaxTopicBytes   = 256
	MaxTopicSlashes = 7
)

// CheckFilter reports what is wrong with a topic filter: + and # must be whole
// levels and # the last one.
func CheckFilter(filter string) error {
	switch {
	case filter == "":
		return errors.New("the topic filter is empty")
	case len(filter) > MaxTopicBytes:
		return errors.New("the topic filter is longer than 256 bytes")
	case strings.Count(filter, "/") > MaxTopicSlashes:
		return errors.New("the topic filter has more than 7 slashes")
	case strings.IndexByte(filter, 0) >= 0:
		return errors.New("the topic filter has a zero character")
	}
	levels := strings.Split(filter, "/")
	for i, l := range levels {
		switch {
		case l == "#" && i < len(levels)-1:
			return errors.New("# must be the last level of the topic filter")
		case len(l) > 1 && strings.ContainsAny(l, "+#"):
			return errors.New("+ and # must be whole levels of the topic filter")
		}
	}
	return nil
}

// MatchFilter reports whether a topic matches a filter as AWS IoT does it: a/#
// matches a/ and a/b but not a, and wildcards at the start take no topic that begins
// with $.
func MatchFilter(filter, topic string) bool {
	if strings.HasPrefix(topic, "$") && (strings.HasPrefix(filter, "+") || strings.HasPrefix(filter, "#")) {
		return false
	}
	for {
		f, frest, fmore := strings.Cut(filter, "/")
		if f == "#" {
			return true
		}
		l, trest, tmore := strings.Cut(topic, "/")
		if f != "+" && f != l || fmore != tmore {
			return false
		}
		if !fmore {
			return true
		}
		filter, topic = frest, trest
	}
}
