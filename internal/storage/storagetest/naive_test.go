package storagetest_test

import (
	"testing"

	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/storage/storagetest"
)

func TestNaivePassesItsOwnSuite(t *testing.T) {
	storagetest.Run(t, func(_ *testing.T, clk *clock.Clock) storage.Backend { return storagetest.NewNaive(clk) })
}
