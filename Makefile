# tradedesk: two commands matter, `make run` and `make test`. `make help` lists the rest.
SHELL := /bin/bash
V := .venv
PY := $(V)/bin/python
PORT ?= 5000
ARGS ?=
PYTHON ?= python3

.PHONY: help run test check format lint types imports soak bench warm demo-real lock clean

help: ## list the commands
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

$(V)/python-ok:
	@command -v $(PYTHON) >/dev/null || { echo "tradedesk needs python3 (3.11 or newer); none was found."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "tradedesk needs Python 3.11 or newer; $$($(PYTHON) --version) was found. Set PYTHON=/path/to/python3.11"; exit 1; }
	@test -w . || { echo "tradedesk cannot write to $$(pwd): clone it into a folder you own."; exit 1; }
	@echo "setting up: virtual environment"
	@$(PYTHON) -m venv $(V) || { echo "python3 -m venv failed; on Debian: apt-get install python3-venv"; exit 1; }
	@$(PY) -m pip install -q uv==0.13.9
	@touch $@

$(V)/core: requirements/core.txt | $(V)/python-ok
	@echo "setting up: packages (half a minute, once)"
	@$(V)/bin/uv pip install -q --python $(PY) --require-hashes -r $<
	@touch $@

$(V)/all: requirements/all.txt | $(V)/python-ok
	@echo "setting up: packages for tests (a minute, once)"
	@$(V)/bin/uv pip install -q --python $(PY) --require-hashes -r $<
	@touch $@ $(V)/core

run: $(V)/core ## serve http://localhost:5000 and trade on paper
	@$(PY) manage.py migrate -v0
	@exec $(PY) manage.py rundesk --port $(PORT) $(ARGS)

test: $(V)/all ## run every test; ARGS="-k word" for some
	@$(PY) -m pytest $(ARGS)

check: format lint types imports test ## what CI runs: format, lint, types, imports, tests

format: $(V)/all
	@$(V)/bin/ruff format --check -q . && echo "format: ok"

lint: $(V)/all
	@$(V)/bin/ruff check -q . && echo "lint: ok"
	@$(PY) manage.py makemigrations --check --dry-run -v0 && echo "migrations: ok"
	@$(PY) manage.py check --fail-level WARNING

types: $(V)/all
	@$(V)/bin/mypy apps tradedesk

imports: $(V)/all
	@$(PY) -m pytest tests/architecture

soak: $(V)/all ## the long runs behind the figures in the docs
	@$(PY) -m pytest -m soak $(ARGS)

bench: $(V)/all ## medians and ratios, printed
	@for script in bench/*.py; do echo "== $$script"; $(PY) $$script || exit 1; done

warm: $(V)/core ## compile the engine ahead of the first start
	@$(PY) manage.py warm

demo-real: $(V)/core ## trade 2,000 recorded BTCUSDT bars through the real protocol, then audit it
	@$(PY) manage.py demo_real $(ARGS)

lock: $(V)/python-ok ## resolve requirements again, with hashes
	@$(V)/bin/uv pip compile -q --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate requirements.txt requirements/scale.in -o requirements/core.txt
	@$(V)/bin/uv pip compile -q --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate requirements.txt requirements/scale.in requirements/dev.in -o requirements/all.txt

clean: ## remove the environment and the var folder (the desk's database is in it)
	@rm -rf $(V) var .mypy_cache .ruff_cache
