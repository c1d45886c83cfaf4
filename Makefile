# Two commands do everything on a fresh Debian machine: `make drill` and `make test`.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:
.DELETE_ON_ERROR:

# What the build needs, and what the tests speak to.
BUILD_PACKAGES := build-essential pkg-config libpcsclite-dev
TEST_PACKAGES := pcscd vsmartcard-vpcd yubico-piv-tool opensc yubikey-manager age openssl python3 python3-cryptography

FUZZ_TARGETS := documents policy envelope items certificates card token_file vault

.PHONY: help drill test sweep fuzz build-packages test-packages cargo nextest lint

help:
	@echo "make drill   build claviger and run a whole ceremony on software tokens"
	@echo "make fuzz    every fuzz target for FUZZ_SECONDS (600) each; needs a C++ compiler, no nightly Rust"
	@echo "make sweep   every sweep of the suite to its end, instead of a sample: hours"
	@echo "make test    the complete suite, virtual cards through a real pcscd included"

drill: build-packages cargo
	cargo run --quiet --locked -- drill

test: build-packages test-packages cargo nextest lint
	cargo nextest run --locked --all-targets
	cargo test --quiet --locked --doc

# Every sweep to its end: hours. `docs/assurance.md` has the figures.
sweep: build-packages test-packages cargo nextest
	sweep="cargo nextest run --locked --profile sweep --cargo-profile sweep --no-fail-fast --no-capture"
	CLAVIGER_TEST_EVERY_POINT=literally $$sweep --test crash --test crash_on_cards --test power --test copies --test damaged_ceremony
	CLAVIGER_TEST_EVERY_BIT=1 $$sweep --test every_byte
	CLAVIGER_TEST_WHOLE_MODEL=1 $$sweep --test model
	CLAVIGER_TEST_ALL=1 $$sweep --test memory --test concurrency
	CLAVIGER_TEST_EVERY_FORK=1 $$sweep --test forks

# `make fuzz FUZZ_TARGETS=vault FUZZ_SECONDS=60` runs one for a minute.
fuzz: build-packages cargo
	fuzz/run $(FUZZ_TARGETS)

lint: cargo
	cargo fmt --all --check
	cargo clippy --quiet --locked --package claviger --package claviger-model --all-targets -- -D warnings

build-packages:
	@tests/packages.sh $(BUILD_PACKAGES)

test-packages:
	@tests/packages.sh $(TEST_PACKAGES)

cargo:
	@command -v cargo >/dev/null || { echo "claviger needs Rust 1.88 or later: install it with rustup (https://rustup.rs), then run make again" >&2; exit 1; }

nextest:
	@cargo nextest --version >/dev/null 2>&1 || cargo install --locked cargo-nextest
