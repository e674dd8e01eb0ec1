# Each of these can be the first thing that is run in a fresh clone.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/pip install --quiet --no-input --disable-pip-version-check
export DATABASE_URL ?= embedded:

.PHONY: install demo generate test bench lock

install: .venv/installed

demo: install
	$(BIN)/chatkpi demo

# All files that are made from others. `make test` says when one is not up to date.
generate: install
	$(BIN)/chatkpi dashboards
	$(BIN)/python -m datasource.documentation

test: .venv/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/chatkpi dashboards --check
	$(BIN)/python -m pytest -q -n 2

bench: .venv/installed-dev
	$(BIN)/python -m bench

# The lock files, anew; needs uv (https://docs.astral.sh/uv).
lock:
	uv pip compile -q --upgrade --generate-hashes --python-version 3.11 --no-emit-index-url --no-emit-find-links \
		--custom-compile-command "make lock" --extra build -o requirements.lock pyproject.toml
	uv pip compile -q --generate-hashes --python-version 3.11 --no-emit-index-url --no-emit-find-links \
		--custom-compile-command "make lock" --extra build --extra dev -c requirements.lock -o requirements-dev.lock pyproject.toml

# What builds the package is locked too: nothing else is ever downloaded.
.venv/installed: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed; name it with PYTHON=…")'
	$(PYTHON) -m venv .venv
	$(PIP) --require-hashes -r requirements.lock
	$(PIP) --no-build-isolation --no-deps -e .
	touch $@

.venv/installed-dev: .venv/installed requirements-dev.lock
	$(PIP) --require-hashes -r requirements-dev.lock
	touch $@
