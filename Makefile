# `make demo` and `make test` install all they need into .venv; nothing else on the machine is used or changed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# Half of the suites' time is waiting for time-outs, so three workers keep two cores busy. A file stays on one worker.
PYTEST := $(BIN)/python -m pytest -n 3 --dist loadfile

.PHONY: help demo test test-deep lint format bench bench-before-after lock clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## / - /'

demo: $(READY)  ## thousands of payments with faults mixed in, and what became of each
	@$(BIN)/tallystick demo $(ARGS)

test: lint  ## lint, types, import contracts and all tests
	@$(PYTEST) $(ARGS)

test-deep: lint  ## the same suites at full depth
	@TALLYSTICK_TEST_DEPTH=deep $(PYTEST) --timeout 7200 $(ARGS)

lint: $(READY)  ## style, types and import contracts
	@echo "ruff"; $(BIN)/ruff check -q . && $(BIN)/ruff format -q --check .
	@echo "mypy"; $(BIN)/mypy --no-error-summary
	@echo "import contracts"; $(BIN)/lint-imports > $(VENV)/lint-imports.log || { cat $(VENV)/lint-imports.log; exit 1; }

format: $(READY)  ## rewrite the code in the project's style
	@$(BIN)/ruff check -q --fix . ; $(BIN)/ruff format -q .

bench: $(READY)  ## the benchmarks, beside their ceilings
	@$(BIN)/tallystick bench journal $(ARGS)
	@$(BIN)/tallystick bench payments $(ARGS)
	@$(BIN)/tallystick bench webhooks $(ARGS)

bench-before-after: $(READY)  ## this commit beside an earlier one: BEFORE=<git ref>, else the last release
	@$(BIN)/tallystick bench before-after $(if $(BEFORE),--before $(BEFORE)) $(ARGS)

lock: $(READY)  ## renew requirements/lock.txt from pyproject.toml
	@$(BIN)/python -m pip install -q uv
	@{ echo "# The versions that are tested, with hashes. Renew with: make lock"; \
	   $(BIN)/uv pip compile -q --universal --generate-hashes --no-header --no-annotate --upgrade --extra test pyproject.toml; \
	 } > requirements/lock.new && mv requirements/lock.new requirements/lock.txt

clean:  ## forget the environment and all caches
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
