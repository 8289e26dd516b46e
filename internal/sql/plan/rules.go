package plan

// Rule is one step of the optimizer.
type Rule struct {
	Name string
	run  func(*Query, *builder)
}

// Rules is the optimizer, in the order of its work. No rule changes an answer.
var Rules = []Rule{}

func optimize(q *Query, b *builder) {
	for _, r := range Rules {
		if !b.env.Disabled[r.Name] {
			r.run(q, b)
		}
	}
}
