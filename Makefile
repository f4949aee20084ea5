# parparchik. `make help` lists what there is. Needs python3 (3.11 or newer) with venv, and git.

PYTHON ?= python3
VENV := .venv
CACHE := $(VENV)/cache
BUILDER := build/venv
.DEFAULT_GOAL := help

# Says in one line what a bare machine lacks, before venv says it in ten.
define make-venv
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo \
	"make: $(PYTHON) is not Python 3.11 or newer: install python3, or run make PYTHON=python3.12" >&2; exit 1; }
@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo \
	"make: $(PYTHON) cannot make virtual environments: apt-get install python3-venv" >&2; exit 1; }
$(PYTHON) -m venv --clear $(1)
endef

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' Makefile

.PHONY: install
install: $(VENV)/.installed ## Only .venv, with .venv/bin/parparchik

.PHONY: run
run: $(VENV)/.installed-demo ## Try it: an S3 with sample files, and parparchik on 127.0.0.1:8080
	@$(VENV)/bin/parparchik demo

.PHONY: test
test: $(VENV)/.installed-dev ## Every test that this machine can run; ARGS='-k word' for some
	$(VENV)/bin/python -m pytest $(ARGS)

.PHONY: check
check: $(VENV)/.installed-dev ## Lint, format, types and import order; writes nothing
	$(VENV)/bin/ruff check --cache-dir $(CACHE)/ruff
	$(VENV)/bin/ruff format --check --cache-dir $(CACHE)/ruff
	$(VENV)/bin/mypy --strict --cache-dir $(CACHE)/mypy
	PYTHONDONTWRITEBYTECODE=1 $(VENV)/bin/python -m pytest -q -p no:cacheprovider tests/test_layers.py

.PHONY: format
format: $(VENV)/.installed-dev ## Mend what can be mended by machine
	$(VENV)/bin/ruff check --fix --cache-dir $(CACHE)/ruff
	$(VENV)/bin/ruff format --cache-dir $(CACHE)/ruff

.PHONY: bench
bench: $(VENV)/.installed-bench ## Compare it with its peers, a quarter of an hour: bench/RESULTS.md; ARGS=--short to try
	$(VENV)/bin/python -m bench.compare $(ARGS)

# A peer of the comparison, in an environment of its own. It needs Berkeley DB (Debian: libdb-dev),
# whose licence you have to have looked at: read it, then say so by calling this.
FILETRACKER := build/filetracker
.PHONY: filetracker
filetracker: ## A peer for bench, filetracker's own server; it says that you may use Berkeley DB
	$(call make-venv,$(FILETRACKER))
	$(FILETRACKER)/bin/python -m pip install --quiet --disable-pip-version-check 'setuptools<81' wheel
	YES_I_HAVE_THE_RIGHT_TO_USE_THIS_BERKELEY_DB_VERSION=1 \
	$(FILETRACKER)/bin/python -m pip install --quiet --disable-pip-version-check --no-build-isolation \
		bsddb3==6.2.7 gunicorn==23.0.0 gevent==25.9.1 six 'setuptools<81'
	$(FILETRACKER)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps filetracker==2.3.3

.PHONY: pyz
pyz: $(BUILDER)/.installed ## The commit as one file, dist/parparchik-<version>.pyz
	PYTHONPATH=packaging PYTHONDONTWRITEBYTECODE=1 $(BUILDER)/bin/python -m pyz build

.PHONY: lock
lock: $(BUILDER)/.installed ## Newest versions in pyproject.toml's ranges into packaging/*.lock
	PYTHONPATH=packaging PYTHONDONTWRITEBYTECODE=1 $(BUILDER)/bin/python -m pyz lock

.PHONY: clean
clean: ## Remove all that these targets made, .venv too
	rm -rf $(VENV) build dist .hypothesis .pytest_cache .mypy_cache .ruff_cache
	find parparchik tests bench packaging -name __pycache__ -type d -exec rm -rf {} +

# Stamps: an environment is made once, and installed into again when pyproject.toml changes.
$(VENV)/.made:
	$(call make-venv,$(VENV))
	@touch $@

PIP_INSTALL = $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check

$(VENV)/.installed: $(VENV)/.made pyproject.toml
	$(PIP_INSTALL) --editable .
	@touch $@

$(VENV)/.installed-demo: $(VENV)/.made pyproject.toml
	$(PIP_INSTALL) --editable '.[demo]'
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.made pyproject.toml
	$(PIP_INSTALL) --editable '.[test,lint]'
	@touch $@

$(VENV)/.installed-bench: $(VENV)/.made pyproject.toml
	$(PIP_INSTALL) --editable '.[bench]'
	@touch $@

# The builder's tools are pinned by hash, too: their versions show in the archive's bytes.
$(BUILDER)/.installed: packaging/build.lock
	$(call make-venv,$(BUILDER))
	$(BUILDER)/bin/python -m pip install --quiet --disable-pip-version-check \
		--require-hashes --requirement packaging/build.lock
	@touch $@
