package syntax

// kind is the kind of a token.
type kind uint8

const (
	tokEOF kind = iota
	tokBad      // cannot be read; the lexer stops there and says why
	tokWord
	tokQuoted   // "…"
	tokString   // '…'
	tokUnicode  // U&'…'
	tokInteger  // digits
	tokDouble   // with a point or an exponent
	tokDuration // digits and a unit
	tokParam    // @name
	tokLParen
	tokRParen
	tokLBracket
	tokRBracket
	tokComma
	tokDot
	tokSemicolon
	tokArrow // ->
	tokPlus
	tokMinus
	tokStar
	tokSlash
	tokPercent
	tokConcat
	tokEq
	tokNe
	tokLt
	tokLe
	tokGt
	tokGe

	// Of Postgres only.
	tokCast    // ::
	tokMatch   // ~ ~* !~ !~*
	tokEscaped // E'…'
)

// token is a piece of the text: bytes start to end, beginning at line and col.
type token struct {
	kind      kind
	kw        keyword // of a word; kwNone if it has no meaning in the grammar
	unit      Unit    // of a duration
	start     int32
	end       int32
	line, col int32
	match     int32 // of a "(": the index of the token ")" that closes it, or 0
}

func (t token) pos() Pos { return Pos{int(t.line), int(t.col)} }

// keyword is a word with a meaning in the grammar.
type keyword uint8

const (
	kwNone keyword = iota

	// Reserved: never a bare name (reference: sql.md section 2.2).
	kwAlter
	kwAnd
	kwAs
	kwBetween
	kwBy
	kwCase
	kwCast
	kwConstraint
	kwCreate
	kwCross
	kwCube
	kwCurrentDate
	kwCurrentTime
	kwCurrentTimestamp
	kwCurrentUser
	kwDeallocate
	kwDelete
	kwDescribe
	kwDistinct
	kwDrop
	kwElse
	kwEnd
	kwEscape
	kwExcept
	kwExecute
	kwExists
	kwExtract
	kwFalse
	kwFor
	kwFrom
	kwFull
	kwGroup
	kwGrouping
	kwHaving
	kwIn
	kwInner
	kwInsert
	kwIntersect
	kwInto
	kwIs
	kwJoin
	kwLeft
	kwLike
	kwLocaltime
	kwLocaltimestamp
	kwNatural
	kwNormalize
	kwNot
	kwNull
	kwOn
	kwOr
	kwOrder
	kwOuter
	kwPrepare
	kwRecursive
	kwRight
	kwRollup
	kwSelect
	kwTable
	kwThen
	kwTrue
	kwUescape
	kwUnion
	kwUnnest
	kwUsing
	kwValues
	kwWhen
	kwWhere
	kwWith
	lastReserved = kwWith

	// Not reserved: names wherever the grammar does not ask for the word.
	kwAll keyword = iota - 1
	kwAnalyze
	kwAny
	kwArray
	kwAsc
	kwCurrent
	kwDatabases
	kwDesc
	kwExplain
	kwFetch
	kwFilter
	kwFirst
	kwFollowing
	kwIgnore
	kwInterval
	kwLast
	kwLimit
	kwMeasures
	kwNext
	kwNulls
	kwOffset
	kwOnly
	kwOrdinality
	kwOver
	kwPartition
	kwPosition
	kwPreceding
	kwPrecision
	kwRange
	kwRespect
	kwRow
	kwRows
	kwSets
	kwShow
	kwSome
	kwSubstring
	kwTables
	kwTo
	kwTryCast
	kwUnbounded
	kwUnload
	keywordCount
)

func (k keyword) reserved() bool { return kwNone < k && k <= lastReserved }

// keywordNames are the words in lower case, by keyword.
var keywordNames = [keywordCount]string{
	kwAlter: "alter", kwAnd: "and", kwAs: "as", kwBetween: "between", kwBy: "by", kwCase: "case", kwCast: "cast",
	kwConstraint: "constraint", kwCreate: "create", kwCross: "cross", kwCube: "cube", kwCurrentDate: "current_date",
	kwCurrentTime: "current_time", kwCurrentTimestamp: "current_timestamp", kwCurrentUser: "current_user",
	kwDeallocate: "deallocate", kwDelete: "delete", kwDescribe: "describe", kwDistinct: "distinct", kwDrop: "drop",
	kwElse: "else", kwEnd: "end", kwEscape: "escape", kwExcept: "except", kwExecute: "execute", kwExists: "exists",
	kwExtract: "extract", kwFalse: "false", kwFor: "for", kwFrom: "from", kwFull: "full", kwGroup: "group",
	kwGrouping: "grouping", kwHaving: "having", kwIn: "in", kwInner: "inner", kwInsert: "insert", kwIntersect: "intersect",
	kwInto: "into", kwIs: "is", kwJoin: "join", kwLeft: "left", kwLike: "like", kwLocaltime: "localtime",
	kwLocaltimestamp: "localtimestamp", kwNatural: "natural", kwNormalize: "normalize", kwNot: "not", kwNull: "null",
	kwOn: "on", kwOr: "or", kwOrder: "order", kwOuter: "outer", kwPrepare: "prepare", kwRecursive: "recursive",
	kwRight: "right", kwRollup: "rollup", kwSelect: "select", kwTable: "table", kwThen: "then", kwTrue: "true",
	kwUescape: "uescape", kwUnion: "union", kwUnnest: "unnest", kwUsing: "using", kwValues: "values", kwWhen: "when",
	kwWhere: "where", kwWith: "with",

	kwAll: "all", kwAnalyze: "analyze", kwAny: "any", kwArray: "array", kwAsc: "asc", kwCurrent: "current",
	kwDatabases: "databases", kwDesc: "desc", kwExplain: "explain", kwFetch: "fetch", kwFilter: "filter", kwFirst: "first",
	kwFollowing: "following", kwIgnore: "ignore", kwInterval: "interval", kwLast: "last", kwLimit: "limit",
	kwMeasures: "measures", kwNext: "next", kwNulls: "nulls", kwOffset: "offset", kwOnly: "only", kwOrdinality: "ordinality",
	kwOver: "over", kwPartition: "partition", kwPosition: "position", kwPreceding: "preceding", kwPrecision: "precision",
	kwRange: "range", kwRespect: "respect", kwRow: "row", kwRows: "rows", kwSets: "sets", kwShow: "show", kwSome: "some",
	kwSubstring: "substring", kwTables: "tables", kwTo: "to", kwTryCast: "try_cast", kwUnbounded: "unbounded",
	kwUnload: "unload",
}

var keywords = func() map[string]keyword {
	m := make(map[string]keyword, keywordCount)
	for k, name := range keywordNames {
		if name != "" {
			m[name] = keyword(k)
		}
	}
	return m
}()

// longestKeyword is the length of "current_timestamp".
const longestKeyword = 17

// keywordOf returns the keyword that word spells in any case, or kwNone.
func keywordOf(word string) keyword {
	if len(word) > longestKeyword {
		return kwNone
	}
	var lower [longestKeyword]byte
	for i := range len(word) {
		c := word[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		lower[i] = c
	}
	return keywords[string(lower[:len(word)])]
}
