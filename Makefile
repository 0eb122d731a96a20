# Two commands on a fresh machine: `make demo` and `make test`. Both do their own set-up.
# Needs Python 3.11 or 3.12; Java 17 or later only for Spark.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
comma := ,

export PIP_DISABLE_PIP_VERSION_CHECK := 1

# The Python that makes the environment: the first that fits, unless PYTHON=… says which. The one
# underneath an active environment is taken, because an environment cannot make itself anew.
ifndef PYTHON
PYTHON := $(shell for p in python3 python3.12 python3.11; do \
	"$$p" -c 'import sys; (3, 11) <= sys.version_info < (3, 13) or sys.exit(1); print(sys._base_executable)' \
	2>/dev/null && break; done; true)
endif

# "yes" where a Java that Spark accepts (17 or later) answers.
JAVA := $(shell "$${JAVA_HOME:+$$JAVA_HOME/bin/}java" -version 2>&1 | \
	sed -n 's/.*version "\([0-9]*\).*/\1/p' | { read -r v && [ "$$v" -ge 17 ] && echo yes; } 2>/dev/null; true)

# `mlflow models serve`, `spark-submit` and our own console script are found by their bare names.
export PATH := $(CURDIR)/$(BIN):$(PATH)

# Processes for the tests. Those of Spark wait for JVMs and clusters much of their time: two files at once.
TEST_WORKERS ?= 2

# A stamp is written when its installation is complete, so that the next run installs nothing.
# INSTALLING stands while pip works: where it is left over, the environment is made anew.
INSTALLING := $(VENV)/.installing
STAMP_CORE := $(VENV)/.installed-core
STAMP_SPARK := $(VENV)/.installed-spark
STAMP_DEV := $(VENV)/.installed-dev
STAMP_TCN := $(VENV)/.installed-tcn
# What the demo needs: the development environment holds it too.
STAMP_DEMO := $(or $(wildcard $(STAMP_DEV)),$(if $(JAVA),$(STAMP_SPARK),$(STAMP_CORE)))
SOURCES_OF_INSTALL := pyproject.toml constraints.txt

define install
	@if [ -z "$(PYTHON)" ]; then \
		echo "No Python 3.11 or 3.12 was found (python3, python3.12, python3.11)." >&2; \
		echo "Install one, or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3.12" >&2; exit 2; fi
	@if [ -e $(INSTALLING) ] || ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
		echo "creating $(VENV) with $$($(PYTHON) --version)"; \
		$(PYTHON) -m venv --clear $(VENV) || { \
			echo "This Python cannot make virtual environments; on Debian: apt-get install python3-venv" >&2; exit 2; }; fi
	@touch $(INSTALLING)
	@echo "installing $(1) (the first time takes a minute or two)"
	@$(BIN)/python -m pip install --quiet --no-compile -e '$(1)' -c constraints.txt
	@rm -f $(INSTALLING)
	@touch $@
endef

.PHONY: help demo test check format lint types floors unit spark slow bench fuzz chaos docs-reference clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 24

$(STAMP_CORE): $(SOURCES_OF_INSTALL)
	$(call install,.)

$(STAMP_SPARK): $(SOURCES_OF_INSTALL)
	$(call install,.[spark])

# The spark extra is needed here without a Java as well: mypy reads pyspark's types.
$(STAMP_DEV): $(SOURCES_OF_INSTALL)
	$(call install,.[spark$(comma)dev])

# The build of torch without CUDA, which spares several GB; where there is none, those tests skip, saying so.
TORCH_CPU = $(shell sed -n 's/^\(torch==.*\)/\1+cpu/p' constraints.txt)
$(STAMP_TCN): $(STAMP_DEV)
	@echo "installing $(TORCH_CPU) and Lightning (the extra tcn)"
	@$(BIN)/python -m pip install --quiet --only-binary=:all: '$(TORCH_CPU)' -c constraints.txt 2>/dev/null && \
		$(BIN)/python -m pip install --quiet -e '.[tcn]' -c constraints.txt || \
		echo "SKIPPED: the tests of the learner tcn, because no $(TORCH_CPU) was found. Another build: pip install torch"
	@touch $@

demo: $(STAMP_DEMO) ## train a real panel, print the leaderboard, register, look one model up, forecast
	@if [ -z "$(JAVA)" ]; then echo "No Java 17 or later here: the demo runs on the local engine alone."; fi
	@$(BIN)/python -m many_models.cli.demo

test: check ## everything that CI runs: the checks, the tests, and the Spark tests where there is a Java
	@if [ -n "$(JAVA)" ]; then $(MAKE) spark; else \
		echo; \
		echo "SKIPPED: all Spark tests (pytest -m spark), because no Java 17 or later was found."; \
		echo "         On Debian: apt-get install openjdk-17-jre-headless"; fi

check: lint types floors unit ## format, lint, types, floors, and the tests that need no Spark

lint: $(STAMP_DEV)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(STAMP_DEV)
	$(BIN)/mypy

floors: $(STAMP_DEV)
	$(BIN)/lint-imports --config setup.cfg --no-logo

unit: $(STAMP_TCN)
	$(BIN)/pytest -m "not spark and not slow" -n $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder -rs

spark: $(STAMP_DEV) ## the Spark tests alone: classic, Connect, and a standalone cluster on loopback
	$(BIN)/pytest -m "spark and not slow" -n $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder -rs

slow: $(STAMP_DEV) ## the longer proofs
	$(BIN)/pytest -m slow -rs || [ $$? -eq 5 ]  # 5: there are none

bench: $(STAMP_DEV) ## measure speed, size and accuracy; prints a table
	@$(BIN)/python benchmarks/table.py

fuzz: $(STAMP_DEV) ## feed a hundred thousand damaged and hostile files (some ten minutes; a sample: benchmarks/fuzz.py --seconds N)
	@$(BIN)/python benchmarks/fuzz.py

chaos: $(STAMP_DEV) ## kill drivers, workers, executors and registries at random moments, and say what became of the runs
	@$(BIN)/python benchmarks/chaos.py

format: $(STAMP_DEV) ## bring the code into its format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs-reference: $(STAMP_DEV) ## write the parts of docs/ that are made from the code
	$(BIN)/python -m many_models.spec.reference docs/reference
	$(BIN)/python -m many_models.report.codes docs/outcomes-and-findings.md docs/guardrails.md

clean: ## remove the environment, caches and what tests left behind (runs/ and mlflow.db are yours: they stay)
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache build dist \
		spark-warehouse metastore_db derby.log many_models.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
