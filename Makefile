# Two commands do everything on a fresh machine with Python 3.11 or newer:
#   make book   install, build the book from runs/ into _build/html; its experiments, a tiny reproduction, run live
#   make test   install, run pytest and nbval
PYTHON ?= python3
BIN := .venv/bin
SHELL := /bin/bash -o pipefail
export PYDEVD_DISABLE_FILE_VALIDATION := 1

.PHONY: book test torture browser bench gpu-study lint clean

.venv/installed: requirements.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 …")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

book: .venv/installed
	$(BIN)/python -m asap.report.results
	$(BIN)/jupyter-book build . --all -W -n --keep-going
	test -f _build/html/index.html
	@echo "the book is at _build/html/index.html"

# these share a search's record, so one goes after the other; the other notebooks, and the linters, run beside them
TOGETHER := $(addprefix book/experiments/,search.ipynb analysis.ipynb pruning.ipynb)
NBVAL := $(BIN)/python -m pytest --nbval-lax --nbval-current-env --nbval-cell-timeout=900
test: .venv/installed
	$(BIN)/python -m pytest -n 2 --dist loadfile
	export ASAP_RUNS=$$(mktemp -d); \
	  $(NBVAL) $(TOGETHER) & \
	  $(MAKE) --no-print-directory lint && $(NBVAL) $(filter-out $(TOGETHER),$(wildcard book/experiments/*.ipynb)); beside=$$?; wait $$! && exit $$beside

# kills at random moments, bad inputs, damaged files: SEED draws them; minutes on two cores
SEED ?= 0
torture: .venv/installed
	PYTHONPATH=tests $(BIN)/python -m torture --seed $(SEED)

# the built book in headless Chromium (Debian: apt-get install chromium); after `make book`
browser: .venv/installed
	@test -f _build/html/index.html || { echo "make book first"; exit 1; }
	@command -v chromium chromium-browser google-chrome || { echo "a Chromium is needed"; exit 1; }
	$(BIN)/pip install --quiet --disable-pip-version-check playwright==1.65.2
	$(BIN)/python -m pytest -n 2 tests/report/test_browser.py

# the steps' speed side by side with plain ones, recorded under runs/benchmarks/; wants an idle machine, takes minutes
bench: .venv/installed
	$(BIN)/python tests/benchmarks/bench.py

# a GPU's part, in MINUTES: checks it against the CPU, measures it, then searches at paper scale, or runs what is left of STUDY, JOBS runs
# at a time; again, and it goes on. Its records are also in runs/gpu-study.tar.gz
MINUTES ?= 13
JOBS ?= 2
gpu-study:
	$(PYTHON) tests/benchmarks/gpu_study.py --minutes $(MINUTES) $(if $(STUDY),--study $(STUDY) --jobs $(JOBS))

lint: .venv/installed
	$(BIN)/ruff check asap tests
	$(BIN)/ruff format --check asap tests
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

clean:
	rm -rf _build .venv runs/scratch
