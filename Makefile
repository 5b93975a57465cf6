# bio-mcp: `make demo` shows it, `make test` proves it.
.PHONY: demo test setup build bench mutants campaign coverage lint clean help

CARGO ?= cargo

help: ## this list
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

setup: ## fetch what the machine lacks into .tools/
	@scripts/setup.sh

build: setup ## build the program into target/release
	@scripts/build.sh

demo: build ## see it work on sample files and a simulated NCBI, on FILE=…, or LIVE=1 on the real one
	@target/release/bio-mcp demo $(FILE) $(if $(LIVE),--live)

test: ## run the whole test suite
	@scripts/test.sh

lint: ## format, clippy and documentation checks
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --quiet -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --quiet

bench: build ## measure against the Python reference (BENCH_FILE=… for a real file)
	@scripts/bench.sh

mutants: ## plant sixteen bugs, one at a time: the tests must catch each
	@scripts/mutants.sh

SEEDS ?= 5000
EXAMPLES ?= 6500
campaign: ## thousands of upstream histories (SEEDS=5000), a hundred thousand HTTP requests (EXAMPLES=6500)
	@BIO_MCP_MODEL_SEEDS=$(SEEDS) BIO_MCP_SCHEMATHESIS_EXAMPLES=$(EXAMPLES) \
		scripts/test.sh -E 'binary(sync_model) | test(every_answer_is_as_the_document_says)'

coverage: ## lines of jobs and ingest that the tests run
	@scripts/coverage.sh

clean: ## remove what was built and fetched
	rm -rf target .tools
