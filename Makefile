# `make run` runs the pipeline on the built-in simulated survey, `make test` the tests; both set up .venv first.
PYTHON ?= python3
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: run test check format setup requirements
setup:
	@$(CHECK_VENV) || rm -rf .venv
	@$(MAKE) --no-print-directory .venv/installed

# Scripts in .venv hold its full path: when the folder was moved, or its Python has gone, an installed one is made anew.
CHECK_VENV = test ! -e .venv/installed || .venv/bin/python -c \
	'import sys; sys.exit(sys.argv[1] not in open(".venv/bin/pip").read())' '$(CURDIR)/.venv/bin/' 2> /dev/null

# The stamp is newer than requirements.txt once everything is installed, so a second run starts at once.
.venv/installed: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"Python 3.11 or newer is needed, found {sys.version}; use make PYTHON=...")'
	$(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet --requirement requirements.txt
	.venv/bin/python -m galaxies plots-page
	touch $@

run: setup
	python -m galaxies recover
	dvc repro
	python -m galaxies show

test: setup
	pytest

check: setup
	ruff format --check
	ruff check
	mypy
	pytest

format: setup
	ruff format
	ruff check --fix

# Pins every dependency, for all platforms; needs uv.
requirements:
	uv pip compile --quiet --universal --python-version 3.11 --all-extras --custom-compile-command "make requirements" \
		pyproject.toml --output-file requirements.txt
