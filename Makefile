# The same commands for a person and for .ci/run. Everything is installed into VENV; nothing else is touched.
VENV ?= .venv
PYTHON ?= python3
EDITABLE ?= -e
BIN := $(VENV)/bin
comma := ,
export OMP_NUM_THREADS ?= 1

.PHONY: demo test test-fast check bench docs

demo: $(VENV)/.has-figures-h5-video
	$(BIN)/mmmie demo --out runs/demo

test: $(VENV)/.has-dev
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-fast: $(VENV)/.has-dev
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow"

check: $(VENV)/.has-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest tests/house

docs: $(VENV)/.has-dev
	$(BIN)/python -m mmmie.analysis.schema docs/result.schema.json

bench: $(VENV)/.has-dev
	set -e; for program in help open_corpus epoch finetune evidence video; do \
		echo; echo "== benchmarks/$$program.py"; $(BIN)/python benchmarks/$$program.py; done

# torch first and by its exact version: a looser wish lets pip choose a build that brings gigabytes of CUDA packages.
$(VENV)/.has-%: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet torch==2.13.0
	$(BIN)/python -m pip install --quiet $(EDITABLE) '.[$(subst -,$(comma),$*)]'
	touch $@
