module github.com/weir-db/weir

go 1.26.0

require github.com/fxamacker/cbor/v2 v2.10.0

require (
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/x448/float16 v0.8.4 // indirect
)
