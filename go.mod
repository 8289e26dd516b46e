module github.com/weir-db/weir

go 1.26.0

require (
	github.com/aws/aws-sdk-go-v2 v1.48.0
	github.com/cespare/xxhash/v2 v2.3.0
	github.com/fxamacker/cbor/v2 v2.10.0
)

require (
	github.com/aws/smithy-go v1.28.9 // indirect
	github.com/x448/float16 v0.8.4 // indirect
)
