# `make demo` and `make test` install all they need into .venv; nothing else on the machine is used or changed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# Every worker and every program that a test starts would compile the same modules again.
unexport PYTHONDONTWRITEBYTECODE

PYTEST := $(BIN)/python -m pytest

# Two workers for the fast tests: each imports everything first, which costs less than a second core gives. Half of the
# other suites' time is waiting for time-outs, so three workers keep two cores busy; a group (see tests/support/needs.py)
# stays on one worker. A worker that dies ends the run: its tests and the database that it started are lost with it.
FAST := $(PYTEST) -m fast -n 2 --dist worksteal --max-worker-restart 0
WORKERS := -n 3 --dist loadscope --no-loadscope-reorder --max-worker-restart 0
REST := $(PYTEST) -m "not fast" $(WORKERS)
RESULTS := $(VENV)/fast-results.json

# Lint beside the fast tests, because it uses one core alone; what it finds ends the run before the long tests begin.
# Both runs of tests, whatever the first one finds. Its results are counted in the last line of the second. 5: nothing
# selected. Files that are fast as a whole are passed over by the second run.
define ALL_TESTS
rm -f $(RESULTS) $(RESULTS).files; \
$(MAKE) --no-print-directory lint > $(VENV)/lint.log 2>&1 & lint=$$!; \
$(FAST) --keep-results=$(RESULTS) $(1); fast=$$?; \
wait $$lint || { cat $(VENV)/lint.log; exit 1; }; \
case $$fast in 0|1|5) ;; *) exit $$fast;; esac; \
$(REST) --suites --add-results=$(RESULTS) $(1); rest=$$?; \
[ $$fast -ne 1 ] || exit 1; \
[ $$rest -ne 5 ] || exit $$fast; \
exit $$rest
endef

.PHONY: help demo test test-fast test-deep test-postgres test-failover coverage lint format bench bench-before-after browser console-pictures \
	drill-explain release-documents lock clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## / - /'

demo: $(READY)  ## thousands of payments with faults mixed in, and the outcome of each
	@$(BIN)/tallystick demo $(ARGS)

test: browser  ## lint, types, import contracts and all tests
	@$(call ALL_TESTS,$(ARGS))

test-fast: $(READY)  ## lint, and beside it the tests that need no database and no other program: half a minute
	@$(MAKE) --no-print-directory lint > $(VENV)/lint.log 2>&1 & lint=$$!; \
	$(FAST) --suites $(ARGS); tests=$$?; \
	wait $$lint || { cat $(VENV)/lint.log; exit 1; }; exit $$tests

test-deep: export TALLYSTICK_TEST_DEPTH := deep
test-deep: browser  ## the same suites at full depth
	@$(call ALL_TESTS,--timeout 7200 $(ARGS))

test-postgres: $(READY)  ## migrate, demo and verify on PostgreSQL 15 to 18; exits with 3 where a version is not available
	@$(BIN)/python -m tests.postgres_versions $(ARGS)

test-failover: $(READY)  ## kill the first of two servers under load; exits with 3 where Patroni is not available
	@$(BIN)/python -m tests.failover $(ARGS)

coverage: export COVERAGE_FILE := $(abspath $(VENV))/coverage/data
coverage: $(READY)  ## the share of each room's code that the suites run, in percent
	@rm -rf $(VENV)/coverage && mkdir $(VENV)/coverage
	@$(BIN)/coverage run -m pytest $(WORKERS) $(ARGS); tests=$$?; \
	$(BIN)/coverage combine -q && $(BIN)/coverage json -q -o $(VENV)/coverage/report.json && \
	$(BIN)/python -m tests.support.coverage_table $(VENV)/coverage/report.json && exit $$tests

lint: $(READY)  ## style, types and import contracts
	@echo "ruff"; $(BIN)/ruff check -q . && $(BIN)/ruff format -q --check .
	@echo "mypy"; $(BIN)/mypy --no-error-summary
	@echo "import contracts"; $(BIN)/lint-imports > $(VENV)/lint-imports.log || { cat $(VENV)/lint-imports.log; exit 1; }

format: $(READY)  ## rewrite the code in the project's style
	@$(BIN)/ruff check -q --fix . ; $(BIN)/ruff format -q .

browser: $(READY)  ## a browser for the tests, where the machine has none
	@$(BIN)/python -m tests.support.browser

console-pictures: $(READY)  ## pictures of every page of the console: FOLDER=<where>; ARGS=readme for the two of the README
	@$(BIN)/python -m tests.support.console_pictures $(or $(FOLDER),console-pictures) $(ARGS)

drill-explain: browser  ## ten incidents among 10,000 payments, each found from the console's first page
	@$(BIN)/python -m tests.support.explain_drill $(ARGS)

bench: $(READY)  ## the benchmarks, beside their ceilings
	@$(BIN)/tallystick bench journal $(ARGS)
	@$(BIN)/tallystick bench payments $(ARGS)
	@$(BIN)/tallystick bench webhooks $(ARGS)

bench-before-after: $(READY)  ## this commit beside an earlier one: BEFORE=<git ref>, else the last release
	@$(BIN)/tallystick bench before-after $(if $(BEFORE),--before $(BEFORE)) $(ARGS)

release-documents: $(READY)  ## write the contract and the OpenAPI documents that this release keeps
	@$(BIN)/tallystick contract write docs/reference/releases/v$$($(BIN)/tallystick --version)

lock: $(READY)  ## renew requirements/lock.txt from pyproject.toml
	@$(BIN)/python -m pip install -q uv
	@{ echo "# The versions that are tested, with hashes. Renew with: make lock"; \
	   $(BIN)/uv pip compile -q --universal --generate-hashes --no-header --no-annotate --upgrade --extra test --extra bench --extra otlp pyproject.toml; \
	 } > requirements/lock.new && mv requirements/lock.new requirements/lock.txt

clean:  ## remove the environment and all caches
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(READY): requirements/lock.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Tallystick needs Python 3.11 or newer; set PYTHON=/path/to/python3"; exit 1; }
	@$(BIN)/python -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "making $(VENV)"; $(PYTHON) -m venv --clear $(VENV); }
	@echo "installing the locked requirements (once; a minute or so)"
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/lock.txt
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(READY)
