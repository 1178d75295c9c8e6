# Two commands set everything up on a machine that has Python 3.11 or later and a package index.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: quickstart test format bench clean

quickstart: .venv/quickstart-ready ## install, train, report, classify two sample wires
	$(BIN)/python examples/quickstart.py

test: .venv/dev-ready ## lint, types, tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest

format: .venv/dev-ready ## mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/bench-ready ## measure; needs a quiet machine and some ten minutes
	$(BIN)/python benchmarks/run.py

clean:
	rm -rf .venv quickstart-out reproduce-out dist build

.venv/pip-ready:
	$(PYTHON) -m venv .venv
	touch $@

.venv/quickstart-ready: .venv/pip-ready pyproject.toml
	$(BIN)/python -m pip install --quiet --editable ".[demo]"
	touch $@

.venv/dev-ready: .venv/pip-ready pyproject.toml
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $@

.venv/bench-ready: .venv/pip-ready pyproject.toml
	$(BIN)/python -m pip install --quiet --editable ".[bench,demo]"
	touch $@
