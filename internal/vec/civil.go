package vec

// Nanoseconds in the fixed units of time.
const (
	Microsecond = int64(1000)
	Millisecond = 1000 * Microsecond
	Second      = 1000 * Millisecond
	Minute      = 60 * Second
	Hour        = 60 * Minute
	Day         = 24 * Hour
	Week        = 7 * Day
)

// DaysOf returns the days from 1970-01-01 to the given day of the proleptic Gregorian
// calendar. Days and months outside their range are not checked: see [ValidDate].
func DaysOf(year, month, day int64) int64 {
	// Years start in March, so that the leap day is the last of a year, and are counted
	// in eras of 400 (H. Hinnant, "chrono-Compatible Low-Level Date Algorithms").
	if month <= 2 {
		year--
	}
	era := FloorDiv(year, 400)
	yoe := year - era*400
	doy := (153*((month+9)%12)+2)/5 + day - 1
	return era*146097 + yoe*365 + yoe/4 - yoe/100 + doy - 719468
}

// CivilOf is the inverse of [DaysOf].
func CivilOf(days int64) (year, month, day int64) {
	days += 719468
	era := FloorDiv(days, 146097)
	doe := days - era*146097
	yoe := (doe - doe/1460 + doe/36524 - doe/146096) / 365
	doy := doe - (365*yoe + yoe/4 - yoe/100)
	mp := (5*doy + 2) / 153
	day = doy - (153*mp+2)/5 + 1
	month = mp + 3
	year = yoe + era*400
	if month > 12 {
		month -= 12
	}
	if month <= 2 {
		year++
	}
	return year, month, day
}

// ValidDate reports whether there is such a day.
func ValidDate(year, month, day int64) bool {
	return month >= 1 && month <= 12 && day >= 1 && day <= DaysIn(year, month)
}

// DaysIn returns the number of days of a month (1 to 12).
func DaysIn(year, month int64) int64 {
	switch month {
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

// AddMonths moves a day by months; a day past the end of the target month becomes
// its last day.
func AddMonths(days, months int64) int64 {
	y, m, d := CivilOf(days)
	total := y*12 + m - 1 + months
	y = FloorDiv(total, 12)
	m = total - y*12 + 1
	return DaysOf(y, m, min(d, DaysIn(y, m)))
}

// FloorDiv is a/b rounded toward minus infinity; b must be positive.
func FloorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// FloorMod is the rest of [FloorDiv], 0 <= rest < b.
func FloorMod(a, b int64) int64 {
	r := a % b
	if r < 0 {
		r += b
	}
	return r
}
