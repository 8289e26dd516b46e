package importer

// SaveEvery makes an import save its state after so many rows.
func SaveEvery(o *Options, rows int64) { o.saveRows = rows }
