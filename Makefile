# Every target sets itself up: a virtual environment in .venv, pinned by requirements.lock.
PYTHON ?= python3.11 python3.12 python3.13 python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
PEERS := .venv-peers
BUILDER ?= docker

.DEFAULT_GOAL := help
.PHONY: help run test check bench faults image lock advisories clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort

run: $(READY) ## start the whole stack with simulated live traffic; ARGS="--until promoted" ends by itself
	@$(BIN)/bellwether up $(ARGS)

test: $(READY) ## run every test; ARGS="-k name" selects
	@$(BIN)/python -m pytest $(ARGS)

check: $(READY) ## lint, types, import directions, generated files
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/bellwether dashboards --check
	@$(BIN)/bellwether rules --check
	@$(BIN)/python -m monitoring.metrics.page | diff -u docs/metrics.md -

bench: $(READY) $(PEERS)/ready ## measure beside the peers; ARGS="serving --json F" (about twenty minutes, half of it a soak)
	@$(BIN)/python -m tests.benchmarks $(ARGS)

faults: $(READY) ## hurt every process and server for a minute each, under load; ARGS="--json F"
	@$(BIN)/python -m tests.faults $(ARGS)

image: ## build the image of docker-compose.yml; BUILDER=podman, BASE= and ARGS= choose another builder, base and flags
	@command -v $(BUILDER) > /dev/null || { echo "found no $(BUILDER) to build with. Remedy: make image BUILDER=podman" >&2; exit 2; }
	@$(BUILDER) build -f deploy/images/Dockerfile -t bellwether:0.1.0 $(if $(BASE),--build-arg BASE=$(BASE)) $(ARGS) .

lock: $(READY) ## resolve the dependencies again into requirements.lock
	@$(BIN)/uv pip compile pyproject.toml deploy/setup/installer.in --extra dev --universal --python-version 3.11 --generate-hashes \
		--no-header --no-annotate --upgrade -q -o requirements.lock
	@cd tests/benchmarks/peers && ../../../$(BIN)/uv pip compile requirements.in --universal --python-version 3.11 --generate-hashes \
		--no-header --no-annotate --upgrade -q -o requirements.lock

$(PEERS)/ready: tests/benchmarks/peers/requirements.lock | $(READY)
	@echo "Setting up $(PEERS) for the servers that the benchmark compares with." >&2
	@$(BIN)/python -m venv --clear $(PEERS)
	@$(PEERS)/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r $<
	@touch $@

advisories: $(READY) ## compare requirements.lock with a list of advisories: LIST=all.zip of PyPI's, from osv.dev
	@$(BIN)/python deploy/setup/advisories $(LIST)

clean: ## remove the virtual environment and the caches; recorded runs in .bellwether stay
	rm -rf $(VENV) $(PEERS) .mypy_cache .ruff_cache .pytest_cache .hypothesis build *.egg-info

$(READY): requirements.lock pyproject.toml deploy/setup/install
	@deploy/setup/install $(VENV) $(PYTHON)
	@touch $@
