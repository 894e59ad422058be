# What one does with this repository. Every target first installs what it needs; nothing is needed but Python 3.11.
# Another interpreter: make PYTHON=python3.12 install. Another environment: make VENV=/tmp/venv test.

PYTHON ?= python3
VENV ?= .venv
WORKERS ?= 2

BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
ONE_THREAD := OMP_NUM_THREADS=1
BENCHMARKS := benchmarks/adapters.py benchmarks/attacks.py benchmarks/autoattack_fidelity.py benchmarks/training_step.py benchmarks/training_bytes.py benchmarks/savings.py benchmarks/tester.py benchmarks/studies.py
SOURCES := src tests scripts $(wildcard benchmarks)

.DEFAULT_GOAL := help
.PHONY: help install demo study test test-slow check bench docs mutants clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(INSTALLED)  ## make the environment, with the versions of constraints.txt

$(INSTALLED): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "robustpeft needs Python 3.11 or later; there is no $(PYTHON)"; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and "robustpeft needs Python 3.11 or later; $(PYTHON) is %d.%d. Give another one: make PYTHON=python3.12" % v[:2])'
	@echo "Installing into $(VENV): a few minutes and about 6 GB the first time, mostly torch."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -c constraints.txt -e ".[dev]"
	@touch $@

demo: $(INSTALLED)  ## make the bundled ViT robust, audit it, write a report (2 to 5 minutes)
	$(BIN)/robustpeft demo --overwrite

study: $(INSTALLED)  ## run both papers' studies at their smallest scale and write their reports (about 15 minutes)
	for study in pet-robustness fulllora; do $(BIN)/robustpeft study $$study --scale smoke --workers $(WORKERS) || exit; done

test: $(INSTALLED)  ## run the tests (a few minutes)
	$(ONE_THREAD) $(BIN)/python -m pytest -m "not slow" -n $(WORKERS) --dist worksteal

test-slow: $(INSTALLED)  ## run the tests that take longer
	$(ONE_THREAD) $(BIN)/python -m pytest -m slow -n $(WORKERS) --dist worksteal

check: $(INSTALLED)  ## lint, format, types, import contracts, generated documentation
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/generate_docs.py --check

bench: $(INSTALLED)  ## repeat the measurements that the documents quote (hours)
	for benchmark in $(BENCHMARKS); do $(BIN)/python $$benchmark || exit; done

docs: $(INSTALLED)  ## write the generated parts of the documentation anew, and build it into site/
	$(BIN)/python scripts/generate_docs.py
	$(BIN)/mkdocs build --strict -q

mutants: $(INSTALLED)  ## break pet, attacks and objectives in small ways; read what no test notices (hours)
	$(ONE_THREAD) $(BIN)/mutmut run --max-children $(WORKERS)
	$(BIN)/mutmut results

clean:  ## delete caches; the environment and runs stay
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache mutants build dist
	find src tests scripts -name __pycache__ -type d -prune -exec rm -rf {} +
