// Package syntax reads and writes the text of queries: tokens, the syntax tree,
// the parser and the printer.
//
// [Parse] accepts one statement of the dialect (a Trino dialect of about 2019-2021 with
// duration literals, read-only, with SHOW MEASURES and UNLOAD) and returns its tree.
// Nothing is resolved here: names are kept as they were written, literals of a type
// (TIMESTAMP '…') keep their text, and a dotted name keeps its parts, because only
// the planner knows whether a.b is a column of a or a field of column a.
//
// # Positions
//
// Every node has a position, which is the one that the service's messages point at:
// for operators and predicates the operator (the + of a + b, the IN of x IN (…), the
// NOT of x NOT LIKE p), for everything else its first token.
//
// # What the tree leaves out
//
// Parentheses are not kept; the printer puts them back where the tree needs them. Spellings of
// the same thing give the same tree: != and <>, (a, b) and ROW(a, b), TABLE t and SELECT *
// FROM t, FETCH FIRST n ROWS ONLY and LIMIT n, position(a IN s) and strpos(s, a),
// substring(s FROM a FOR b) and substr(s, a, b). Hence [Format] of a tree parses to an equal
// tree, though not always to the text the tree came from.
//
// Trees are not modified by this package after Parse and may be shared between
// goroutines that only read.
package syntax
