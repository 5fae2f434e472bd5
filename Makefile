# Every target sets up what it needs, in .venv, from plain Python 3.11 or newer. For another Python than python3, before
# there is a .venv: make demo PYTHON=python3.12. More arguments for what a target runs: make test ARGS="-x tests/losses".

PYTHON ?= python3
ARGS ?=
# A process a core; one takes over what another has left.
PARALLEL := -n auto --maxprocesses 8 --dist worksteal
VENV := .venv
BIN := $(VENV)/bin

# The mark of a finished installation carries a checksum of what was installed and where, so that it is repeated when
# the requirements change or the folder moves, and only then: afterwards nothing here needs a network.
READY := $(VENV)/.ready-$(shell (pwd; cat pyproject.toml setup.cfg) | cksum | cut -d' ' -f1)

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow lint types format clean
.NOTPARALLEL:

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

setup: $(READY)  ## set up .venv and nothing else

demo: $(READY)  ## train source-only and adapted models on the embedded scenario, and compare them
	$(BIN)/tladapt demo $(ARGS)

# All three run, whatever the first ones say: a stray blank should not hide what the tests have found.
test: $(READY)  ## lint, type check and the tests that are quick
	@failed=; \
	$(MAKE) --no-print-directory lint || failed="$$failed lint"; \
	$(MAKE) --no-print-directory types || failed="$$failed types"; \
	echo "$(BIN)/python -m pytest $(PARALLEL) $(ARGS)"; \
	$(BIN)/python -m pytest $(PARALLEL) $(ARGS) || failed="$$failed pytest"; \
	if [ -n "$$failed" ]; then echo "make test: failed:$$failed" >&2; exit 1; fi

test-slow: $(READY)  ## the tests that take long
	$(BIN)/python -m pytest -m slow $(PARALLEL) $(ARGS)

lint: $(READY)  ## ruff: mistakes, docstrings, order of imports, format
	$(BIN)/python -m ruff check
	$(BIN)/python -m ruff format --check

types: $(READY)  ## mypy
	$(BIN)/python -m mypy

format: $(READY)  ## let ruff put right what it can
	$(BIN)/python -m ruff check --fix
	$(BIN)/python -m ruff format

clean:  ## remove caches and build output; runs/ and the environment (.venv) stay
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .cache
	find tladapt tests benchmarks experiments -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY):
	@command -v "$(PYTHON)" >/dev/null || { echo "There is no '$(PYTHON)' here. tladapt needs Python 3.11 or newer;" \
	    "name yours: make $(MAKECMDGOALS) PYTHON=/path/to/python" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "tladapt needs Python 3.11 or newer, and" \
	    "'$(PYTHON)' is $$("$(PYTHON)" --version 2>&1). Name another one: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@"$(PYTHON)" -c 'import venv, ensurepip' 2>/dev/null || { echo "'$(PYTHON)' lacks venv or pip. On Debian and Ubuntu:" \
	    "sudo apt-get install python3-venv" >&2; exit 1; }
	@echo "Installing into $(VENV) (the first time it downloads some hundred megabytes and takes a few minutes) ..."
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || "$(PYTHON)" -m venv --clear $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --editable ".[dev]"
	@rm -f $(VENV)/.ready-*
	@touch $@
