# make demo   a first search, on a real model and real texts
# make test   every test, with the real model in it
# make bench  what a trial costs, beside what a user would run instead; hours
# make lint   ruff, mypy, and which package may import which
# make docs   write what docs/ and README repeat: commands, the loader, figures
# make site   the documentation as a site, into site/
# make lock   pin the newest versions of everything into constraints.txt

VENV := .venv
BIN := $(VENV)/bin
# uv where it is there; else the first Python here from 3.11 up, with its venv and pip.
UV := $(shell command -v uv 2>/dev/null)
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3.14 python3 python; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo $$python && break; done)
ifdef UV
CREATE = $(UV) venv --quiet --seed --allow-existing --python '$(or $(PYTHON),>=3.11)'
INSTALL = $(UV) pip install --quiet --python $(BIN)/python
else
CREATE = $(or $(PYTHON),$(error needs Python 3.11 or newer, or uv, and finds neither)) -m venv
INSTALL = $(BIN)/pip install --quiet
endif
DEMO := examples/demo
# Two cores, two workers, one thread each; Ray decides for its own processes.
export TOKENIZERS_PARALLELISM := false
export HF_HUB_DISABLE_TELEMETRY := 1

.PHONY: demo test bench lint format docs site lock clean install

demo: $(VENV)/installed
	$(BIN)/python $(DEMO)/fetch.py
	$(BIN)/autoprompt search $(DEMO)/search.yaml

test: $(VENV)/installed
	$(BIN)/python $(DEMO)/fetch.py
	$(BIN)/pytest

bench: $(VENV)/installed
	$(BIN)/python $(DEMO)/fetch.py
	$(BIN)/python -m benchmarks.bench

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/installed
	$(BIN)/python -m docs.generate

site: $(VENV)/installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

install: $(VENV)/installed

$(VENV)/installed: pyproject.toml constraints.txt
	@echo "installing into $(VENV), once; this takes a minute or two ..."
	$(CREATE) $(VENV)
	$(INSTALL) --constraint constraints.txt --editable '.[dev]'
	touch $@

lock:
	rm -rf $(VENV)-lock
	python3.11 -m venv $(VENV)-lock
	$(VENV)-lock/bin/pip install --quiet torch==2.13.0
	$(VENV)-lock/bin/pip install --quiet --editable '.[dev,postgresql]'
	$(VENV)-lock/bin/pip freeze --exclude-editable | sed 's/+cpu$$//' > constraints.txt
	rm -rf $(VENV)-lock

clean:
	rm -rf $(VENV) *.egg-info .mypy_cache .ruff_cache .pytest_cache
