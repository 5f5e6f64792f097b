# `make demo` runs the whole pipeline on real data; `make test` lints, type-checks and tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
DEVELOPED := $(VENV)/.developed

.PHONY: demo test lint types docs clean

$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[web]'
	touch $@

$(DEVELOPED): $(INSTALLED)
	$(BIN)/python -m pip install --quiet --editable '.[web,ray,optuna,dev,docs]'
	touch $@

demo: $(INSTALLED)
	$(BIN)/aelle run experiments/digits.toml experiments/latch.toml

lint: $(DEVELOPED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(DEVELOPED)
	$(BIN)/mypy

test: lint types
	$(BIN)/pytest -n auto --dist loadfile

docs: $(DEVELOPED)
	$(BIN)/mkdocs build --strict --config-file docs/site/mkdocs.yml

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
