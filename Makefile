# Everything a person does with this repository. `make help` lists it.
# Setup keys its stamp on the lock and pyproject.toml: nothing changed, nothing done, no network asked.

PYTHON := .venv/bin/python
CLI := .venv/bin/agent-orchestrator
STAMP := .venv/.setup-$(shell cat requirements.lock pyproject.toml | cksum | tr ' ' '-')

.DEFAULT_GOAL := help
.PHONY: help setup demo up down test unit lint types bench docs clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## Create .venv with everything in requirements.lock (uv when it is there, else pip)

$(STAMP):
	@sh .ci/setup
	@rm -f .venv/.setup-* && touch $@

demo: setup ## Start the whole system, show what it does, stop it again
	@$(CLI) demo

up: setup ## Start the whole system and leave it running (PORT=… for another port than 8080)
	@$(CLI) up --detach $(if $(PORT),--port $(PORT))

down: setup ## Stop what `make up` started; the data stays
	@$(CLI) down

test: setup ## Lint, types and every test that needs no cluster
	@$(MAKE) --no-print-directory lint types
	@$(PYTHON) -m pytest -q

unit: setup ## The tests that need no server
	@$(PYTHON) -m pytest -q tests/unit

lint: setup ## Style, layering and workflow checks
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@.venv/bin/lint-imports
	@.venv/bin/zizmor --offline --quiet .github

types: setup ## mypy, strict
	@$(PYTHON) -m mypy

bench: setup ## Measure throughput and latency on this machine
	@$(PYTHON) -m tests.benchmarks

docs: setup ## Write docs/configuration.md anew from the settings
	@$(CLI) settings-reference > docs/configuration.md

clean: ## Remove the environment, caches and the state of the local stack
	@if [ -x $(CLI) ]; then $(CLI) down; fi
	@rm -rf .venv .agent-orchestrator .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist build
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
