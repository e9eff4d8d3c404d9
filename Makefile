# Two commands for a fresh machine: `make demo` and `make test`. Both set up .venv first.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test lint docs bench venv clean

demo: venv
	$(BIN)/bench run --experiment quickstart --store runs/quickstart --keep-maps 12
	$(BIN)/bench report --store runs/quickstart --markdown --latex --csv --out runs/quickstart/report
	$(BIN)/bench report --store runs/quickstart --html --out runs/quickstart/page
	@echo "open runs/quickstart/page/index.html in a browser: the table above, and behind each number its images"

# JOBS processes share the tests; more threads in each would only get in each other's way.
JOBS ?= 2

test: lint
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(JOBS) --dist worksteal --durations 15

# The speed suite: tables of ratios, on one thread. For example BENCH="--device cuda --results speed.md".
bench: venv
	OMP_NUM_THREADS=1 $(BIN)/pytest tests/benchmarks $(BENCH)

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/generate.py --check

# docs/reference/, from docstrings and help texts.
docs: venv
	$(BIN)/python docs/generate.py

venv: $(INSTALLED)

# torch from the registry unless one is there already (README: CPU-only users install theirs first).
$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[all,test]'
	touch $@

clean:
	rm -rf $(VENV) runs/quickstart
