package exec

import (
	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/sql/plan"
)

func newWindow(*frame, *plan.Window) (operator, error) {
	return nil, fault.New(fault.Invalid, "Window functions are not supported yet")
}
