package timestream

import "unsafe"

// view returns b as a string without a copy: valid as long as nobody writes to b.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
