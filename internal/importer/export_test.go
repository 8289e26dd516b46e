package importer

// SaveEvery makes an import save its state after so many rows.
func SaveEvery(o *Options, rows int64) { o.saveRows = rows }

// SetWindowRows is about how many rows a window has.
func (r *Remote) SetWindowRows(n int64) { r.windowRows = n }

// SetPageRows has pages of so many rows asked for.
func (r *Remote) SetPageRows(n int32) { r.pageRows = n }
