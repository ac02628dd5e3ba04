# Everything is built inside .venv and .cache of this checkout; OS packages are the one exception, and only as root.
SHELL := /bin/sh
.DEFAULT_GOAL := help

VENV := .venv
BIN  := $(VENV)/bin
WORKERS ?= 2

export PATH := $(CURDIR)/$(BIN):$(PATH)
export ANSIBLE_HOME := $(CURDIR)/.ansible
export ANSIBLE_NOCOWS := 1
export LC_ALL ?= C.UTF-8

PYTEST = "$(BIN)/python" -m pytest
COLLECTION = ansible_collections/bulkhead/microseg

.PHONY: help setup setup-lint packages demo test proof bench lint docs build clean doctor

help: ## this text
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | while IFS='	' read -r name text; do printf '  make %-12s %s\n' "$$name" "$$text"; done

setup: ## make .venv with everything that running and testing needs
	@sh extensions/setup/venv flows test

setup-lint: ## ... and the lint, docs and build tools
	@sh extensions/setup/venv flows test lint

packages: ## install missing OS packages (root), or say which are missing
	@sh extensions/setup/os-packages

demo: setup packages ## a small estate in namespaces, from discovery to proof
	@extensions/demo/run

test: setup packages ## everything a laptop can do in under ten minutes
	$(PYTEST) -n $(WORKERS) -m "not proof" $(ARGS)

proof: setup packages ## long randomised proofs (MICROSEG_PROOF_FRACTION=0.1 for a tenth)
	$(PYTEST) -n $(WORKERS) -m proof $(ARGS)

bench: setup packages ## CPU seconds and memory, deterministic inputs
	"$(BIN)/python" -m tests.bench $(ARGS)

lint: setup-lint ## every static check
	@sh extensions/setup/lint

docs: setup-lint ## check the plugin documentation and print where it is wrong
	"$(BIN)/antsibull-docs" lint-collection-docs --plugin-docs --validate-collection-refs self .

build: setup-lint ## galaxy tarball and wheel into dist/
	@sh extensions/setup/build

doctor: setup ## tools, versions, and copies of the collection that would shadow this one
	@"$(BIN)/python" extensions/setup/doctor.py

clean: ## remove what the other targets made (not .venv)
	rm -rf build dist .cache .ansible .hypothesis .microseg
	find . -path "./$(VENV)" -prune -o -type d -name __pycache__ -prune -exec rm -rf {} +
