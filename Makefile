# Two commands on a machine that has Python >= 3.11 and make: `make quickstart` and `make test`.
# uv is used when it is on the path, because it is faster; nothing depends on it.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null)
# Processes that run tests: two at least, since those that wait for Ray leave a core free, and eight
# at most, since each holds a gigabyte.
JOBS ?= $(shell $(PYTHON) -c 'import os; print(min(8, max(2, len(os.sched_getaffinity(0)))))')
PARALLEL = $(if $(filter-out 1,$(JOBS)),-n $(JOBS) --dist loadgroup --no-loadscope-reorder)

# What a module compiles to is kept, whatever the shell says: without it every process of a run takes
# ten seconds of a core to import torch and Ray, with it four.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help install quickstart test tests fast torture policies lint docs newcomer lock clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install: $(VENV)/.installed  ## create the environment with the pinned packages

$(VENV)/.installed: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else \
	  "rayat needs Python 3.11 or newer, this is " + sys.version.split()[0] + ": make PYTHON=python3.11")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { \
	  echo "Python's venv module is missing: on Debian, apt-get install python3-venv"; exit 1; }
ifdef UV
	$(UV) pip install --quiet --python $(BIN)/python -r requirements.txt
	$(UV) pip install --quiet --python $(BIN)/python --no-deps -e .
else
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
endif
	@touch $@

quickstart: install  ## search a dozen schedules on digits, confirm the best one, say what to train with
	@run=runs/quickstart/$$(date -u +%Y%m%d-%H%M%S)-$$$$ && \
	  (set -x; $(BIN)/rayat run quickstart --out $$run && \
	  $(BIN)/rayat confirm $$run --out $$run-confirmed --top 2 --seeds 4 --attack none --report)

test: install  ## everything that CI runs: linters, types, layers, all tests; JOBS=1: no parallel tests
	@$(MAKE) --no-print-directory -j 2 lint tests

tests: install
	$(BIN)/python -m pytest $(PARALLEL)

fast: install  ## the tests that take less than two minutes together
	$(BIN)/python -m pytest -m "not slow" $(PARALLEL)

torture: install  ## faults on purpose: kills, crashes, flipped bits, forgeries (docs/reliability.md); LONG=1
	$(if $(LONG),RAYAT_LONG=1) $(BIN)/python -m pytest -s -q tests/ledger/test_crash.py \
	  tests/ledger/test_log.py tests/ledger/test_reader.py tests/ledger/test_repair.py \
	  tests/ledger/test_lock.py tests/ledger/test_fuzz.py tests/ledger/test_provenance.py \
	  tests/training/test_checkpoints.py tests/training/test_gadgets.py \
	  tests/runs/test_driver.py tests/runs/test_resuming.py \
	  tests/runs/test_simulated.py tests/orchestration/test_kill.py \
	  tests/orchestration/test_overdue.py tests/orchestration/test_shared_data.py \
	  tests/orchestration/test_faults.py tests/orchestration/test_several.py \
	  tests/orchestration/test_lost_nodes.py \
	  tests/orchestration/test_cluster.py tests/runs/test_following.py \
	  tests/test_names.py tests/test_supply.py tests/test_safety.py \
	  tests/replay/test_verdicts_kept.py
	$(BIN)/python -m pytest -s -q tests/api/test_sweep.py -k "hung or killed"
	$(BIN)/python -m pytest -s -q tests/cli/test_end_to_end.py -k status
	$(if $(LONG),RAYAT_LONG=1 $(BIN)/python -m pytest -s -q -m long)
	$(BIN)/rayat bench R1

policies: install  ## the stopping policies on real, paired sweeps, alone on the machine (docs/policy.md)
	RAYAT=$(BIN)/rayat examples/policies.sh runs/policies

lint: install  ## formatting, linting, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

newcomer:  ## README and the tour, word for word, in a clone with an empty home (half an hour)
	$(PYTHON) tests/newcomer.py

docs: install  ## the site, from docs/: build/docs/site/index.html; any warning is an error
	$(BIN)/python docs/generate.py
	$(BIN)/python docs/assemble.py build/docs
	cd build/docs && $(CURDIR)/$(BIN)/zensical build --strict -f mkdocs.yml

lock:  ## pin every package again (needs uv)
	uv pip compile --universal --python-version 3.11 --extra test --extra docs --no-header --no-annotate \
	  --no-emit-index-url pyproject.toml -o requirements.txt

clean:  ## remove the environment and the caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build
