# bio-mcp: `make demo` demonstrates it, `make test` tests it.
.PHONY: demo test setup build bench mutants campaign fuzz coverage lint audit locks clean help run-http run-worker smoke-http invoke functions

CARGO ?= cargo

help: ## this list
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

setup: ## fetch what the machine lacks into .tools/
	@scripts/setup.sh

build: setup ## build the program into target/release (FEATURES=aws,otlp: for S3, SQS, DynamoDB, secrets by ARN; for spans)
	@FEATURES='$(FEATURES)' scripts/build.sh

demo: build ## see it work on sample files and a simulated NCBI, on FILE=…, or LIVE=1 on the real one
	@fetched=$$PWD/.tools/postgres/bin; \
		if [ -x "$$fetched/initdb" ]; then export BIO_MCP_POSTGRES_BIN="$${BIO_MCP_POSTGRES_BIN:-$$fetched}"; fi; \
		target/release/bio-mcp demo $(FILE) $(if $(LIVE),--live)

URL ?= http://127.0.0.1:8080
TOOL ?= ping
PARAMS ?= {}

run-http: build ## answer over HTTP on port 8080 until stopped (workers: make run-worker)
	@target/release/bio-mcp serve

run-worker: build ## work on queued jobs until stopped
	@target/release/bio-mcp worker

smoke-http: ## ask a running server (URL=…, TOKEN=…) whether it is well, and try a job
	@URL='$(URL)' TOKEN='$(TOKEN)' scripts/smoke-http.sh

invoke: ## call a tool of a running server: TOOL=pubmed.search PARAMS='{"term":"asthma"}'
	@printf '{"tool":"%s","params":%s}' '$(TOOL)' '$(PARAMS)' | curl -sS --fail-with-body '$(URL)/v1/mcp/invoke' \
		$(if $(TOKEN),-H 'Authorization: Bearer $(TOKEN)') -H 'Content-Type: application/json' --data-binary @- && echo

functions: ## build the Lambda functions into target/lambda (docs/deploying.md)
	@scripts/package.sh

test: ## run the whole test suite
	@scripts/test.sh

lint: ## format, clippy and documentation checks
	. scripts/toolchain.sh && $(CARGO) fmt --all --check
	. scripts/toolchain.sh && $(CARGO) clippy --locked --workspace --all-targets --quiet -- -D warnings
	. scripts/toolchain.sh && RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps --quiet

audit: ## check the packages of both lock files against deny.toml and the advisory database
	@ADVISORIES='$(ADVISORIES)' scripts/audit.sh

locks: ## renew scripts/locks: what setup fetches, by version and hash (NAMES=… for some of them)
	@scripts/lock.py $(NAMES)

bench: ## measure what ships against the Python reference (BENCH_FILE=… for a real file)
	@scripts/bench.sh

mutants: ## plant the bugs of tests/mutants, one at a time: the tests must catch each
	@scripts/mutants.sh

SEEDS ?= 5000
KILLS ?= 200
SILENCES ?= 100
EXAMPLES ?= 12500
SHAPES ?= 1000
VARIANTS ?= 3000
campaign: ## histories (SEEDS=5000), kills (KILLS=200), silent connections (SILENCES=100), HTTP requests (EXAMPLES=12500), hostile XML (SHAPES=1000), variants of the fuzz corpus (VARIANTS=3000), sam local
	@BIO_MCP_MODEL_SEEDS=$(SEEDS) BIO_MCP_KILLS=$(KILLS) BIO_MCP_SILENCES=$(SILENCES) BIO_MCP_XML_SHAPES=$(SHAPES) \
		BIO_MCP_SCHEMATHESIS_EXAMPLES=$(EXAMPLES) BIO_MCP_FUZZ_VARIANTS=$(VARIANTS) scripts/test.sh \
		--success-output final -E 'test(/^(sync_model|campaign|xml_growth|fuzz_replay)::/) | test(every_response_is_as_the_document_says)'
	@scripts/sam_local.sh

TARGET ?= splitter
SECONDS ?= 60
fuzz: ## run libFuzzer on TARGET=splitter (tree, same_xml, envelope, cursor, address) for SECONDS=60; needs a nightly compiler
	@scripts/fuzz.sh '$(TARGET)' '$(SECONDS)'

coverage: ## lines of jobs and ingest that the tests run
	@scripts/coverage.sh

clean: ## remove what was built and fetched
	rm -rf target .tools
