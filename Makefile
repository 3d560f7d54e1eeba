# The verbs of this repository. Each makes its own environment first: Python and make are enough.

VENV  ?= .venv
# The interpreter that makes the environment; without it, the first of these that is new enough.
PYTHON  ?=
PYTHONS := python3 python3.13 python3.12 python3.11 python3.14 python3.15 python

RUN   := $(VENV)/bin/python
STAMP := $(VENV)/.installed
# What the demo needs: the package alone, which is there in seconds.
ALONE := $(VENV)/.installed-alone

.DEFAULT_GOAL := help
.PHONY: help env check format test demo bench bench-rivals bench-scale simulate sweep mutants torture-sqlite \
        torture-postgresql

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-19s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

env: $(STAMP) ## make .venv and install the package with its tools (PYTHON=… chooses the interpreter)

$(STAMP): $(ALONE)
	@echo "Installing the tools into $(VENV)"
	@$(RUN) -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

$(ALONE): pyproject.toml
	@new_enough='import ensurepip, sys; sys.exit(sys.version_info < (3, 11))'; \
	if ! $(RUN) -c "import pip; $$new_enough" 2>/dev/null; then \
	    chosen=; \
	    for candidate in $(or $(PYTHON),$(PYTHONS)); do \
	        if $$candidate -c "$$new_enough" 2>/dev/null; then chosen=$$candidate; break; fi; \
	    done; \
	    if [ -z "$$chosen" ]; then \
	        echo "No Python >= 3.11 with venv and pip found: install one, or name it: make env PYTHON=/path/to/python" >&2; \
	        exit 1; \
	    fi; \
	    echo "Making $(VENV) with $$chosen"; \
	    $$chosen -m venv --clear $(VENV); \
	fi
	@echo "Installing into $(VENV)"
	@$(RUN) -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

check: env ## format, lint, types, import contracts and unit tests: about a minute
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/pyright --pythonpath $(RUN)
	$(VENV)/bin/lint-imports --no-logo
	$(RUN) -m pytest tests/unit tests/test_public_api.py

format: env ## format the code and make the safe repairs of the linter
	$(VENV)/bin/ruff check --fix-only --quiet .
	$(VENV)/bin/ruff format .

test: env ## every test, examples and documentation included (ARGS=… goes to pytest)
	$(RUN) -m pytest tests --numprocesses auto --dist loadgroup $(ARGS)

demo: $(ALONE) ## kill an order flow half-way, and watch another process finish it
	@$(RUN) examples/demo.py

bench: env ## measure, with the raw limit of the database beside each figure
	@$(RUN) -m benchmarks

SEEDS ?= 1000
simulate: env ## the real engine in virtual time under random faults (SEEDS=…, FIRST=…, JOBS=…)
	@$(RUN) -m tests.simulation $(or $(FIRST),0) $(SEEDS) $(JOBS)

torture-sqlite: env ## 1,000 random kill -9 on SQLite; fails on one broken promise
	@$(RUN) -m tests.crash.torture --kills 1000

UNBROKEN_POSTGRES_URL ?= postgresql://postgres@127.0.0.1:5432/postgres
torture-postgresql: env ## the same on PostgreSQL (UNBROKEN_POSTGRES_URL=… names the server)
	@$(RUN) -m tests.crash.torture --kills 1000 --store $(UNBROKEN_POSTGRES_URL)

sweep: env ## every store operation x every fault, in virtual time (JOBS=… processes)
	@$(RUN) -m tests.simulation.sweep --jobs $(or $(JOBS),2)

mutants: env ## break the engine on purpose, and show which seed finds each out (JOBS=… processes)
	@$(RUN) -m tests.simulation.mutants --jobs $(or $(JOBS),2)

PAIRS ?= 5
bench-rivals: env ## the same work by Unbroken, DBOS and Absurd on PostgreSQL, in turns (PAIRS=…, ARGS=…)
	@$(RUN) -m benchmarks.rivals --pairs $(PAIRS) $(ARGS)

bench-scale: env ## what 10 million finished flows cost: the same work beside an empty database (ARGS=…)
	@$(RUN) -m benchmarks.scale $(ARGS)
