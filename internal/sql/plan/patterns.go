package plan

import (
	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/sql/fn"
	"github.com/weir-db/weir/internal/sql/syntax"
	"github.com/weir-db/weir/internal/vec"
)

// patterns are the functions with an argument that is read as a pattern: which one, and by which function over
// what value a constant one is tried. Formats are tried by writing, because no text fits every one of them.
var patterns = map[string]struct {
	at  int
	try string
	on  vec.Value
}{
	"regexp_like":        {1, "regexp_like", vec.Str("")},
	"regexp_extract":     {1, "regexp_like", vec.Str("")},
	"regexp_extract_all": {1, "regexp_like", vec.Str("")},
	"regexp_replace":     {1, "regexp_like", vec.Str("")},
	"regexp_split":       {1, "regexp_like", vec.Str("")},
	"like":               {1, "like", vec.Str("")},
	"date_format":        {1, "date_format", vec.Int(vec.TimestampType, 0)},
	"date_parse":         {1, "date_format", vec.Int(vec.TimestampType, 0)},
	"format_datetime":    {1, "format_datetime", vec.Int(vec.TimestampType, 0)},
	"parse_datetime":     {1, "format_datetime", vec.Int(vec.TimestampType, 0)},
}

// checkPattern refuses a call whose constant pattern cannot be read (sql.md section 8.9), if it is certain
// to be evaluated: under TRY, and in a branch that may not be taken, it is left to the execution.
func (b *builder) checkPattern(c *Call, argAt func(int) syntax.Pos) error {
	p, ok := patterns[c.Call.Func.Name]
	if !ok || b.guarded > 0 {
		return nil
	}
	args := []vec.Value{p.on}
	for i := p.at; i < len(c.Args) && (i == p.at || p.try == "like"); i++ { // LIKE has an escape
		v, ok := constOf(b.fold(c.Args[i]))
		if !ok || v.Null {
			return nil
		}
		args = append(args, v)
	}
	call, err := b.env.Functions.Scalar(p.try, typesOfValues(args))
	if err != nil {
		return nil
	}
	vectors := make([]*vec.Vector, len(args))
	for i, v := range args {
		v.Type = call.Args[i]
		vectors[i] = vec.Const(v, 1)
	}
	if _, err = fn.Invoke(call, &fn.Context{Now: b.env.Now, Return: call.Return, Args: call.Args}, vectors, 1); err == nil {
		return nil
	}
	return errorAt(argAt(len(args)-1), "%s", fault.MessageOf(err))
}

func typesOfValues(values []vec.Value) []vec.Type {
	types := make([]vec.Type, len(values))
	for i, v := range values {
		types[i] = v.Type
	}
	return types
}
