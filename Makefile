# `make` lists the targets. ARGS="..." passes further arguments to the example or the bench.

.DEFAULT_GOAL := help
.PHONY: help demo test mpi-test soak portability bench tune web web-test page-test ensure-rust ensure-driver

# Where rustup puts cargo, for shells that have not been told yet.
export PATH := $(PATH):$(HOME)/.cargo/bin
# Mesa's device selection layer complains about every machine without a desktop session.
export NODEVICE_SELECT ?= 1

# What the demonstration runs with, unless ARGS says otherwise.
DEMO := $(if $(findstring --preset,$(ARGS)),,--preset quick) \
  $(if $(findstring --out,$(ARGS)),,--out out/demo \
    $(if $(findstring --resume,$(ARGS))$(findstring --overwrite,$(ARGS)),,--overwrite))

help:
	@echo "make demo    noisy labels against plain training and against learned weights, in minutes;"
	@echo "             the data is synthetic, ARGS=\"--data DIR\" takes your own; pictures in out/demo"
	@echo "make test    build, formatting, lints, documentation and all tests"
	@echo "make mpi-test  several ranks under mpirun; make test does it where there is an MPI library"
	@echo "make soak    long runs, and runs that are killed hundreds of times"
	@echo "make portability  the kernels in DirectX's own compiler, which it fetches, and in what else"
	@echo "             there is: docs/portability.md"
	@echo "make bench   L2RW steps against plain ones, stages, memory, start, kernels against the"
	@echo "             adapter's peaks; also written to target/bench.json; ARGS=\"--help\" lists more"
	@echo "make tune    measures in two minutes which way to write kernels suits this adapter best, and"
	@echo "             keeps it in the user's cache, where demo and bench find it"
	@echo "make web     the page that trains in a browser, as one folder: target/web"
	@echo "make web-test  drives that page in Chromium, which it installs"
	@echo "make page-test  the same with the page of an audit, looks through labels and audits again,"
	@echo "             and with the report of many runs"
	@echo
	@echo "All of them run on a GPU, or on Mesa's software driver, which they install on Linux where"
	@echo "there is no Vulkan driver (apt, dnf and pacman); L2RW_INSTALL=no prevents that."

ensure-rust:
	@command -v cargo >/dev/null 2>&1 || { \
	  echo "cargo is missing. Install Rust from https://rustup.rs :" >&2; \
	  echo "  curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh" >&2; \
	  exit 1; }

ensure-driver:
	@sh scripts/ensure-driver.sh

demo: ensure-rust ensure-driver
	cargo run --release --example cifar_backgroundflip -- $(DEMO) $(ARGS)

# With the ranks that MPI starts, where there is an MPI library. Without one, the feature is left out
# of everything.
MPI = $(shell sh scripts/has-mpi.sh >/dev/null && echo --features mpi)

# Everything in the release profile: the tests compute on the CPU as well, and lints, documentation
# and the check without features share build scripts and macros with the build.
test: ensure-rust ensure-driver
	@sh scripts/ensure-components.sh fmt clippy
	@echo "== scripts"
	sh scripts/test-ensure-driver.sh
	@echo "== formatting"
	cargo fmt --check
	@echo "== build"
	cargo build --release --all-targets $(MPI)
	@echo "== lints"
	cargo clippy --release --all-targets $(MPI) -- -D warnings
	@echo "== documentation"
	RUSTDOCFLAGS="-D warnings" cargo doc --release --no-deps
	@echo "== each feature alone"
	sh scripts/check-features.sh
	@echo "== dependencies"
	sh scripts/check-dependencies.sh
	@echo "== tests"
	cargo test --release $(MPI) $(ARGS)
	@sh scripts/unchecked.sh
	@echo "== all passed"

# The same ranks alone, or what is missing for them.
mpi-test: ensure-rust ensure-driver
	@sh scripts/has-mpi.sh
	cargo test --release --features mpi --test mpi

soak: ensure-rust ensure-driver
	cargo build --release --examples --bins --features cli
	cargo test --release --test training --test examples -- --ignored --nocapture $(ARGS)

portability: ensure-rust ensure-driver
	sh scripts/fetch-dxc.sh
	cargo test --release --test kernels portability -- --include-ignored --nocapture

bench: ensure-rust ensure-driver
	cargo bench --bench iteration $(if $(ARGS),-- $(ARGS))

tune: ensure-rust ensure-driver
	cargo run --release --example tune -- $(ARGS)

web: ensure-rust
	sh scripts/build-web.sh

web-test: web ensure-driver
	sh scripts/test-web.sh

page-test: ensure-rust ensure-driver
	sh scripts/test-page.sh
