package iotrule

import "strings"

// trie finds the rules whose filter takes a topic. It is immutable once built.
// The rules of matching are iotsql.MatchFilter's: a/# takes a/ and a/b, not a.
type trie struct {
	children map[string]*trie
	plus     *trie
	here     []*compiled // filters that end here
	hash     []*compiled // filters that end in /# here
}

func (t *trie) add(filter string, rule *compiled) {
	n := t
	for level := range strings.SplitSeq(filter, "/") {
		switch level {
		case "#":
			n.hash = append(n.hash, rule)
			return
		case "+":
			if n.plus == nil {
				n.plus = &trie{}
			}
			n = n.plus
		default:
			child := n.children[level]
			if child == nil {
				child = &trie{}
				if n.children == nil {
					n.children = map[string]*trie{}
				}
				n.children[level] = child
			}
			n = child
		}
	}
	n.here = append(n.here, rule)
}

// match appends the rules that take topic. Wildcards at the first level take no
// topic that begins with $.
func (t *trie) match(dst []*compiled, topic string) []*compiled {
	if strings.HasPrefix(topic, "$") {
		first, rest, more := strings.Cut(topic, "/")
		if child := t.children[first]; child != nil {
			dst = child.below(dst, rest, more)
		}
		return dst
	}
	return t.below(dst, topic, true)
}

// below appends the rules of t's subtree that take the levels that are left.
func (t *trie) below(dst []*compiled, topic string, more bool) []*compiled {
	if !more {
		return append(dst, t.here...)
	}
	dst = append(dst, t.hash...)
	level, rest, more := strings.Cut(topic, "/")
	if child := t.children[level]; child != nil {
		dst = child.below(dst, rest, more)
	}
	if t.plus != nil {
		dst = t.plus.below(dst, rest, more)
	}
	return dst
}
