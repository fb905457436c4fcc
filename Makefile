# Two commands: `make demo` and `make test`. Python >= 3.11 and make are all they need, the rest they fetch themselves.
# PYTHON=/path/to/python3 chooses the interpreter, and it stays chosen. ARGS="..." goes to the program of a target.
PYTHON ?= $(shell command -v .venv/bin/python || echo python3)
OLDEST = .venv-sqlalchemy-2.0
OLDEST_SQLALCHEMY = "sqlalchemy==2.0.40; python_version < '3.14'" "sqlalchemy==2.0.41; python_version >= '3.14'"
# In two processes, each with servers of its own; ARGS="-n 0" is for a debugger. A file stays in one of them: its tests
# share models and fixtures. In the order of the folders, not by number of tests: those of commits take longest.
PYTEST = -m pytest -n 2 --dist loadfile --no-loadscope-reorder
unexport PYTHONDONTWRITEBYTECODE  # else each of the many processes that tests start compiles all that it imports
export PYRIGHT_PYTHON_IGNORE_WARNINGS = 1  # else pyright asks its registry for a newer one at each start
title = @printf '\n== %s ==\n'

.NOTPARALLEL:
.PHONY: help demo test quick lint types bench conformance matrix torture hunt environment servers covered oldest

help:  ## these targets
	@sed -n 's/^\([a-z]*\):.*##/\1\t/p' Makefile | expand -t 14

demo: environment  ## create, seed and tour the example application, then serve it; ARGS=--once stops after the tour
	@.venv/bin/python -m examples.shop $(ARGS)

test: environment servers lint types covered oldest  ## everything: SQLite, PostgreSQL and MariaDB, both SQLAlchemy lines
	@echo "Everything passed."

quick: environment  ## the tests that need no server; ARGS="-k routing" for some of them
	@.venv/bin/python $(PYTEST) -q -m "not server" $(ARGS)

lint: environment  ## ruff
	$(title) "Style: ruff"
	@.venv/bin/ruff check && .venv/bin/ruff format --check

types: environment  ## mypy --strict and pyright
	$(title) "Types: mypy, pyright"
	@.venv/bin/mypy && .venv/bin/pyright

bench: environment  ## the measurements behind docs/performance.md
	@for program in `grep -l __main__ benchmarks/*.py`; do PYTHONPATH=. .venv/bin/python $$program $(ARGS) || exit; done

conformance: environment  ## SQLAlchemy's own ORM tests, run with our session in place of its own
	@.venv/bin/python conformance/run.py $(ARGS)

matrix: environment  ## the tests on every other supported Python of this machine
	@.venv/bin/python scripts/matrix.py $(ARGS)

# Some half an hour on two cores. With ARGS="--results FILE" it goes on where it was stopped; ARGS=--help lists the rest.
torture: environment servers  ## 10,000 kill -9 of processes and servers in the middle of atomic commits
	@.venv/bin/python -m tests.chaos $(ARGS)

# A quarter of an hour each. ARGS="--world pg+mariadb --minutes 60 --seed 7" for others; `python -m tests.replicas.torture --help`.
hunt: environment servers  ## thousands of random selects over several databases, and 100,000 reads after writes of replicas
	@.venv/bin/python -m tests.federation.differential $(or $(ARGS),--world pg+pg --minutes 15)
	@.venv/bin/python -m tests.replicas.torture

environment:
	@$(PYTHON) scripts/bootstrap.py

# At home the tests of a missing server are skipped, and say so loudly; where CI is set it is a failure.
servers: environment
	$(title) "Servers"
	@.venv/bin/python -m tests.servers.install || test -z "$$CI$$MANYBASE_REQUIRE_SERVERS"

covered: environment
	$(title) "Tests, with coverage"
	@.venv/bin/coverage erase
	@.venv/bin/python $(PYTEST) -p tests.measuring $(ARGS)
	@.venv/bin/coverage combine --quiet
	@.venv/bin/coverage report

oldest: environment
	$(title) "Tests on the oldest supported SQLAlchemy"
	@$(PYTHON) scripts/bootstrap.py $(OLDEST) $(OLDEST_SQLALCHEMY)
	@$(OLDEST)/bin/python $(PYTEST) -m "not once" $(ARGS)
