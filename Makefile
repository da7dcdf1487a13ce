# Commands for a fresh clone, with nothing but Python (3.10 to 3.13) and make:
#   make demo        sets everything up and shows what the shipped model can do: portraits, edits and a video in demo/
#   make demo-train  the same with a small model of your own: draws portraits, trains on them (minutes), uses the model
#   make test        sets everything up and runs the tests
# All install into .venv once; later runs are quick and need no network. Another Python: make demo PYTHON=python3.12

SHELL := /bin/bash
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python3.10; do \
	$$p -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 14))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
SSGAN := $(BIN)/ssgan

.PHONY: help demo demo-train test lint types contracts format clean

help:
	@sed -n 's/^#   //p' Makefile
	@echo "make lint      ruff; make types: pyright; make contracts: direction of imports; make clean: remove demo/ and caches"

demo: $(VENV)/.installed
	$(SSGAN) demo --out demo

demo-train: $(VENV)/.installed
	$(SSGAN) synth demo/heads --count 300 --views 2 --size 64
	$(SSGAN) train demo/heads --config demo --run demo/run
	$(SSGAN) demo --model demo/run --out demo/trained

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev
	$(BIN)/pyright

contracts: $(VENV)/.installed-dev
	$(BIN)/lint-imports

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf demo build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache

# The stamps keep later runs quick; a changed dependency list installs again.
$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing into $(VENV): a few minutes, once"
	$(PIP) install -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing into $(VENV): a few minutes, once"
	$(PIP) install -c constraints.txt -e ".[dev]"
	@touch $@ $(VENV)/.installed

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "no Python from 3.10 to 3.13 was found; install one, or name it: make $(MAKECMDGOALS) PYTHON=..."; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 10) <= v < (3, 14) or sys.exit("ssgan needs Python 3.10 to 3.13, $(PYTHON) is %d.%d; name another: make PYTHON=python3.12" % v)'
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "$(PYTHON) cannot make a virtual environment; on Debian and Ubuntu: apt install python3-venv"; exit 1; }
