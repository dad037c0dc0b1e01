# `make help` lists what there is.
PYTHON ?= python3
BIN := .venv/bin
SHELL := /bin/sh
.DELETE_ON_ERROR:
.PHONY: help repro test test-all check bench annotate lock clean

help: ## show this list
	@grep -E '^[a-z-]+:.*##' $(firstword $(MAKEFILE_LIST)) | awk -F ':.*## ' '{printf "make %-10s %s\n", $$1, $$2}'

repro: .venv/ready ## from recordings to a verdict: install, make sample recordings if there are none, run every stage
	@test -e data/raw.dvc || { test -e data/raw.csv && ls data/raw/* > /dev/null 2>&1; } || $(BIN)/earmark sample
	@$(BIN)/dvc repro
	@echo; cat reports/insights.md

test: .venv/ready ## the fast tests, a few minutes
	$(BIN)/python -m pytest --numprocesses auto

test-all: .venv/ready ## every test: real pipelines, real models
	$(BIN)/python -m pytest -m "slow or not slow"

annotate: .venv/ready ## hear in the browser what is doubtful; Ctrl-C fetches the answers
	@$(BIN)/earmark annotate

check: .venv/ready ## style and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

bench: .venv/ready ## the figures of the README, beside their peers
	for script in bench/*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

lock: ## pin the newest versions of all dependencies
	uv pip compile --quiet --universal --generate-hashes --no-header --extra dev pyproject.toml --output-file requirements.lock

clean: ## remove the environment; data, models and cache stay
	rm -rf .venv

.venv/ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("earmark needs Python 3.11, 3.12 or 3.13; try: make PYTHON=python3.12 $(MAKECMDGOALS)" * (not (3, 11) <= sys.version_info < (3, 14)) or None)'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@git config merge.earmark.driver "$(BIN)/earmark merge %O %A %B" 2> /dev/null || true
	@touch $@
