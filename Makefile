# Thin on purpose: pip installs, CMake builds, ctest and pytest test. The first call makes .venv, which holds
# every tool but make and the C++ compiler.

PYTHON ?= python3
# What pip is asked for, words without blanks; 2.8 is the last PyTorch for Python 3.9. README.md says how to get its CPU
# build, which is much smaller, where pip's index has another one.
TORCH ?= torch==2.13.0;python_version>="3.10" torch==2.8.0;python_version<"3.10"

VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
JOBS := $(shell nproc 2>/dev/null || echo 2)
PACKAGE := pyproject.toml CMakeLists.txt $(shell find cmake cpp cuda python -type f ! -name '*.pyc')
CXX_FILES := $(shell find cpp cuda tests tools -name '*.cc' -o -name '*.h' -o -name '*.cu' -o -name '*.cuh')
AARCH64_TOOLS := aarch64-linux-gnu-g++ qemu-aarch64-static
ARMHF_TOOLS := arm-linux-gnueabihf-g++ qemu-arm-static

export PATH := $(BIN):$(PATH)

# $(call test_preset,NAME): builds a preset of CMakePresets.json and runs its C++ tests.
test_preset = cmake --preset $(1) && cmake --build --preset $(1) && ctest --preset $(1) --parallel $(JOBS)

# $(call missing,TOOL TOOL): those that are not installed.
missing = $(strip $(foreach tool,$(1),$(if $(shell command -v $(tool) 2>/dev/null),,$(tool))))

.PHONY: demo test test-cpp test-sanitized test-aarch64 test-armhf test-python bench lint lint-cpp lint-python format clean
.DELETE_ON_ERROR:

demo: $(VENV)/demo.stamp
	squish demo

test: test-cpp test-sanitized test-aarch64 test-armhf test-python

test-cpp: $(VENV)/dev.stamp
	$(call test_preset,dev)

# ThreadSanitizer is built and run only for what has threads: see the preset.
test-sanitized: $(VENV)/dev.stamp
	$(call test_preset,asan-ubsan)
	$(call test_preset,tsan)

test-aarch64: $(VENV)/dev.stamp
ifeq ($(call missing,$(AARCH64_TOOLS)),)
	@if [ -d build/cross-cuda ] || python tools/cuda/cross_toolkit.py build/cross-cuda; \
	then $(call test_preset,aarch64-cuda); \
	else echo "aarch64 is tested without the device cuda"; $(call test_preset,aarch64); fi
else
	@echo "aarch64 tests left out, no $(call missing,$(AARCH64_TOOLS)):" \
	  "apt install g++-aarch64-linux-gnu qemu-user-static libgtest-dev"
endif

# 32 bits.
test-armhf: $(VENV)/dev.stamp
ifeq ($(call missing,$(ARMHF_TOOLS)),)
	$(call test_preset,armhf)
else
	@echo "armhf tests left out, no $(call missing,$(ARMHF_TOOLS)):" \
	  "apt install g++-arm-linux-gnueabihf qemu-user-static libgtest-dev"
endif

# Each process imports PyTorch: more than four would want memory.
test-python: $(VENV)/dev.stamp
	pytest -m 'not timing' --numprocesses auto --maxprocesses 4 --dist worksteal
	pytest -m timing

bench: $(VENV)/dev.stamp
	pytest tests/python/bench --benchmark-enable --benchmark-only

lint: lint-cpp lint-python

lint-cpp: $(VENV)/dev.stamp
	@clang-format --dry-run -Werror $(CXX_FILES)
	cmake --preset dev
	run-clang-tidy.py -p build/dev -j $(JOBS) -quiet -hide-progress '^$(CURDIR)/(cpp|cuda|tools)/.*\.cc$$'

lint-python: $(VENV)/dev.stamp
	ruff check
	ruff format --check
	mypy

format: $(VENV)/dev.stamp
	clang-format -i $(CXX_FILES)
	ruff check --fix
	ruff format

clean:
	rm -rf build dist $(VENV)

# The stamps say what is installed in .venv: demo.stamp the package with the extra [demo], dev.stamp with [dev].
# Without build isolation the build folder outlives the installation, so only what changed is compiled again. Only this
# build has every CUDA architecture, so with [dev] registers that spill in a kernel are errors in it.
$(VENV)/%.stamp: $(VENV)/tools.stamp $(PACKAGE)
	pip install --quiet --no-build-isolation -C build-dir=build/python $(if $(filter dev,$*),-C cmake.define.CMAKE_CUDA_FLAGS=-Xptxas=-Werror) '.[$*]'
	touch $@

$(VENV)/tools.stamp:
	$(PYTHON) -m venv $(VENV)
	pip install --quiet --upgrade pip
	pip install --quiet cmake ninja pybind11 scikit-build-core $(foreach requirement,$(TORCH),'$(requirement)')
	touch $@
