# A short name for everything one does here; each target is one or two CMake commands on a preset of CMakePresets.json.
#   make test JOBS=4     make all OPTIONS="-DGRADUS_BLAS=OFF"     CC=clang make
JOBS ?= $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
OPTIONS ?=
PREFIX ?= /usr/local
SECONDS_EACH ?= 60
LEAST ?= 0
# Ninja where there is one; an existing build folder keeps what it was made with.
GENERATOR := $(if $(shell command -v ninja 2>/dev/null),Ninja,Unix Makefiles)

configure = cmake --preset $(1) -G "$$(sed -n 's/^CMAKE_GENERATOR:INTERNAL=//p' $(2)/CMakeCache.txt 2>/dev/null | grep . || echo '$(GENERATOR)')" $(OPTIONS) $(3) >/dev/null
# MAKEFLAGS and MAKELEVEL are emptied so that a generated makefile takes its own -j and does not announce every folder.
compile = MAKEFLAGS= MAKELEVEL= cmake --build --preset $(1) -j $(JOBS)
build = $(call configure,$(1),$(2),$(3)) && $(call compile,$(1))
# Tests use threads themselves, so they run one at a time.
check = $(call build,$(1),build/$(1)) && tools/test $(1)

.PHONY: all test quick demo lint format abi coverage debug asan tsan portable arm64 fuzz bench install clean help

all: ## build the command at build/gradus and the library
	@$(call build,release,build)

test: all ## build and run the whole test suite
	@tools/test release

quick: all ## run the quick tests only
	@tools/test release -L quick

demo: all ## train a small model on this project's own text and show what it learned
	@tools/demo

lint: all ## check rules of the code that a compiler does not
	@tools/lint

format: ## lay out the C sources with clang-format
	@clang-format -i $$(find include src tests examples bench fuzz -name '*.[ch]')

abi: ## compare the library with the last release's, as a linked program sees it (needs abidiff)
	@JOBS=$(JOBS) tools/abi

coverage: ## run the tests and print which share of the lines in src/ they run
	@$(call check,coverage)
	@tools/coverage build/coverage $(LEAST)

debug asan tsan: ## build with that preset and run the tests
	@$(call check,$@)

portable: ## build build/portable/gradus, which needs nothing but the C library
	@$(call check,portable)

arm64: ## cross-compile for 64-bit ARM and run the quick tests in qemu
	@$(call check,arm64)

fuzz: ## fuzz every target for SECONDS_EACH seconds (needs clang)
	@$(call build,fuzz,build/fuzz)
	@tools/fuzz build/fuzz $(SECONDS_EACH)

bench: all ## run the benchmarks
	@for b in $$(find build/bench -type f -perm -u+x); do echo "== $$b"; "$$b" || exit 1; done

install: all ## install under PREFIX (default /usr/local)
	@cmake --install build --prefix "$(PREFIX)"

clean: ## remove everything built
	@rm -rf build

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9 ]+:.*## / { printf "make %-18s %s\n", $$1, $$2 }' Makefile
