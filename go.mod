module github.com/weir-db/weir

go 1.26.0
