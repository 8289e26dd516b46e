#!/bin/sh
# Installs the clients of the end-to-end tests below .e2e and runs them against ./weir.
# A registry that cannot be reached is a failure, not a skip.
set -eu
cd "$(dirname "$0")/../.."
if ! command -v mosquitto_pub >/dev/null || ! command -v curl >/dev/null || ! test -x /usr/bin/aws || ! /usr/bin/python3 -c 'import boto3' 2>/dev/null; then
	echo "installing Debian's mosquitto-clients, curl, awscli and python3-boto3"
	sudo=$(test "$(id -u)" = 0 || echo sudo)
	$sudo apt-get update -qq
	DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq mosquitto-clients curl awscli python3-boto3 >/dev/null
fi
mkdir -p .e2e/node
test -x .e2e/venv/bin/aws || { python3 -m venv .e2e/venv && .e2e/venv/bin/pip install -q boto3 awscli; }
test -d .e2e/wrangler/bin && .e2e/wrangler/bin/python -c 'import awswrangler, duckdb' 2>/dev/null ||
	{ python3 -m venv .e2e/wrangler && .e2e/wrangler/bin/pip install -q awswrangler duckdb; }
test -d .e2e/node/node_modules/@aws-sdk/client-iam || npm install --silent --no-fund --no-audit --prefix .e2e/node \
	@aws-sdk/client-timestream-write @aws-sdk/client-timestream-query @aws-sdk/client-s3 @aws-sdk/client-sns @aws-sdk/client-sqs @aws-sdk/client-iam
(cd test/compat/gosdk && ${GO:-go} vet ./...)
(cd test/compat/gosdkold && ${GO:-go} vet ./...)
CGO_ENABLED=0 ${GO:-go} build -o weir ./cmd/weir
exec ${GO:-go} test -tags e2e -count 1 -timeout 30m -v ./test/compat/...
