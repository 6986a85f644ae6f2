# `make` lists the targets. Each installs what it needs first (scripts/setup.sh), or says how to.

CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)
# Read from the manifest, so that a new layer cannot be forgotten here.
FEATURES := $(shell sed -n '/^\[features\]/,/^\[[^f]/s/^\([a-z-]*\) *=.*/\1/p' Cargo.toml | grep -vx default)

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test bench faults lint deny sbom reproduce fuzz sanitize build setup setup-build clean

help: ## List the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

demo: build ## See the whole story: call, kill, freeze, recover
	$(TARGET)/release/plugbus demo

# Tests come last: what CI prints ends with their summary. The README's own commands want the release build.
test: lint build ## Run everything that CI runs
	$(CARGO) test --locked --workspace --features stream --no-fail-fast

# Peers are built with their own tools; what is missing is left out with a word.
bench: setup ## Measure, beside other plugin systems
	$(CARGO) bench --locked --bench figures -- --svg $(TARGET)/figures
	$(CARGO) bench --locked --bench soak
	$(CARGO) bench --locked --bench supervision

# The short run of the same faults is one of the tests.
faults: setup-build ## Do every fault of docs/reliability.md; takes about an hour
	$(CARGO) bench --locked --bench faults
	PLUGBUS_SCHEDULES=1000000 $(CARGO) test --locked --release --lib schedules

# Clippy checks as well as it lints: `cargo check` would say nothing more.
lint: setup ## Formatting, clippy, each feature alone, docs, dependency budget
	$(CARGO) fmt --all --check
	scripts/dependency-budget.sh
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	@set -e; for feature in '' $(FEATURES); do \
		echo "$(CARGO) clippy --no-default-features --features '$$feature'"; \
		$(CARGO) clippy --locked --quiet --no-default-features --features "$$feature" -- -D warnings; \
	done
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --locked --no-deps

# The advisories want the network: without it they are left out with a word.
deny: ## Licences, sources, duplicates and advisories of what we depend on
	@set -e; if ! $(CARGO) deny --version >/dev/null 2>&1; then \
		echo "deny: skipped, cargo-deny is not installed (cargo install --locked cargo-deny)"; exit 0; fi; \
	$(CARGO) deny --locked check bans licenses sources; \
	if timeout 120 $(CARGO) deny --locked fetch db; then $(CARGO) deny --locked check --disable-fetch advisories; \
	else echo "deny: the advisories were left out, their list cannot be fetched"; fi

sbom: ## Write a bill of materials, target/plugbus.cdx.json
	@mkdir -p $(TARGET)
	scripts/sbom.py > $(TARGET)/plugbus.cdx.json

reproduce: setup-build ## Build the committed sources twice for release and compare
	CARGO='$(CARGO)' scripts/reproduce.sh

# Longer, or one target alone: scripts/fuzz.sh 1200 frames
fuzz: ## Fuzz each kind of input for a minute
	CARGO='$(CARGO)' scripts/fuzz.sh

sanitize: setup ## Run the library's tests under the address sanitizer
	CARGO='$(CARGO)' scripts/sanitize.sh

build: setup-build ## Build for release
	$(CARGO) build --locked --release

setup: ## Install what is missing to build and to test
	@scripts/setup.sh test

setup-build:
	@scripts/setup.sh build

clean: ## Remove everything that was built
	$(CARGO) clean
