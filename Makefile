# Everything a newcomer, a developer and CI run; each target installs what it needs first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
.DEFAULT_GOAL := help
.PHONY: help install demo up down test test-thorough lint format sim-smoke chaos bench openapi clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

# Nothing is compiled ahead: most of it is never imported, and what is, is compiled then and kept.
PIP := $(BIN)/python -m pip --quiet install --progress-bar off --no-compile
unexport PYTHONDONTWRITEBYTECODE

$(BIN)/python:
	@$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "FedForge needs Python 3.11 or newer; set PYTHON=…"'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(PIP) --editable .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(BIN)/python
	$(PIP) --editable '.[simulation,dev]'
	@touch $(VENV)/.installed $@

install: $(VENV)/.installed-dev  ## make the virtual environment with every extra

demo: $(VENV)/.installed  ## three clients, three rounds on blood cells; needs no network after the install
	$(BIN)/fedforge demo

up: $(VENV)/.installed  ## monitor and Dagster, until Ctrl-C; DETACH=1 returns once they answer
	$(BIN)/fedforge up $(if $(DETACH),--detach)

down:  ## end what make up DETACH=1 has started
	$(BIN)/fedforge down

# Three workers on two cores, as many tests wait; the long files, which come first, begin first.
PYTEST := $(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder

test: install  ## the test suite
	$(PYTEST)

test-thorough: install  ## what the suite shows in one case, in the others too
	$(PYTEST) -m thorough

lint: install  ## style, imports and types, as CI checks them
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

format: install  ## let ruff put the code in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

sim-smoke: install  ## one round of two clients in Flower's Ray simulation
	$(BIN)/fedforge run blood --engine ray --data phantom --backbone untrained --clients 2 --rounds 1 --set dataset.limit=120

chaos: install  ## kill federations and monitors, and fail the way between, at random moments; writes benchmarks/results/chaos*.json
	$(BIN)/python -m tests.chaos
	$(BIN)/python -m tests.chaos.monitor

bench: install  ## measure; writes benchmarks/results/latest.json
	$(BIN)/python -m benchmarks

openapi: install  ## write what the dashboard is built from: the monitor's API, and the tables of its reducer
	$(BIN)/python -m monitor.openapi > dashboard/openapi.json.new
	mv dashboard/openapi.json.new dashboard/openapi.json
	$(BIN)/python -m monitor.machine > dashboard/machine.json.new
	mv dashboard/machine.json.new dashboard/machine.json

clean:  ## remove the virtual environment and caches, not the data in .fedforge
	rm -rf $(VENV) .mypy_cache .ruff_cache .import_linter_cache .pytest_cache .hypothesis *.egg-info
