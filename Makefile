# Everything here works on a machine with Python 3.11 or newer and make.

PYTHON ?= python3
BIN := .venv/bin
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
READY := .venv/.ready-$(VERSION)
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo smoke stack stop test test-chaos test-beside-chaos test-fast evals evals-live evals-guards evidence planted bench chaos check fmt lock migrations clean distclean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

setup: $(READY) ## install the locked dependencies into .venv

demo: $(READY) ## run the whole system with 28 made-up days, show one real job, stay up; ARGS=--empty
	@$(BIN)/python manage.py stack --demo $(ARGS)

smoke: $(READY) ## run the whole system, show one real job, stop
	@$(BIN)/python manage.py stack --smoke $(ARGS)

stack: $(READY) ## run the whole system and stay up
	@$(BIN)/python manage.py stack $(ARGS)

stop: ## stop the stack of this checkout, started by demo or stack
	@if [ -x $(BIN)/python ] && [ -f $(READY) ]; then $(BIN)/python manage.py stack --stop; \
		else echo "no stack runs here: nothing is installed in .venv"; fi

# If it is set, each process of a test run compiles all modules again.
unexport PYTHONDONTWRITEBYTECODE

SHORT_CHAOS := tests/chaos/test_short_run.py
CORES := $(BIN)/python -c "import os; print(max(2, os.cpu_count() or 2))"
PYTEST := $(BIN)/python -m pytest --dist worksteal
# Two more than there are cores, since many tests wait for processes.
WAITING := -n $$(($$($(CORES)) + 2))
# The harnesses of chaos and bench, whole processes, generated requests, and the SQL state machine.
NOT_FAST := unit/chaos unit/bench $(addprefix integration/,chaos stack fuzz machine)

# These hardly wait for processes, so they may run at the lowest priority beside the short chaos run.
# It needs half of two cores, and must never wait for them. The other half would be unused.
BESIDE_CHAOS := $(addprefix tests/,contract unit/monitoring unit/sandbox integration/fuzz)

test: $(READY) ## run the tests; ARGS="-k word" picks some
	@$(PYTEST) $(WAITING) $(if $(ARGS),$(ARGS),$(addprefix --ignore=,$(SHORT_CHAOS) $(BESIDE_CHAOS)))
	@$(if $(ARGS),,$(MAKE) --no-print-directory -j2 test-chaos test-beside-chaos)

test-chaos: $(READY)
	@$(BIN)/python -m pytest $(SHORT_CHAOS)

test-beside-chaos: $(READY)
	@nice -n 19 $(PYTEST) -n $$($(CORES)) $(BESIDE_CHAOS)

test-fast: $(READY) ## run the quick tests: unit, contract, integration without real processes
	@$(PYTEST) $(WAITING) -m "not slow" $(addprefix --ignore=tests/,$(NOT_FAST)) \
		tests/unit tests/contract tests/integration $(ARGS)

evals: $(READY) ## run all suites against the sandbox, in a system of its own; ARGS="triage"
	@$(BIN)/python -m evals.local $(BIN)/python -m evals run $(ARGS)

evals-live: $(READY) ## the same with a real key; shows the cost and asks first, never in CI
	@$(BIN)/python -m evals.local --live $(BIN)/python -m evals run --ask $(ARGS)

evals-guards: $(READY) ## measure the guards: what they find, their false alarms, what gets past the fence
	@$(BIN)/python -m project.stack.run_with_settings settings $(BIN)/python -m evals.guards

evidence: $(READY) ## record the sandbox's evidence for all prompts; commit the file
	@$(BIN)/python -m evals.local $(BIN)/python -m evals record $(ARGS)

planted: $(READY) ## evaluate prompts that are worse on purpose: each must be caught; ONLY=answer
	@$(BIN)/python -m tests.planted $(if $(ONLY),--only "$(ONLY)")

bench: $(READY) ## measure speed against the sandbox; ONLY=ratio,api ROUNDS=5
	@$(BIN)/python -m tests.bench $(if $(ONLY),--only "$(ONLY)") $(if $(ROUNDS),--rounds "$(ROUNDS)")

chaos: $(READY) ## break everything under load, check every promise; SEED=7 SHORT=1 JOBS= FAULTS= MINUTES=
	@$(BIN)/python -m tests.chaos $(if $(SEED),--seed "$(SEED)") $(if $(JOBS),--jobs "$(JOBS)") \
		$(if $(FAULTS),--faults "$(FAULTS)") $(if $(MINUTES),--minutes "$(MINUTES)") $(if $(SHORT),--short)

check: $(READY) ## lint, types, architecture, migrations, deployment settings
	@echo "ruff"; $(BIN)/ruff check
	@$(BIN)/ruff format --check
	@echo "prose"; $(BIN)/python -m tests.contract.plain_english
	@echo "mypy"; $(BIN)/python -m project.stack.run_with_settings settings $(BIN)/mypy
	@echo "imports"; $(BIN)/python -m project.stack.run_with_settings settings $(BIN)/lint-imports
	@echo "migrations"; $(BIN)/python -m project.stack.throwaway $(BIN)/python manage.py makemigrations --check --dry-run
	@echo "evidence"; $(BIN)/python -m project.stack.run_with_settings settings $(BIN)/python -m evals check-evidence
	@echo "deployment"; $(BIN)/python -m project.stack.run_with_settings production $(BIN)/python manage.py check --deploy --fail-level WARNING

fmt: $(READY) ## format the code
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

migrations: $(READY) ## write migrations for changed models
	@$(BIN)/python -m project.stack.throwaway $(BIN)/python manage.py makemigrations $(ARGS)

COMPILE := $(BIN)/uv pip compile -q --universal --generate-hashes --python-version 3.11 --no-header

lock: $(READY) ## resolve the dependencies again and write the lock files
	@$(COMPILE) pyproject.toml -o requirements.lock
	@$(COMPILE) pyproject.toml --group dev --extra evals -o requirements-dev.lock
	@awk '/^[^ #]/ { mine = /^uv==/ } mine' requirements-dev.lock > requirements-bootstrap.lock

clean: ## stop this checkout's stack and remove its data and caches
	@if [ -x $(BIN)/python ] && [ -f $(READY) ]; then $(BIN)/python manage.py stack --stop; fi
	@rm -rf .local .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache staticfiles
	@find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

distclean: clean ## also remove .venv
	@rm -rf .venv

$(READY): requirements-bootstrap.lock requirements-dev.lock
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit("Python 3.11 or newer is needed, %s is %d.%d: make PYTHON=/path/to/python3.11" % (sys.executable, v[0], v[1]))'
	@echo "making .venv with $$($(PYTHON) --version)"
	@$(BIN)/python$(VERSION) -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	@echo "installing uv into it"
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-bootstrap.lock
	@echo "installing the locked dependencies (a few hundred MB the first time)"
	@UV_PYTHON_DOWNLOADS=never $(BIN)/uv pip sync -q --require-hashes --compile-bytecode --python $(BIN)/python requirements-dev.lock
	@touch $(READY)
