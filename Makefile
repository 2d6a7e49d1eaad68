# Two commands do everything from a bare clone: `make demo` and `make test`. `make test-all` runs the slow tests as
# well, and `make docs` builds the site.
PYTHON ?= python3
VENV   ?= .venv
EXTRAS ?= all,dev
BIN    := $(VENV)/bin

# uv does not read pip's settings: pass on a local wheel folder where pip has one.
export UV_FIND_LINKS ?= $(or $(PIP_FIND_LINKS),$(shell $(PYTHON) -m pip config get global.find-links 2>/dev/null))

PYTEST := $(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

.PHONY: demo test test-all check docs clean
demo: $(VENV)/ready      ## train on the sample data and write a report
	$(BIN)/artaffect demo

test: $(VENV)/ready      ## the quick tests: under ten minutes on two cores
	$(PYTEST) -m "not slow"

test-all: $(VENV)/ready  ## every test, as CI runs them
	$(PYTEST)

check: $(VENV)/ready     ## format, lint, types, import layers
	PATH="$(abspath $(BIN)):$$PATH" scripts/check

docs: $(VENV)/ready      ## the documentation as a site, in docs/_build
	$(BIN)/python -m docs.tools.reference docs
	$(BIN)/python -m sphinx --fail-on-warning --quiet docs docs/_build
	@echo "docs/_build/index.html"

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

$(VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "artaffect needs Python 3.11 or newer; found " + sys.version.split()[0] + ". Try: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -c constraints.txt -e '.[$(EXTRAS)]'
	touch $@
