# Two commands do all the set-up: `make up` runs the example, `make test` passes the tests.
.PHONY: up build test test-long lab needs images fmt lint deny advisories bench docs dist deb simulate

needs:
	@sh scripts/build-needs.sh

build: needs
	cargo build --release

images:
	@sh scripts/docker.sh
	@sh scripts/example-images.sh

# Builds, makes sure that a Docker engine runs, makes the example's images, runs the example.
up: build images
	target/release/evenkeel up manifests-example

# Everything: unit, property, simulation, and end to end on Docker, git and kubectl.
# Stories wait more than they compute: four at a time, however few cores there are.
test: needs images
	@sh scripts/test-needs.sh
	RUST_TEST_THREADS=4 cargo test --workspace

fmt:
	cargo fmt --all --check

lint: needs
	cargo clippy --workspace --all-targets -- -D warnings

deny:
	@sh scripts/cargo-deny.sh
	cargo deny --log-level error check bans licenses sources

# Needs the advisory database from the network, so it is no part of CI.
advisories:
	@sh scripts/cargo-deny.sh
	cargo deny check advisories

# The figures of docs/performance.md: all, or `make bench FIGURES="cold-plan commit"`.
bench: needs images
	cargo bench --bench figures -- $(FIGURES)

# Nodes with engines of their own on this machine, a server and agents: until Ctrl-C.
NODES ?= 3
lab: needs images
	@sh scripts/test-needs.sh
	cargo build --bin evenkeel
	cargo run --package evenkeel-lab -- --nodes $(NODES) --binary target/debug/evenkeel

# The stories of several machines with cuts of ten minutes and 50 kills each.
test-long: needs images
	@sh scripts/test-needs.sh
	EVENKEEL_LONG=1 cargo test --test lab

# Static binaries with their units and checksums in dist/: the same bytes for the same commit.
dist: needs
	@sh scripts/dist.sh

# The Debian package of this machine's static binary, in dist/ as well.
deb: dist
	@sh packaging/deb.sh --binary target/dist/$$(uname -m)-unknown-linux-gnu/dist/evenkeel \
	    --arch $$(dpkg --print-architecture) --out dist

# The simulation alone: `make simulate SEEDS=2000 LARGE=4`. Thousands of worlds are worth a build that
# runs ten times as fast: CARGO_PROFILE_DEV_OPT_LEVEL=1 before it.
SEEDS ?= 200
LARGE ?= 1
simulate: needs
	EVENKEEL_SEEDS=$(SEEDS) EVENKEEL_LARGE=$(LARGE) cargo test --test simulation
