SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
# Nothing that the caller's shell says about Python or PROJ may leak into the environment.
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV PROJ_DATA PROJ_LIB GDAL_DATA

.PHONY: help env run test test-slow lint lock bench clean

help:
	@echo "make run        make .venv and run snakemake --cores 8 to the end on the demo city"
	@echo "make env        make .venv from the lock; then: . $(BIN)/activate"
	@echo "make test       run the tests (make test-slow: those that take minutes)"
	@echo "make lint       all linters        make lock    renew the lock and envs/"
	@echo "make bench      benchmarks         make clean   remove .venv"

env:
	VENV=$(VENV) bash workflow/tools/make_env.sh

run: env
	. $(BIN)/activate; snakemake --cores 8

test: env
	$(BIN)/python -m pytest

test-slow: env
	$(BIN)/python -m pytest -m slow

lint: env
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile workflow/rules
	. $(BIN)/activate; snakemake --lint

lock: env
	bash workflow/tools/lock.sh

bench: env
	bash benchmarks/run.sh

clean:
	rm -rf $(VENV)
.ONESHELL:
