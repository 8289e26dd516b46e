package embedded

import "sync"

// restingBlocks are buffers of workers whose scans have ended, as [*spareBuffers]. A small query decodes a block
// or two, of some hundred kilobytes; making and clearing them took longer than decoding.
var restingBlocks sync.Pool

// spareBuffers are what workers decode into, of no segment yet.
type spareBuffers struct {
	blocks []*blockData
	runs   []*segmentRun
}

// maxSpareBlocks bounds what is kept of one worker: more are needed where a series has many blocks, which
// take so long to decode that making buffers does not count.
const maxSpareBlocks = 16

// newWorker returns a worker for a scan. It is to be released.
func newWorker(p *plan) worker {
	w := worker{p: p}
	if spare, ok := restingBlocks.Get().(*spareBuffers); ok {
		w.spare, w.segmentRuns = spare.blocks, spare.runs
	}
	return w
}

// newBlock returns a block to reset and fill.
func (w *worker) newBlock() *blockData {
	n := len(w.spare)
	if n == 0 {
		return &blockData{}
	}
	d := w.spare[n-1]
	w.spare = w.spare[:n-1]
	return d
}

// release gives the worker's buffers to later scans: what its runs and blocks returned is not valid any more,
// and the worker is not to be used again. A worker that keeps its runs has nothing to give.
func (w *worker) release() {
	if w.keep {
		return
	}
	spare := &spareBuffers{blocks: append(w.spare, w.blocks...), runs: w.segmentRuns}
	for _, pair := range w.shared {
		for _, d := range pair {
			if d != nil {
				spare.blocks = append(spare.blocks, d)
			}
		}
	}
	clear(spare.blocks[min(len(spare.blocks), maxSpareBlocks):])
	clear(spare.runs[min(len(spare.runs), maxSpareBlocks):])
	spare.blocks, spare.runs = spare.blocks[:min(len(spare.blocks), maxSpareBlocks)], spare.runs[:min(len(spare.runs), maxSpareBlocks)]
	// They must not keep a closed segment in memory.
	for _, d := range spare.blocks {
		d.idx = nil
		poisonBlock(d)
	}
	for _, r := range spare.runs {
		*r = segmentRun{}
	}
	*w = worker{}
	restingBlocks.Put(spare)
}
