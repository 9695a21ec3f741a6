# Everything runs in a virtual environment made here: a machine with Python >= 3.11, pip and make is enough.
# `make help` lists the targets. Another Python: make PYTHON=python3.13 VENV=.venv-3.13 test

PYTHON ?= python3
VENV ?= .venv
# Two workers, and quick compilation: the suite is thousands of small programs that run once. XLA dies of a flag that
# it does not know, so the last one, which halves the time of compilation but is gone from jaxlib 0.12, is tried first.
WORKERS ?= 2
QUICK = --xla_backend_optimization_level=0 --xla_cpu_parallel_codegen_split_count=1
QUICKER = --xla_cpu_use_fusion_emitters=false
PYTEST_ARGS ?=
BENCH_ARGS ?=
# Compiled XLA programs, kept between runs: a second `make test` compiles nothing that has not changed.
JAX_COMPILATION_CACHE_DIR ?= $(CURDIR)/.cache/jax/$(notdir $(VENV))
JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS ?= 0
JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES ?= -1

BIN = $(VENV)/bin
# Quiet twice: errors are shown, warnings about caches and mirrors are not.
PIP = $(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check
CACHED = JAX_COMPILATION_CACHE_DIR="$(JAX_COMPILATION_CACHE_DIR)" \
	JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=$(JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS) \
	JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES=$(JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES)
PYTEST = quicker=$$( (XLA_FLAGS=$(QUICKER) $(BIN)/python -c "import jax; jax.devices()" && echo $(QUICKER)) 2>/dev/null ); \
	$(CACHED) XLA_FLAGS="$(QUICK) $$quicker $(XLA_FLAGS)" $(BIN)/python -m pytest -q -n $(WORKERS)

.PHONY: help demo test slow lint types format docs parity bench clean
.DEFAULT_GOAL := help

help:  ## lists the targets
	@sed -n 's/^\([a-z]*\):.*##/\1 -/p' Makefile

demo: $(VENV)/.installed-examples  ## trains a network on handwritten digits and draws a picture
	$(BIN)/python examples/digits_cnn.py

test: $(VENV)/.installed-test  ## runs the everyday test suite (no torch needed)
	$(PYTEST) --dist loadgroup $(PYTEST_ARGS)

slow: $(VENV)/.installed-test  ## runs the tests that the everyday suite leaves out
	$(PYTEST) --dist loadgroup -m slow $(PYTEST_ARGS)

lint: $(VENV)/.installed-dev  ## ruff: rules and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev  ## pyright, strict on jseq/
	$(BIN)/pyright --pythonpath $(BIN)/python

format: $(VENV)/.installed-dev  ## formats the whole tree
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.installed-docs  ## builds docs/_build/html; a warning is an error
	$(CACHED) $(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo "The pages are in docs/_build/html/index.html"

parity: $(VENV)/.installed-torch  ## holds every layer against torch itself, and against onnxruntime
	$(PYTEST) tests/test_parity.py tests/test_weights_torch.py tests/test_torch_table.py \
	tests/test_weight_norms_torch.py tests/test_architectures.py tests/test_from_torch*.py tests/test_to_torch.py \
	tests/test_orbax.py tests/test_onnx.py tests/test_command_line.py tests/test_documents_torch.py -k "not stored" $(PYTEST_ARGS)

bench: $(VENV)/.installed-peers  ## times jseq beside its peers; BENCH_ARGS="--only cnn --libraries jseq,linen --rounds 3"
	$(BIN)/python -m benchmarks $(BENCH_ARGS)

clean:  ## removes everything that was built, the virtual environments too
	rm -rf .venv* .cache .hypothesis .pytest_cache .ruff_cache docs/_build examples/out build dist

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "jseq needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1)." \
	       "The call that works: make PYTHON=python3.13 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)

# One stamp per extra, newer than pyproject.toml: a second run installs nothing.
$(VENV)/.installed-%: $(VENV)/bin/python pyproject.toml
	$(PIP) --editable '.[$*]'
	@touch $@

$(VENV)/.installed-torch: $(VENV)/.installed-test
	$(PIP) torch==2.13.0 --editable '.[onnx,orbax]'
	@touch $@

$(VENV)/.installed-peers: $(VENV)/bin/python pyproject.toml
	$(PIP) torch==2.13.0 --editable '.[bench]'
	@touch $@
