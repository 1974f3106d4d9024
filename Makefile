# Everything a newcomer, a developer and CI run; each target installs what it needs first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
.DEFAULT_GOAL := help
.PHONY: help install demo dashboard try-dashboard up down test test-python test-docs test-dashboard run-dashboard-tests test-browser screenshots notebook baselines release-check docker-smoke run-docker-smoke browser test-thorough lint format sim-smoke chaos bench openapi clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 16

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

DASHBOARD := dashboard/dist/index.html
BUILD_DASHBOARD = $(MAKE) --no-print-directory $(DASHBOARD)
DASHBOARD_SOURCES := $(wildcard dashboard/*.json dashboard/*.ts dashboard/*.html dashboard/.npmrc) \
  $(shell find dashboard/src dashboard/public -not -name schema.d.ts 2>/dev/null)
# Why the dashboard cannot be built here; nothing where it can.
NO_NODE = $(shell command -v npm >/dev/null 2>&1 && node dashboard/engines.cjs || echo "it needs Node with npm, and there is none.")
# What npm says is shown where it fails.
quietly = said=$$($(1) 2>&1) || { printf '%s\n' "$$said" >&2; exit 1; }

$(DASHBOARD): $(DASHBOARD_SOURCES)
	@echo "building the dashboard"
	@cd dashboard && { [ node_modules/.installed -nt package-lock.json ] \
	  || { $(call quietly,npm ci) && mkdir -p node_modules && touch node_modules/.installed; }; }
	@cd dashboard && $(call quietly,npm run build)
	@touch $@

dashboard:  ## build the monitor's pages where they are not up to date; needs Node
	@$(if $(NO_NODE),echo "error: the dashboard cannot be built: $(NO_NODE)" >&2; exit 1,$(BUILD_DASHBOARD))

try-dashboard:
	@$(BUILD_DASHBOARD) --question \
	  || $(if $(NO_NODE),echo "the dashboard is not built: $(NO_NODE)",$(BUILD_DASHBOARD) \
	  || echo "the dashboard is not built; the lines above say why.")

up: $(VENV)/.installed try-dashboard  ## monitor and Dagster, until Ctrl-C; DETACH=1 returns once they answer
	$(BIN)/fedforge up $(if $(DETACH),--detach)

down:  ## end what make up DETACH=1 has started
	$(BIN)/fedforge down

# Four workers on two cores, as many tests wait; the long files, which come first, begin first.
PYTEST := $(BIN)/python -m pytest --numprocesses 4 --dist loadfile --no-loadscope-reorder

test: test-python test-dashboard  ## the test suite

test-python: install  ## the part in Python
	$(PYTEST)

test-docs: install  ## the documents: links, anchors, what they name, and the commands that are marked `run`
	$(BIN)/python -m pytest -m "" tests/unit/test_documents.py tests/e2e/test_shell_blocks.py

test-dashboard:  ## the dashboard's types, style, tests and build; without Node only CI fails
	@$(if $(NO_NODE),echo "the dashboard's tests are skipped: $(NO_NODE)"; exit $(if $(CI),1,0),$(MAKE) --no-print-directory run-dashboard-tests)

run-dashboard-tests: dashboard
	cd dashboard && npm run --silent typecheck
	cd dashboard && npm run --silent lint
	cd dashboard && npm run --silent test

IN_BROWSER = @[ ! -x /usr/bin/chromium ] || export CHROMIUM_PATH="$${CHROMIUM_PATH:-/usr/bin/chromium}"; cd dashboard &&
# Debian's, where one may install it; else Playwright says how it gets one, or CHROMIUM_PATH names one.
browser: dashboard
	@if [ -z "$$CHROMIUM_PATH" ] && [ ! -x /usr/bin/chromium ] && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  $(call quietly,apt-get update && apt-get install --yes --no-install-recommends chromium); fi

test-browser: install browser  ## the dashboard in a browser, before a real monitor
	$(IN_BROWSER) npm run --silent e2e -- --project=tests

screenshots: install dashboard  ## each page of the dashboard, both themes, three widths, in dashboard/screenshots
	$(IN_BROWSER) npm run --silent e2e -- --project=screenshots

# docs has the one of a run over real images.
PAGES := notebooks/rendered
notebook: install  ## execute notebooks/convergence.ipynb on the newest run, and write notebooks/rendered/convergence.html
	$(BIN)/jupytext --quiet --update --to ipynb notebooks/convergence.py
	$(BIN)/jupyter nbconvert --log-level WARN --to html --execute --KernelManager.transport_encryption=auto --no-input \
	  --template page --TemplateExporter.extra_template_basedirs notebooks --output-dir $(PAGES) notebooks/convergence.ipynb

docker-smoke:  ## prove the Compose stack on this machine's engine: build, run, break, look; KEEP=1 leaves it up
	@docker info >/dev/null 2>&1 && docker compose version >/dev/null 2>&1 \
	  || { echo "error: the stack cannot be tried: there is no Docker engine with Compose here." >&2; exit 1; }
	@$(MAKE) --no-print-directory run-docker-smoke

run-docker-smoke: install browser
	$(subst cd dashboard &&,,$(IN_BROWSER)) $(BIN)/python -m tests.stack $(if $(KEEP),--keep)

# What a clone can make; for the published archives: make baselines DATA=official BACKBONE=facebook/deit-tiny-patch16-224
DATA := phantom
BACKBONE := untrained
baselines: install  ## run each phase with its own settings and accept it: what later runs are held against, in baselines/
	@set -e; for phase in blood derma path; do run=$$phase-$$(date -u +%Y%m%d-%H%M%S); \
	  $(BIN)/fedforge run $$phase --data $(DATA) --backbone $(BACKBONE) --run-id $$run --no-bounds --no-report; \
	  $(BIN)/fedforge baseline accept $$run; done

release-check: install browser  ## try every gate of a release, and write docs/release-checklist.md; GATES="G0 G2" tries some
	$(subst cd dashboard &&,,$(IN_BROWSER)) $(BIN)/python -m tests.release $(GATES)

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

clean:  ## remove the virtual environment, caches and what was built, not the data in .fedforge
	rm -rf $(VENV) build dashboard/dist dashboard/node_modules .mypy_cache .ruff_cache .import_linter_cache .pytest_cache .hypothesis *.egg-info
