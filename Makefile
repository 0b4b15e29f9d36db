# PTI: 'make demo' and 'make test' are all one needs on a fresh Debian; each installs what is missing first.
.DEFAULT_GOAL := help
.PHONY: help demo test folders faults fuzz mutants raises lint zip bench setup clean
PYTHON := .venv/bin/python
# further arguments for pytest, e.g. make test ARGS="tests/unit -x"
ARGS ?=
# profile of the demo: defensible or as_published
PROFILE ?= defensible
# make mutants, faults and fuzz
SEED ?= 1
# make mutants: stopped, it goes on where it was (build/mutants); further arguments as in ARGS="--at trends.py:376"
COUNT ?= 200
WORKERS ?= 2
MUTATION_TOOLS = $(PYTHON) -m pip install --quiet --disable-pip-version-check --only-binary :all: --no-deps \
	--constraint .venv/constraints.txt --requirement scripts/requirements-mutants.txt

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r name text; do \
		printf '  make %-7s %s\n' "$$name" "$$text"; done

demo: ## run the whole chain on the embedded sample and show the results (PROFILE=as_published)
	@scripts/setup
	@scripts/demo --profile $(PROFILE)

test: ## run the unit, processing and headless tests (ARGS="…" for pytest)
	@scripts/setup develop
	@$(PYTHON) -m pytest -n auto --dist loadfile $(ARGS)

folders: ## test folders of products with the real number of files (make test: a tenth)
	@scripts/setup develop
	@PTI_FOLDERS=full $(PYTHON) -m pytest tests/headless/test_delivered.py -s

faults: ## kill, starve and disturb runs of every tool and the chain, as drawn by SEED (make test: a few)
	@scripts/setup develop
	@PTI_FAULTS=full SEED=$(SEED) $(PYTHON) -m pytest tests/headless/test_faults.py tests/unit/test_commit_journal.py -s

fuzz: ## use some 15,000 damaged rasters, tables, records and models, as drawn by SEED (make test: a few)
	@scripts/setup develop
	@PTI_FUZZ=full PTI_FUZZ_MODELS=1000 SEED=$(SEED) $(PYTHON) -m pytest tests/headless/test_fuzz.py \
		tests/unit/test_damaged_models.py -s

mutants: ## change the core in COUNT small ways drawn by SEED; which ones do the tests notice? (stopped, it goes on)
	@scripts/setup develop
	@$(MUTATION_TOOLS)
	@$(PYTHON) scripts/mutants.py --seed $(SEED) --count $(COUNT) --workers $(WORKERS) $(ARGS)

raises: ## list the refusals of the core that no test reaches
	@scripts/setup develop
	@$(MUTATION_TOOLS)
	@$(PYTHON) scripts/raises.py

lint: ## check the code with ruff and bandit
	@scripts/setup develop
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m bandit --quiet --recursive --ignore-nosec pti_plugin

zip: ## build dist/pti_plugin-<version>.zip and check it as the plugin repository does
	@scripts/setup develop
	@$(PYTHON) scripts/check_zip.py "$$($(PYTHON) scripts/build_zip.py)"

bench: ## measure speed and memory
	@scripts/setup develop
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --only-binary :all: \
		--constraint .venv/constraints.txt --requirement benchmarks/requirements.txt || \
		echo "A package to compare with could not be installed; its row says so."
	@$(PYTHON) benchmarks/run.py --full

setup: ## install what is missing: QGIS by apt, Python packages into .venv
	@scripts/setup develop

clean: ## remove what was built (not .venv)
	@rm -rf build dist .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +
