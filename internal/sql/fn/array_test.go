package fn

import "testing"

func TestArrayFunctionsFailAndGiveNullAsDocumented(t *testing.T) {
	checkTexts(t,
		"ARRAY[3, 4][0]", "error: SQL array indices start at 1",
		"ARRAY[3, 4][-1]", "error: Array subscript is negative: -1",
		"ARRAY[3, 4][3]", "error: Array subscript out of bounds",
		"ARRAY[3, NULL][2]", "NULL",
		"element_at(ARRAY[3, 4], 3)", "NULL",
		"element_at(ARRAY[3, 4], 0)", "error: SQL array indices start at 1",
		"array_max(ARRAY[3, NULL])", "NULL",
		"array_max(ARRAY[])", "NULL",
		"array_position(ARRAY[3, 4], 9)", "0",
		"arrays_overlap(ARRAY[3, NULL], ARRAY[4])", "NULL",
		"arrays_overlap(ARRAY[3, NULL], ARRAY[])", "false",
		"contains(ARRAY[3, NULL], 4)", "NULL",
		"cardinality(NULL)", "NULL",
		"repeat(NULL, 2)", "[NULL, NULL]",
		"repeat(1, 10001)", "error: count argument of repeat function must be less than or equal to 10000",
		"sequence(1, 10001)", "error: result of sequence function must not have more than 10000 entries",
		"cardinality(sequence(1, 10000))", "10000",
		"sequence(3, 1)", "[3, 2, 1]",
		"sequence(1, 3, -1)", "error: sequence stop value should be greater than or equal to start value if step is greater than zero otherwise stop should be less than or equal to start",
		"sequence(1, 3, 0)", "error: step must not be zero",
		"sequence('2031-02-03', '2031-02-04')", "[2031-02-03 00:00:00.000000000, 2031-02-04 00:00:00.000000000]",
		"sequence(9223372036854775806, 9223372036854775807)", "[9223372036854775806, 9223372036854775807]",
		"slice(ARRAY[3, 4, 5], -2, 9)", "[4, 5]",
		"slice(ARRAY[3], 4, 1)", "[]",
		"slice(ARRAY[3], 0, 1)", "error: SQL array indices start at 1",
		"ARRAY[1] || 2.5", "[1.0, 2.5]",
		"ARRAY[ARRAY[1]] || ARRAY[2]", "[[1], [2]]",
		"concat(ARRAY[1], ARRAY[], ARRAY[NULL])", "[1, NULL]",
		"flatten(ARRAY[ARRAY[1], NULL])", "[1]",
		"array_join(ARRAY[1.5, 2], ',')", "1.5,2.0",
		"array_sort(ARRAY['b', NULL, 'a'])", "[a, b, NULL]",
	)
}

func TestLambdasSeeElementsInOrderAndNulls(t *testing.T) {
	checkTexts(t,
		"transform(ARRAY[], x -> x)", "[]",
		"transform(ARRAY[3, NULL], x -> x + 1)", "[4, NULL]",
		"transform(ARRAY['a', 'b'], s -> s || transform(ARRAY['x', 'y'], i -> s || i)[2])", "[aay, bby]",
		"reduce(ARRAY[], 7, (s, x) -> s, s -> s + 1)", "8",
		"reduce(NULL, 7, (s, x) -> s, s -> s)", "NULL",
		"reduce(ARRAY['a', 'b', 'c'], '', (s, x) -> s || x, s -> s)", "abc",
		"reduce(ARRAY[5, 20, 50], CAST(ROW(0.0, 0) AS row(sum double, count integer)), (s, x) -> CAST(ROW(x + s.sum, s.count + 1) AS row(sum double, count integer)), s -> s.sum / s.count)", "25.0",
		"any_match(ARRAY[1, NULL], x -> x > 1)", "NULL",
		"any_match(ARRAY[2, NULL], x -> x > 1)", "true",
		"all_match(ARRAY[], x -> x > 1)", "true",
		"none_match(ARRAY[1, NULL], x -> x > 1)", "NULL",
		"zip_with(ARRAY[1], ARRAY[10, 20], (x, y) -> y)", "[10, 20]",
		"filter(ARRAY[1, NULL, 3], x -> x > 2)", "[3]",
	)
}

func TestSeriesOutsideTheirSpanAndWithTwins(t *testing.T) {
	const from = " FROM (VALUES (TIMESTAMP '2031-02-03 00:10', 1.0), (TIMESTAMP '2031-02-03 00:10', 3.0), (TIMESTAMP '2031-02-03 00:20', 5.0)) AS t(time, v)"
	checkTexts(t,
		"interpolate_linear(create_time_series(time, v), TIMESTAMP '2031-02-03 00:15')"+from, "4.0",
		"interpolate_linear(create_time_series(time, v), TIMESTAMP '2031-02-03 00:05')"+from, "NULL",
		"interpolate_linear(create_time_series(time, v), TIMESTAMP '2031-02-03 00:20')"+from, "5.0",
		"interpolate_spline_cubic(create_time_series(time, v), TIMESTAMP '2031-02-03 00:15')"+from, "4.0",
		"interpolate_locf(create_time_series(time, v), TIMESTAMP '2031-02-03 00:05')"+from, "NULL",
		"interpolate_locf(create_time_series(time, 'x'), TIMESTAMP '2031-02-03 09:00')"+from, "x",
		"interpolate_linear(create_time_series(time, v), ARRAY[])"+from, "[]",
		"derivative_linear(filter(create_time_series(time, v), p -> p.value > 9), 1s)"+from, "[]",
		"integral_trapezoidal(filter(create_time_series(time, v), p -> p.value > 9))"+from, "0.0",
		"correlate_pearson(create_time_series(time, v), create_time_series(time + 1s, v))"+from,
		"error: the series to correlate must have the same timestamps: 2031-02-03 00:10:00.000000000 and 2031-02-03 00:10:01.000000000",
		"create_time_series(time, v) FROM (VALUES (TIMESTAMP '2031-02-03', NULL)) AS t(time, v)", "error: create_time_series does not take a null value",
	)
}
