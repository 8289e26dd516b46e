package fn

import "slices"

// pace lets what walks long arrays ask now and then whether the query still wants the result: an array may have millions of
// elements, and kernels are asked between rows only.
type pace struct {
	c     *Context
	steps int
}

// paceSteps is how many elements are looked at between two questions: at some 200 ns each a few milliseconds.
const paceSteps = 1 << 14

// step is called for each element; its error ends the walk.
func (p *pace) step() error { return p.stepBy(1) }

// stepBy is called for so many elements.
func (p *pace) stepBy(n int) error {
	if p.steps += n; p.steps < paceSteps {
		return nil
	}
	p.steps = 0
	return p.c.interrupted()
}

// sort sorts rows, stably: pieces first, which are then merged pair by pair.
func (p *pace) sort(rows []int32, compare func(a, b int32) int) error {
	const piece = 1 << 10
	for from := 0; from < len(rows); from += piece {
		slices.SortStableFunc(rows[from:min(from+piece, len(rows))], compare)
		if err := p.c.interrupted(); err != nil {
			return err
		}
	}
	if len(rows) <= piece {
		return nil
	}
	from, to := rows, make([]int32, len(rows))
	for width := piece; width < len(rows); width *= 2 {
		for at := 0; at < len(rows); at += 2 * width {
			middle, end := min(at+width, len(rows)), min(at+2*width, len(rows))
			if err := p.merge(to[at:end], from[at:middle], from[middle:end], compare); err != nil {
				return err
			}
		}
		from, to = to, from
	}
	copy(rows, from)
	return nil
}

// merge writes a and b, which are sorted, to dst; of equals those of a come first.
func (p *pace) merge(dst, a, b []int32, compare func(a, b int32) int) error {
	for i := range dst {
		if err := p.step(); err != nil {
			return err
		}
		if len(b) == 0 || len(a) > 0 && compare(a[0], b[0]) <= 0 {
			dst[i], a = a[0], a[1:]
		} else {
			dst[i], b = b[0], b[1:]
		}
	}
	return nil
}
