# Needs Python 3.11 or newer (with venv) and make; everything else is installed into $(VENV).
# Choose another interpreter or place with: make test PYTHON=python3.12 VENV=/somewhere/else

PYTHON ?= python3
VENV ?= .venv
SEEDS ?= 200
HOURS ?= 1
PROTOCOL ?= pbft
CAMPAIGN ?= swarm
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check install --quiet

# Python keeps compiled modules beside the environment, not in the tree; also where a shell forbids it to keep any: then each
# of the some thousand processes that the tests start would compile all of outvote first.
export PYTHONDONTWRITEBYTECODE =
export PYTHONPYCACHEPREFIX = $(abspath $(VENV))/bytecode

.DEFAULT_GOAL := help
.PHONY: help demo test verify fix simulate soak determinism oracle mutants bench bench-compiled compiled kill-matrix specification develop clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-16s %s\n", $$1, $$2 }'

demo: $(VENV)/.installed ## start a cluster on this machine, attack it, and watch it stay right
	$(BIN)/outvote demo

test: develop ## run every test
	$(BIN)/python -m pytest -n 3 --dist worksteal

verify: develop ## what a change must pass besides the tests: lint, types, architecture; changes no file of the tree
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/architecture

fix: develop ## let the linter mend what it can
	$(BIN)/ruff check --fix

# CI=1 counts where it is typed: many systems set it in the environment of all that they run.
simulate: $(VENV)/.installed ## run SEEDS=200 of CAMPAIGN=swarm: clusters under faults and attacks; CI=1: all campaigns whole
	$(BIN)/outvote simulate --protocol $(PROTOCOL) \
		$(if $(and $(CI),$(filter-out environment,$(origin CI))),--campaign all,--campaign $(CAMPAIGN) --seeds $(SEEDS))

soak: $(VENV)/.installed ## run campaigns with fresh seeds for HOURS=1 (fractions allowed), and add to a report
	$(BIN)/outvote soak --protocol $(PROTOCOL) --hours $(HOURS)

determinism: develop ## run the 1,500 seeds of CI under three hash seeds and compare their traces (half an hour)
	$(BIN)/python tests/simulations/survey_determinism.py --protocol $(PROTOCOL)

oracle: develop ## have 50 histories of each protocol judged by porcupine, a checker in Go that is not ours; needs Go
	$(BIN)/python tests/oracle/check_histories.py

mutants: develop ## plant small faults and see which ones no test notices; in part: OPTIONS="--sample 100"
	$(BIN)/python tests/mutation/survey.py $(OPTIONS)

bench: develop ## measure this machine: a real cluster, and the bare protocol beside it
	$(BIN)/python bench/run.py
	$(BIN)/python bench/raft.py
	$(BIN)/python bench/state_transfer.py

bench-compiled: develop ## the same with modules compiled by mypyc, in a copy below build; needs a C compiler, and minutes
	rm -rf build/bench && mkdir -p build/bench && cp -r src build/bench
	$(BIN)/python compile_outvote.py build/bench
	PYTHONPATH=build/bench/src $(BIN)/python bench/run.py
	PYTHONPATH=build/bench/src $(BIN)/python bench/raft.py

compiled: develop ## compile a copy with mypyc, and compare what it does with what the sources do; needs a C compiler
	$(BIN)/python tests/simulations/survey_compiled.py $(OPTIONS)

kill-matrix: develop ## plant every bug and count the seeds until the simulator misses the rule (an hour)
	$(BIN)/python tests/conformance/survey_planted_bugs.py

specification: develop ## explore the model of PBFT: every state, and a counterexample for every rule turned off
	$(BIN)/python tests/specification/explore_everything.py

develop: $(VENV)/.installed-dev ## only prepare the virtual environment, with all development tools

clean: ## remove everything that these targets made
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
	find src tests bench -name __pycache__ -type d -exec rm -rf {} +

# Stamp files: newer than pyproject.toml means that the environment holds what it asks for.
$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "outvote needs Python 3.11 or newer: name one with make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "this Python has no venv module: install it (Debian, Ubuntu: apt install python3-venv)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed pyproject.toml
	$(PIP) --editable '.[dev]'
	@touch $@
