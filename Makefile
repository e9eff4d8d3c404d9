# Two commands for a fresh machine: `make demo` and `make test`. Both set up .venv first.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test lint docs bench bench-guard venv clean

demo: venv
	$(BIN)/bench run --experiment quickstart --store runs/quickstart --keep-maps 12
	$(BIN)/bench report --store runs/quickstart --markdown --latex --csv --out runs/quickstart/report
	$(BIN)/bench report --store runs/quickstart --html --out runs/quickstart/page
	@echo "open runs/quickstart/page/index.html in a browser: the table above, and behind each number its images"

# JOBS processes share the tests; more threads in each would only get in each other's way.
JOBS ?= 2

test: lint
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(JOBS) --dist worksteal --durations 15

# The speed suite, on an idle machine: an hour; what it measures as JSON, and docs/performance.md of that, beside an
# earlier run with BEFORE=FILE.json. With BENCH a part of it, to the terminal alone: BENCH="-k metrics",
# BENCH="--device cuda --results speed.json", BENCH="--compare FILE.json".
SPEED := docs/results/speed/$(shell date -u +%F).json
bench: venv
ifdef BENCH
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/benchmarks $(BENCH)
else
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/benchmarks --results $(SPEED)
	$(BIN)/python -m tests.benchmarks.page $(SPEED) $(if $(BEFORE),--before $(BEFORE))
endif

# Under a minute: the rows that have a bound, which fail below it. .ci/run calls it.
bench-guard: venv
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/benchmarks/bench_table.py --short

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
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[all,speed,test]'
	touch $@

clean:
	rm -rf $(VENV) runs/quickstart
