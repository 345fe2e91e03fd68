# Every target only calls a CMake preset or a script. `make help` lists them.
PREFIX ?= /usr/local
JOBS ?= $(shell nproc)

# make interop INTEROP_ARGS=--quick takes the demo model only.
INTEROP_ARGS ?=

# Short, some minutes in all; make bench BENCH_ARGS=--benchmark_filter=gemm for one subject with good averages.
BENCH_ARGS ?= --benchmark_min_time=0.1

RELEASE = build/release
TOOL = $(RELEASE)/hesse

# Seconds for each reader; 0: until something is found.
FUZZ_SECONDS ?= 60

.DEFAULT_GOAL := build
.PHONY: build test demo interop report-pictures install asan tsan fuzz bench format tidy clean help

build: ## Build the tool: build/release/hesse
	@tools/setup.sh build
	cmake --preset release
	cmake --build --preset release --parallel $(JOBS) --target hesse_cli

test: ## Install what is missing, build everything, run the tests
	@tools/setup.sh test
	cmake --preset release -DHESSE_BUILD_TESTS=ON
	cmake --build --preset release --parallel $(JOBS)
	ctest --preset release --parallel $(JOBS) --output-junit $(CURDIR)/$(RELEASE)/test-results.xml

demo: build ## Quantize the model in models/tiny-llama and show what it cost
	tools/run_demo.sh $(TOOL) models/tiny-llama build/demo

interop: ## Compare with PyTorch, transformers and GPTQModel (makes a Python environment once)
	@tools/setup.sh test
	@tools/setup.sh interop
	cmake --preset release -DHESSE_BUILD_TESTS=ON
	cmake --build --preset release --parallel $(JOBS) --target hesse_cli solve_file test_tokenizer
	tools/run_interop.sh $(RELEASE) $(INTEROP_ARGS)

report-pictures: build ## Render the page of a demo run and look at it with Chromium: build/pictures
	$(TOOL) quantize models/tiny-llama -o build/report-demo --calib models/tiny-llama/calibration.txt --preset fast --overwrite
	tools/render_report.sh build/report-demo/hesse-report.html build/pictures

install: build ## Install the tool, the library, its headers and its CMake package: make install PREFIX=...
	cmake --install $(RELEASE) --prefix $(PREFIX)

asan: ## Build and test with the address and undefined-behaviour sanitizers
	@tools/setup.sh test
	cmake --preset asan-ubsan -DHESSE_BUILD_TESTS=ON
	cmake --build --preset asan-ubsan --parallel $(JOBS)
	ctest --preset asan-ubsan --parallel $(JOBS)

tsan: ## Build and test with the thread sanitizer
	@tools/setup.sh test
	cmake --preset tsan -DHESSE_BUILD_TESTS=ON
	cmake --build --preset tsan --parallel $(JOBS)
	ctest --preset tsan --parallel $(JOBS)

fuzz: ## Feed every reader with damaged files: FUZZ_SECONDS each (0: without end)
	@tools/setup.sh fuzz
	cmake --preset fuzz
	cmake --build --preset fuzz --parallel $(JOBS) --target fuzzers
	tools/run_fuzzers.sh build/fuzz $(FUZZ_SECONDS)

bench: ## Build and run the benchmarks
	@tools/setup.sh bench
	cmake --preset bench
	cmake --build --preset bench --parallel $(JOBS)
	for b in build/bench/bench/*_bench; do $$b $(BENCH_ARGS) || exit 1; done

format: ## Format every source file in place
	@tools/setup.sh lint
	find src include tests bench examples \( -name '*.h' -o -name '*.cpp' \) -exec clang-format -i {} +

tidy: ## Run clang-tidy over the library and the tool
	@tools/setup.sh lint
	cmake --preset debug
	find src -name '*.cpp' -print0 | xargs -0 -n 1 -P $(JOBS) clang-tidy -p build/debug --quiet

clean: ## Remove every build and result
	rm -rf build

help: ## Print this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
