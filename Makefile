# The one entry point for people and for CI. `make` alone lists the targets.
# Needs make and Python >= 3.11; everything else comes, pinned and hash-checked, into .venv.

PYTHON ?= python3
DATA_DIR ?= ./data
GRPC_LISTEN ?= 127.0.0.1:9443
HTTP_LISTEN ?= 127.0.0.1:9180
SANDBOX_PORT ?= 9181
SANDBOX_FLAGS ?=
BENCHMARKS ?= start decision ingest_core recording_format emit search search_growth tail export recordings external_search recordings_to_s3 delivery

BIN := .venv/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
# Folders that hold Python of ours; protos/gen is generated and left out by the tools' own configuration.
# The tests in parts; those of whole ways by name.
unit_TESTS := tests/unit
crash_TESTS := tests/crash
ways_TESTS := $(wildcard tests/e2e/test_[a-l]*.py) tests/docs
more-ways_TESTS := $(wildcard tests/e2e/test_[m-z]*.py)
edge_TESTS := tests/grpc
contract_TESTS := tests/contract
other_TESTS := $(filter-out tests/__pycache__ tests/unit tests/crash tests/e2e tests/docs tests/grpc tests/contract,$(patsubst %/,%,$(wildcard tests/*/)))
TEST_PARTS := test-crash test-more-ways test-ways test-unit test-contract test-other test-edge
# Tests sync and wait for the disk all the time; where memory has room, it has their folders. What a loss of power leaves
# is shown with files that forget what wasn't synced, and not with the disk.
TEST_ROOM := $(shell [ "$$(df --output=avail -BG /dev/shm 2>/dev/null | tr -dc 0-9)" -ge 4 ] 2>/dev/null && echo /dev/shm)
DOCS_TOOLS := $(subst /,.,$(basename $(wildcard tools/generate_*_docs.py)))
SOURCES := server rbac clients tools tests benchmarks

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

##@ Use

.PHONY: help
help: ## List the targets.
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' Makefile

.PHONY: run
run: .venv/.compiled ## Start the service: gRPC on GRPC_LISTEN, operations HTTP on HTTP_LISTEN, data in DATA_DIR.
	@exec $(BIN)/extaudit serve --data-dir $(DATA_DIR) --grpc-listen $(GRPC_LISTEN) --http-listen $(HTTP_LISTEN)

.PHONY: sandbox
sandbox: .venv/.dev ## Start the AWS sandbox on SANDBOX_PORT of this machine and say how to use it; docs/aws-sandbox.md.
	@exec $(BIN)/python -m tests.sandbox --port $(SANDBOX_PORT) --as-tls --explain $(SANDBOX_FLAGS)

.PHONY: demo
demo: .venv/.dev ## Walk through External Audit Storage, by real commands against a sandbox of AWS; nothing of it is left.
	@$(BIN)/python -m server.warming
	@$(BIN)/python -m tests.demo

##@ Check

.PHONY: check
check: ## Everything that CI checks; formats nothing, fixes nothing.
	@$(MAKE) --no-print-directory -j 2 .venv/.dev .venv/.compiled
	@$(MAKE) --no-print-directory --output-sync=target -j 2 lint imports proto-check docs-check
	@$(MAKE) --no-print-directory test BESIDE_TESTS=types
	@echo "==> all checks passed"

.PHONY: test
test: .venv/.dev ## Run the tests; T=tests/shape picks some.
	@$(BIN)/python -m server.warming
ifdef T
	@echo "==> tests: pytest $(T)"
	@$(BIN)/python -m pytest --quiet $(T)
else
	@# In parts that run three at a time, the longest first: many wait for the disk and for other processes. What a part
	@# says comes at its end. The tests of the edge have a process of their own, in which gRPC begins and ends a server for
	@# each: behind many other tests one of them crashed it, for a reason that isn't known.
	@echo "==> tests: $(words $(TEST_PARTS)) parts, three at a time"
	@rm -rf .venv/sent && mkdir .venv/sent
	@SANDBOX_SENT="$(CURDIR)/.venv/sent" \
	  $(MAKE) --no-print-directory --output-sync=target --keep-going -j 3 $(TEST_PARTS) $(BESIDE_TESTS)
	@echo "==> tests: what all of them had the service send to AWS, against its policy"
	@$(BIN)/python -m tests.connection.sent_by_suite .venv/sent
endif

.PHONY: $(TEST_PARTS)
$(TEST_PARTS): test-%: .venv/.dev
	@echo "==> tests: $($*_TESTS)"
	@folder=$$(mktemp -d $(TEST_ROOM:%=%/)$(if $(TEST_ROOM),,-t )extaudit.XXXX) && trap 'rm -rf "$$folder"' EXIT INT TERM && \
	  TMPDIR="$$folder" $(BIN)/python -m pytest --quiet -p no:cacheprovider $($*_TESTS)

.PHONY: format
format: .venv/.dev ## Format the Python code and sort its imports.
	@$(BIN)/ruff check --quiet --select I --fix $(SOURCES)
	@$(BIN)/ruff format $(SOURCES)

.PHONY: lint
lint: .venv/.dev ## Check format and style of the Python code.
	@echo "==> format: ruff format --check"
	@$(BIN)/ruff format --quiet --check $(SOURCES) || { echo "run: make format" >&2; exit 1; }
	@echo "==> lint: ruff check"
	@$(BIN)/ruff check --quiet $(SOURCES)

.PHONY: types
types: .venv/.dev ## Check the types: mypy, strict.
	@echo "==> types: mypy --strict"
	@$(BIN)/mypy --no-error-summary

.PHONY: imports
imports: .venv/.dev ## Check which folder may import which.
	@echo "==> imports: lint-imports"
	@$(BIN)/lint-imports --no-logo

##@ Generated files

.PHONY: proto
proto: .venv/.dev ## Generate protos/gen from protos/extaudit.
	@$(BIN)/python tools/generate_protos.py

.PHONY: proto-check
proto-check: .venv/.dev ## Check the protos: lint, breaking changes since the last release, freshness of protos/gen.
	@echo "==> protos: buf lint"
	@$(BIN)/buf lint
	@echo "==> protos: buf breaking, against protos/released.binpb"
	@$(BIN)/buf breaking --against protos/released.binpb
	@echo "==> protos: protos/gen is fresh"
	@$(BIN)/python tools/generate_protos.py --check

.PHONY: proto-release
proto-release: .venv/.dev ## Make the protos of today what `buf breaking` compares with; part of a release.
	@$(BIN)/buf build --exclude-source-info -o protos/released.binpb

.PHONY: docs
docs: .venv/.dev ## Generate the reference pages in docs/.
	@for tool in $(DOCS_TOOLS); do $(BIN)/python -m $$tool || exit 1; done

.PHONY: docs-check
docs-check: .venv/.dev ## Check that the reference pages in docs/ are fresh.
	@echo "==> docs: reference pages are fresh"
	@for tool in $(DOCS_TOOLS); do $(BIN)/python -m $$tool --check || exit 1; done

.PHONY: samples
samples: .venv/.dev ## Write the sample recordings that go with the sample events.
	@$(BIN)/python -m tools.generate_sample_recordings

.PHONY: lock
lock: .venv/bin/python ## Pin what requirements/*.in ask for, with hashes; uv comes from a throw-away environment.
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && \
	$(BIN)/python -m venv "$$dir/venv" && \
	"$$dir/venv/bin/python" -m pip --quiet --disable-pip-version-check install uv && \
	for name in runtime tracing dev; do \
	  echo "==> lock: requirements/$$name.txt"; \
	  "$$dir/venv/bin/uv" --quiet pip compile --universal --python-version 3.11 --generate-hashes --no-header $(LOCK_FLAGS) \
	    requirements/$$name.in -o requirements/$$name.txt || exit 1; \
	done

##@ Long runs

.PHONY: crash
crash: .venv/.dev ## Run the crash tests alone, with every case shown, 50 rounds of kill -9 and a bucket gone for ten minutes.
	@EXTAUDIT_CRASH_ROUNDS=$${EXTAUDIT_CRASH_ROUNDS:-50} \
	  EXTAUDIT_CRASH_OUTAGE_SECONDS=$${EXTAUDIT_CRASH_OUTAGE_SECONDS:-600} $(BIN)/python -m pytest -v tests/crash

.PHONY: fuzz
fuzz: .venv/.dev ## Run the fuzzing tests alone, with 20,000 rounds of each, and hold both search engines equal on 500 queries.
	@EXTAUDIT_FUZZ_ROUNDS=$${EXTAUDIT_FUZZ_ROUNDS:-20000} $(BIN)/python -m pytest -q tests/fuzz
	@EXTAUDIT_QUERIES=$${EXTAUDIT_QUERIES:-500} $(BIN)/python -m pytest -q --timeout 900 tests/contract/test_athena_oracle.py

.PHONY: bench
bench: .venv/.dev ## Run the benchmarks named in BENCHMARKS; each prints JSON lines with its floor and target.
	@for name in $(BENCHMARKS); do echo "==> benchmarks/$$name.py" >&2; $(BIN)/python -m benchmarks.$$name || exit 1; done

.PHONY: performance
performance: .venv/.dev ## Run all benchmarks, keep their figures and write docs/performance.md from them.
	@$(BIN)/python -m benchmarks.performance $(BENCHMARKS)
	@$(BIN)/python -m tools.generate_performance_docs

.PHONY: clean
clean: ## Remove what make built; data and generated code in the repository stay.
	@rm -rf .venv build dist ./*.egg-info clients/python/build clients/python/*.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	@find $(SOURCES) protos -type d -name __pycache__ -prune -exec rm -rf {} +

# Stamps: pip is called only when a lock file or pyproject.toml changed.

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	{ echo "extaudit needs Python >= 3.11, which $(PYTHON) is not; name another: make PYTHON=python3.12 …" >&2; exit 1; }
	@echo "==> making .venv"
	@$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }

.venv/.runtime: requirements/runtime.txt pyproject.toml clients/python/pyproject.toml | .venv/bin/python
	@echo "==> installing what the service needs (requirements/runtime.txt)"
	@$(PIP) install --require-hashes -r requirements/runtime.txt
	@$(PIP) install --no-deps --no-build-isolation -e . -e clients/python
	@touch $@

.venv/.compiled: .venv/.runtime
	@echo "==> compiling what is compiled (some twenty seconds, once)"
	@$(BIN)/python -m server.warming
	@touch $@

.venv/.dev: requirements/dev.txt .venv/.runtime
	@echo "==> installing what the checks need (requirements/dev.txt)"
	@$(PIP) install --no-compile --require-hashes -r requirements/dev.txt
	@touch $@
