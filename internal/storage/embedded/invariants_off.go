//go:build !invariants

package embedded

// poison does something only with the build tag invariants.
func poison(*outputs) {}

func poisonBlock(*blockData) {}
