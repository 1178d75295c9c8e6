# Two commands set everything up on a machine that has Python 3.11 or later and a package index.
PYTHON ?= python3
BIN := .venv/bin
# After a change of these, the package has to be built again.
BUILT_OF := pyproject.toml setup.py $(shell find src -name "_*.[ch]")

.PHONY: quickstart serve test tests lint quick docs site format bench wheel lock clean

quickstart: .venv/quickstart-ready ## install, train, report, classify two sample wires
	$(BIN)/python examples/quickstart.py

# SLUGLINE_PORT=8081 make serve, where 8080 is taken.
serve: .venv/serve-ready ## install, and serve the included model, with its page, on this machine
	$(BIN)/slugline serve --corrections corrections.db

# One process more than there are cores, as some wait for servers and browsers.
N_PROCESSES := $(shell $(PYTHON) -c "import os; print(os.cpu_count() + 1)")
# Pages get one more, as some also wait for the people that they simulate.
N_PAGES := $(shell $(PYTHON) -c "import os; print(os.cpu_count() + 2)")
# One BLAS thread in each. Tests typed by hand run in one process, whose BLAS has all cores. Bytecode is
# kept, as each of some hundred processes would compile it again.
ALONE := OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=
# Types are checked while tests run, as most of that takes one core.
test: .venv/dev-ready ## lint, types, tests
	$(MAKE) --no-print-directory --jobs 2 lint tests

tests: .venv/bytecode-ready ## the tests alone
	$(ALONE) $(BIN)/python -m pytest -n $(N_PROCESSES) --dist worksteal

lint: .venv/dev-ready ## lint and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	MYPYPATH=benchmarks $(BIN)/mypy benchmarks

quick: lint ## lint, types, and the tests that are not slow: within a minute
	$(ALONE) $(BIN)/python -m pytest -n $(N_PROCESSES) --dist worksteal -q -m "not slow"

docs: site .venv/dev-ready ## the site, and its tests
	$(ALONE) $(BIN)/python -m pytest -n $(N_PROCESSES) --dist worksteal docs/tests

site: .venv/docs-ready ## the site alone, in docs/_build/html
	$(ALONE) $(BIN)/python -m sphinx -W --keep-going -q docs docs/_build/html -j $(N_PAGES) \
		|| { rm -rf docs/_build/html/.doctrees; false; } # or the next build would not complain

format: .venv/dev-ready ## mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/bench-ready ## measure; needs a quiet machine and some ten minutes
	$(BIN)/python benchmarks/run.py all --record

# The wheel is built from the source distribution, as releases are.
wheel: .venv/wheel-ready ## a source distribution and a wheel for Linux, checked, in dist
	rm -rf dist
	SLUGLINE_KERNEL=1 $(BIN)/python -m build --outdir dist/unrepaired
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/auditwheel repair --wheel-dir dist dist/unrepaired/*.whl
	mv dist/unrepaired/*.tar.gz dist
	rm -r dist/unrepaired
	$(BIN)/abi3audit --strict dist/*.whl
	$(BIN)/twine check --strict dist/*
	! find dist -type f -size +8000000c | grep . # neither is larger than 8 MB
	ls -l dist

# What CI (LOCKED=1) and the image install. An extra's file has the versions that dev.txt has, so that
# several can be installed together. They serve all versions of Python and all systems.
LOCKED_EXTRAS := demo docs e5 encoder mcp parquet scale serve
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --upgrade \
	--no-annotate --no-emit-index-url --custom-compile-command "make lock"
lock: .venv/lock-ready ## the newest versions that pyproject.toml allows, with hashes, in requirements
	mkdir -p requirements
	$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' \
		| $(COMPILE) --output-file requirements/build.txt -
	$(COMPILE) --extra dev --output-file requirements/dev.txt pyproject.toml
	set -e; for extra in $(LOCKED_EXTRAS); do \
		$(COMPILE) --extra $$extra --constraint requirements/dev.txt --output-file requirements/$$extra.txt pyproject.toml; \
	done

clean:
	rm -rf .venv docs/_build quickstart-out reproduce-out dist build src/slugline.egg-info $(shell find src -name "_*.so")

UV := uv==0.13.9
# LOCKED=1 installs what requirements/ has, each file if it has the hash, and therefore without uv, whose
# hash is not there.
ifneq ($(LOCKED),)
install = $(BIN)/python -m pip install --quiet --require-hashes -r requirements/build.txt -r requirements/$(1).txt \
	&& $(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
else
install = $(BIN)/python tools/install.py $(UV) --editable ".[$(1)]"
endif

.venv/pip-ready:
	$(PYTHON) -m venv .venv
	touch $@

.venv/quickstart-ready: .venv/pip-ready $(BUILT_OF)
	$(BIN)/python -m pip install --quiet --editable ".[demo]"
	touch $@

.venv/serve-ready: .venv/pip-ready $(BUILT_OF)
	$(BIN)/python -m pip install --quiet --editable ".[serve]"
	touch $@

# Only what is imported is compiled to bytecode.
.venv/dev-ready: export PIP_NO_COMPILE := 1
.venv/dev-ready: .venv/pip-ready $(BUILT_OF)
	$(call install,dev)
	touch $@ .venv/docs-ready # dev has all that docs has

# What tests import is compiled once, while types are checked. The processes that run tests begin at the
# same time, and each would compile all of it.
.venv/bytecode-ready: .venv/dev-ready
	$(ALONE) $(BIN)/python -m pytest --collect-only -q > /dev/null || true
	touch $@

.venv/docs-ready: .venv/pip-ready $(BUILT_OF)
	$(call install,docs)
	touch $@

.venv/wheel-ready: .venv/pip-ready $(BUILT_OF)
	$(BIN)/python -m pip install --quiet --editable ".[wheel]"
	touch $@

.venv/lock-ready: .venv/pip-ready
	$(BIN)/python -m pip install --quiet $(UV)
	touch $@

.venv/bench-ready: .venv/pip-ready $(BUILT_OF)
	$(BIN)/python -m pip install --quiet --editable ".[bench,demo]"
	touch $@
