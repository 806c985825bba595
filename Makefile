# `make demo` and `make test` need only Python >= 3.11; everything else is installed into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := runs/demo

.DEFAULT_GOAL := help
.PHONY: help demo test fast-test lint format clean

help: ## says what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

# Reinstalled only when the list of dependencies changes.
$(VENV)/installed: setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python must be 3.11 or newer, got $$($(PYTHON) --version); set PYTHON=/path/to/python"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

demo: $(VENV)/installed ## a synthetic set, a detector trained on it, its report in runs/demo
	$(BIN)/python tools/demo.py --run $(DEMO)

test: $(VENV)/installed ## all tests
	$(BIN)/python -m pytest -n auto --dist loadfile

fast-test: $(VENV)/installed ## the tests but those that start processes or train a whole run
	$(BIN)/python -m pytest -n auto --dist loadfile -m "not slow"

lint: $(VENV)/installed ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/installed ## what ruff can put right by itself
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

clean: ## removes what make demo made
	rm -rf $(DEMO) datasets/demo
