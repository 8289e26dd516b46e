package exec

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/weir-db/weir/internal/vec"
)

// endless is an input that gives rows until the context is done.
type endless struct{}

func (endless) next(ctx context.Context) (*vec.Batch, error) { return &vec.Batch{Len: 1}, ctx.Err() }
func (endless) close()                                       {}

func TestAPanicOfAWorkerEndsTheQueryAndTheOtherWorkers(t *testing.T) {
	t.Parallel()
	for panicking := range 2 {
		f := &frame{run: &run{opt: Options{Workers: 4, ParallelRows: 1}}}
		var others atomic.Int64
		err := newPipeline(f, endless{}).run(t.Context(), func(w int) emitFunc {
			return func(context.Context, *vec.Batch) error {
				if w == panicking && others.Load() > 0 {
					panic("a bug")
				}
				if w != panicking {
					others.Add(1)
				}
				return nil
			}
		})
		if err == nil || !strings.Contains(err.Error(), "bug: a worker of a query panicked: a bug") {
			t.Errorf("worker %d panics: error = %v", panicking, err)
		}
	}
	err := inParallel(t.Context(), 4, 8, func(i int) error {
		if i == 3 {
			panic("a bug")
		}
		return nil
	})
	if err == nil || !strings.Contains(err.Error(), "bug: a worker of a query panicked: a bug") {
		t.Errorf("in parallel: error = %v", err)
	}
}
