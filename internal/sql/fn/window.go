package fn

// windowFunctions is what exists only with OVER (sql.md section 10); the executor
// computes them by name.
func windowFunctions() []WindowFunc {
	doc := func(text string) Docs { return Docs{Category: "window", Text: text} }
	return []WindowFunc{
		{Signature: "row_number() -> bigint", Docs: doc("Number of the row in its partition, from 1.")},
		{Signature: "rank() -> bigint", Docs: doc("Rank of the row, with gaps after peers.")},
		{Signature: "dense_rank() -> bigint", Docs: doc("Rank of the row, without gaps.")},
		{Signature: "percent_rank() -> double", Docs: doc("(rank - 1) / (rows - 1); 0.0 for a single row.")},
		{Signature: "cume_dist() -> double", Docs: doc("Rows before or peer to the row, divided by the rows of the partition.")},
		{Signature: "ntile(bigint) -> bigint", Docs: doc("Number of the row's bucket when the partition is cut into n of nearly equal size.")},
		{Signature: "first_value(T) -> T", Docs: doc("Value of the first row of the frame.")},
		{Signature: "last_value(T) -> T", Docs: doc("Value of the last row of the frame.")},
		{Signature: "nth_value(T, bigint) -> T", Docs: doc("Value of the n-th row of the frame, from 1; null past its end.")},
		{Signature: "lead(T) -> T", Docs: doc("Value of the next row of the partition.")},
		{Signature: "lead(T, bigint) -> T", Docs: doc("Value of the n-th row after this one.")},
		{Signature: "lead(T, bigint, T) -> T", Docs: doc("Value of the n-th row after this one, or a default.")},
		{Signature: "lag(T) -> T", Docs: doc("Value of the row before in the partition.")},
		{Signature: "lag(T, bigint) -> T", Docs: doc("Value of the n-th row before this one.")},
		{Signature: "lag(T, bigint, T) -> T", Docs: doc("Value of the n-th row before this one, or a default.")},
	}
}
