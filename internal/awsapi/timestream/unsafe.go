package timestream

import "unsafe"

// view returns b as a string without a copy: valid as long as nobody writes to b.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// offset returns where in body the view s begins.
func offset(body []byte, s string) int {
	return int(uintptr(unsafe.Pointer(unsafe.StringData(s))) - uintptr(unsafe.Pointer(unsafe.SliceData(body))))
}
