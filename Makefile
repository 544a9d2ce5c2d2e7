# `make run` runs the pipeline on the built-in simulated survey, `make test` the tests; both set up .venv first.
PYTHON ?= python3
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: run test test-slow check format setup setup-dev requirements
setup:
	@$(CHECK_VENV) || rm -rf .venv
	@$(MAKE) --no-print-directory .venv/installed

# With the tools that tests and checks need.
setup-dev: setup
	@$(MAKE) --no-print-directory .venv/installed-dev

# Scripts in .venv hold its full path: when the folder was moved, or its Python has gone, an installed one is made anew.
CHECK_VENV = test ! -e .venv/installed || .venv/bin/python -c \
	'import sys; sys.exit(sys.argv[1] not in open(".venv/bin/pip").read())' '$(CURDIR)/.venv/bin/' 2> /dev/null

# The stamps are newer than these files once everything is installed, so a second run starts at once. The last installation
# makes the command `galaxies`, which runs the code of this folder; setuptools is among the requirements.
.venv/installed: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"Python 3.11 or newer is needed, found {sys.version}; use make PYTHON=...")'
	$(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet --requirement requirements.txt
	.venv/bin/pip install --quiet --no-deps --no-build-isolation --editable .
	.venv/bin/python -m galaxies plots-page
	touch $@

.venv/installed-dev: .venv/installed requirements-dev.txt
	.venv/bin/pip install --quiet --requirement requirements-dev.txt
	touch $@

run: setup
	python -m galaxies recover
	dvc repro
	python -m galaxies show

test: setup-dev
	pytest

# What takes longer than about 20 seconds: the documents, kills, whole pipelines.
test-slow: setup-dev
	pytest -m slow

check: setup-dev
	ruff format --check
	ruff check
	mypy
	pytest

format: setup-dev
	ruff format
	ruff check --fix

# Pins every dependency, for all platforms; needs uv. The other files hold what the first has, in the same versions.
PIN = uv pip compile --quiet --universal --python-version 3.11 --custom-compile-command "make requirements" pyproject.toml
requirements:
	$(PIN) --output-file requirements.txt
	$(PIN) --extra dev --constraints requirements.txt --output-file requirements-dev.txt
	$(PIN) --extra pacmap --constraints requirements.txt --output-file requirements-pacmap.txt
