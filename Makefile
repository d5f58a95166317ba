# `make run` and `make test` need Python 3.11 or newer; everything else is set up from here.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
DEPENDENCIES = $(VENV)/.dependencies
READY = $(VENV)/.ready
GENERATED = tickstorm/_pb
PORT ?= 8080
HTTP_PORT ?= 9090

.PHONY: run test lint types proto check-proto check-wheel tools bench bench-quick clean

run: $(READY)
	$(BIN)/twistd -n --pidfile= tickstorm --source replay: --log-format text \
	  --port tcp:$(PORT):interface=127.0.0.1 --http tcp:$(HTTP_PORT):interface=127.0.0.1

test: $(READY) tools
	$(BIN)/python -m pytest -q

lint: $(READY)
	$(BIN)/ruff format --check
	$(BIN)/ruff check

types: $(READY)
	$(BIN)/mypy

# The generated code is checked in, so that an installation needs no compiler for it.
proto: $(READY)
	$(BIN)/python -m grpc_tools.protoc --plugin=protoc-gen-mypy=$(BIN)/protoc-gen-mypy \
	  -Iprotos --python_out=$(GENERATED) --mypy_out=$(GENERATED) protos/tickstorm.proto

check-proto: proto
	git diff --exit-code -- $(GENERATED) || { echo "$(GENERATED) is not what 'make proto' gives: commit it"; exit 1; }

check-wheel: $(READY)
	$(BIN)/python tests/check_wheel.py

# limit.c and storm.c are no part of this project.
TOOLS ?= ../shared/tools

bench: $(READY)
	$(BIN)/python -m benchmarks --tools '$(TOOLS)' --write docs/benchmarks.md

bench-quick: $(READY)
	$(BIN)/python -m benchmarks --tools '$(TOOLS)' --quick

# What the tests with real servers need beside Python packages, each from Debian's package of that
# name where apt-get can install it; otherwise one line says what to install.
tools:
	@sh tests/tools.sh

clean:
	rm -rf $(VENV) build dist *.egg-info twisted/plugins/dropin.cache

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "Tickstorm needs Python 3.11 or newer: try make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)

# Installed as its users have it: twistd would not find the plugin of an editable installation.
$(READY): $(DEPENDENCIES) $(shell find tickstorm twisted -name '*.py' -o -name '*.gz')
	$(BIN)/python -m pip install --quiet --no-deps --force-reinstall .
	@touch $@

$(DEPENDENCIES): setup.cfg pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet '.[test,lint,proto]' build
	@touch $@
