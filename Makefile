# `make run` and `make test` need python3 (3.11 or newer) and make, nothing else: they build .venv and work in it.
PYTHON ?= python3
SUITE ?= suites/quickstart.yaml
# Tests start processes of their own and hold torch; more workers than this gain little and cost memory.
PYTEST_ARGS ?= --numprocesses auto --maxprocesses 4 --dist worksteal
BASELINE ?= .ci/quickstart.csv

VENV := .venv
BIN := $(VENV)/bin
# An isolated build reads its pins from the environment, under a name that depends on the age of pip.
PIP := PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt $(BIN)/python -m pip \
	--disable-pip-version-check install --quiet

.PHONY: run test slow docs figures solvers reference check lint types imports gate format environment build clean
.DELETE_ON_ERROR:

run: environment
	$(BIN)/odebench run $(SUITE)

test: environment
	$(BIN)/python -m pytest -m "not slow" $(PYTEST_ARGS)

slow: environment
	$(BIN)/python -m pytest -m slow $(PYTEST_ARGS)

check: test slow lint types imports gate

lint: environment
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: environment
	$(BIN)/mypy

imports: environment
	$(BIN)/lint-imports

# Of what repeats on any machine: counts, bytes, refusals, and errors within a band. After a change that is meant:
# `odebench run quickstart`, then `odebench baseline update $(BASELINE) results/quickstart-…`.
gate: environment
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && $(BIN)/odebench run quickstart --repeats 1 \
		--baseline $(BASELINE) --fail-on "status, exact, errors > 1%" -o "$$folder/results"

format: environment
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# Into site/, to be opened from disk or served by anything.
docs: environment
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict --config-file .mkdocs.yml

figures: environment
	$(BIN)/python docs/figures.py
	$(BIN)/python docs/figures_switching.py

solvers: environment
	$(BIN)/python docs/solvers.py

# The parts of the reference that come from the registries, the schema and the command line; tests say when they are old.
reference: environment
	for page in suites commands metrics results gradients; do $(BIN)/python docs/$$page.py || exit 1; done

environment: $(VENV)/installed

# torch goes first and alone: whatever build of it this machine's index offers is taken, and nothing replaces it later.
$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "odebench needs Python 3.11 or newer; try make PYTHON=python3.11")'
	@echo "setting up $(VENV): the first time takes a minute or two"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) torch
	$(PIP) --editable '.[test,dev,report,docs,train]'
	touch $@

build: environment
	$(BIN)/python -m pip --disable-pip-version-check wheel --quiet --no-deps --wheel-dir dist .

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
