package storagetest

import "unsafe"

// unsafeString returns a string over b, to prove that backends copy what they keep.
func unsafeString(b []byte) string { return unsafe.String(&b[0], len(b)) }
