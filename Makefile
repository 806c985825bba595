# `make demo` and `make test` need only Python >= 3.11; everything else is installed into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := runs/demo

.PHONY: demo test lint clean

# Reinstalled only when the list of dependencies changes.
$(VENV)/installed: setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python must be 3.11 or newer, got $$($(PYTHON) --version); set PYTHON=/path/to/python"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

demo: $(VENV)/installed
	$(BIN)/python tools/make_synthetic.py datasets/demo --images 800 --val 80 --classes 5 --seed 0
	$(BIN)/python tools/train_det.py configs/demo.yaml --run $(DEMO)

test: $(VENV)/installed
	$(BIN)/python -m pytest -n auto --dist loadfile

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(DEMO) datasets/demo
