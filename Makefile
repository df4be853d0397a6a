# make run   – sets up an isolated environment and opens the dashboard on a simulated recording
# make docs  – builds the documentation into site/
# make test  – sets up and passes all tests, the browser tests included
SHELL := /bin/bash
VENV ?= .venv
PY := $(VENV)/bin/python

.PHONY: run test lint audit format setup setup-dev bench docs screenshots clean

run: setup
	$(VENV)/bin/brainlm app

test: setup-dev
	./tools/ensure_browser.sh
	$(PY) -m pytest -n auto --maxprocesses 4 --dist loadfile

lint: setup-dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(VENV)/bin/deptry .

audit: setup-dev
	./tools/audit.sh $(PY)

format: setup-dev
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

bench: setup-dev
	$(VENV)/bin/brainlm bench

docs: setup-dev
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict
	@echo "The documentation is in site/index.html"

screenshots: setup-dev
	./tools/ensure_browser.sh
	$(PY) tools/screenshots.py

setup:
	./tools/setup_env.sh $(VENV) requirements.txt

setup-dev:
	./tools/setup_env.sh $(VENV) requirements-dev.txt

clean:
	rm -rf $(VENV) runs site .pytest_cache .mypy_cache .ruff_cache
