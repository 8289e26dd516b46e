package codec

const (
	boolsFalse = iota
	boolsTrue
	boolsPacked
)

// AppendBools appends vals, encoded.
func AppendBools(dst []byte, vals []bool) []byte {
	if len(vals) == 0 {
		return dst
	}
	same := true
	for _, v := range vals {
		same = same && v == vals[0]
	}
	switch {
	case same && vals[0]:
		return append(dst, boolsTrue)
	case same:
		return append(dst, boolsFalse)
	}
	dst = append(dst, boolsPacked)
	var acc byte
	for i, v := range vals {
		if v {
			acc |= 1 << (i & 7)
		}
		if i&7 == 7 || i == len(vals)-1 {
			dst = append(dst, acc)
			acc = 0
		}
	}
	return dst
}

// DecodeBools fills dst and returns what follows the block.
func DecodeBools(dst []bool, src []byte) ([]byte, error) {
	if len(dst) == 0 {
		return src, nil
	}
	r := reader{src: src}
	switch form := r.byte(); form {
	case boolsFalse, boolsTrue:
		if r.err != nil {
			return nil, r.err
		}
		for i := range dst {
			dst[i] = form == boolsTrue
		}
	case boolsPacked:
		b := r.bytes((len(dst) + 7) / 8)
		if r.err != nil {
			return nil, r.err
		}
		for i := range dst {
			dst[i] = b[i>>3]>>(i&7)&1 == 1
		}
	default:
		return nil, corrupt("booleans of form %d", form)
	}
	return r.src, nil
}
