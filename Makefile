# Targets for developers; .ci/run uses the same ones.

GO ?= go

.PHONY: web build test check race fuzz e2e e2e-java bench torture

build: ## the server, without cgo
	CGO_ENABLED=0 $(GO) build -o weir ./cmd/weir

web: ## the web console, into internal/console/dist; needs npm
	cd web && npm ci && npm run check && npm run build

test: ## what a contributor runs all the time
	$(GO) test ./...

check: ## format, vet, staticcheck, layers, tests with -race and invariants, a minute of fuzzing
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$unformatted" || { echo "not gofmt'ed:"; echo "$$unformatted"; exit 1; }
	$(GO) vet ./...
	$(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...
	$(GO) test -race -tags invariants ./...
	$(MAKE) fuzz FUZZTIME=3s

FUZZTIME ?= 30s
fuzz: ## every fuzz target for FUZZTIME
	@GO=$(GO) FUZZTIME=$(FUZZTIME) sh test/fuzz.sh

e2e: build ## real clients in other languages against the real binary; the SQL engine against DuckDB
	sh test/compat/run.sh
	GO=$(GO) sh test/sql/duckdb/run.sh

e2e-java: build ## the AWS SDKs for Java through Maven; not a part of CI
	$(GO) test -tags e2e,e2ejava -count 1 -v -run TestJava ./test/compat/

torture: build ## kill -9 loops: ROUNDS rounds; crashes, failures and full disks at every operation of the simulated one; SOAK=1h lets it live instead, STALL=2m times writes beside flushes and merges
	$(GO) run ./test/torture $(if $(STALL),-stall $(STALL) -writers 2,$(if $(SOAK),-soak $(SOAK),-rounds $(or $(ROUNDS),1000))) -bin ./weir
	$(if $(SOAK)$(STALL),,$(GO) test ./internal/storage/embedded -run 'Crash|Fails|Full|Flipped|Jumps|Random' -crash.every -count 1 -timeout 2h)

bench: build ## the measurements of docs/benchmarks.md; PEERS=victoriametrics,duckdb measures those too
	cd bench && $(GO) run . -bin ../weir $(if $(PEERS),-peers $(PEERS)) $(BENCHFLAGS)
