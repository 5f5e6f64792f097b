# `make demo` runs the whole pipeline on real data; `make test` lints, type-checks and runs all tests, `make quick`
# only the fast ones.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
DEVELOPED := $(VENV)/.developed
PYTEST := $(BIN)/pytest -n auto --dist worksteal

.PHONY: demo test quick lint types docs clean

$(INSTALLED): pyproject.toml hatch_build.py $(wildcard aelle/kernels/*.[ch])
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[web]'
	touch $@

$(DEVELOPED): $(INSTALLED)
	$(BIN)/python -m pip install --quiet --editable '.[web,ray,optuna,lightning,transformers,tensorboard,wandb,mlflow,dev,docs]'
	touch $@

demo: $(INSTALLED)
	$(BIN)/aelle run experiments/digits.toml experiments/latch.toml

lint: $(DEVELOPED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(DEVELOPED)
	$(BIN)/mypy

test: lint types
	$(PYTEST)

quick: $(DEVELOPED)
	$(PYTEST) -m "not slow"

docs: $(DEVELOPED)
	$(BIN)/mkdocs build --strict --config-file docs/site/mkdocs.yml

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
