# `make` builds; `make help` lists the targets. `make check` before a commit, `make test` before a change is proposed.

HOST := $(shell rustc -vV | sed -n 's/^host: //p')
GOLDSMITH := target/$(HOST)/release/goldsmith
# The architectures of a release.
TARGETS := x86_64-unknown-linux-gnu aarch64-unknown-linux-gnu
CARGO_DIR := $(or $(CARGO_HOME),$(HOME)/.cargo)
# One file for any Linux of this architecture. Crates that ask for random numbers call the kernel: in a static program the usual way
# to find getrandom(2) fails, and what they try then is /dev/urandom, which a bare root has not.
# The same bytes from every directory and on every day: no path of this machine, and no date from the C compiler. Flags cannot hold paths
# with spaces; built there, the program keeps its paths.
PLACES := $(CURDIR)=/goldsmith $(CARGO_DIR)=/cargo
REMAP = $(if $(word 3,$(PLACES)),,$(PLACES:%=$(1)%))
STATIC := RUSTFLAGS='-C target-feature=+crt-static --cfg getrandom_backend="linux_getrandom" $(call REMAP,--remap-path-prefix=)' \
  CFLAGS='$(call REMAP,-ffile-prefix-map=) -Wno-builtin-macro-redefined -D__DATE__="" -D__TIME__=""'
# Debian's names of the linkers, of which one is for another architecture than this machine's.
CROSS := CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER=x86_64-linux-gnu-gcc CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
SCRIPTS = $(shell grep -rlsIE '^\#! ?/bin/(ba)?sh' .ci scripts fixtures configs fuzz/*.sh)
GOLDEN :=

QUICK :=
FILTER :=

.PHONY: build help check check-macos demo docs setup release test test-boot test-first-update test-fleet test-packages test-release test-reproducible test-sbom bench bench-fleet \
  lint msrv deny fuzz clean

## build       the command as one static file, for any Linux of this architecture (the default)
build:
	$(STATIC) cargo build --locked --release --target $(HOST)
	@ldd $(GOLDSMITH) 2>&1 | grep -qE 'statically linked|not a dynamic executable' || { echo "$(GOLDSMITH) is not static" >&2; exit 1; }

## help        this list
help:
	@sed -n -e 's/^## \([^ ]\)/  make \1/p' -e 's/^##  /        /p' $(MAKEFILE_LIST)

## check       format, clippy, unit tests and house tests: no Debian packages, under a minute when built
check:
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	cargo test --locked --quiet --lib
	cargo test --locked --quiet --test it house::

## demo        converts a golden image (GOLDEN=FILE, else one made of Debian packages) with the update client; needs no
##             privileges but for packages that are missing: it lists them, then installs them and upgrades none
demo:
	scripts/setup.sh demo
	$(MAKE) build
	scripts/demo.sh $(GOLDSMITH) $(GOLDEN)

## setup       installs all the Debian packages that these targets need
setup:
	scripts/setup.sh

## release     everything that a release consists of, in target/dist: static programs for x86-64 and arm64, packages, an OCI image, bill of
##             materials, sums; TARGETS= names other architectures, MAINTAINER= and HOMEPAGE= who publishes it and where
release:
	scripts/release/publisher.sh >/dev/null
	scripts/setup.sh release
	$(STATIC) $(CROSS) cargo build --locked --release $(TARGETS:%=--target %)
	scripts/release.sh target/dist $(TARGETS)

## test        lint and all tests but the long boots; installs Debian packages that are missing
test: setup lint
	cargo test --locked

## test-boot   the long boots (FILTER=uboot: those whose name contains it); writes their results into docs/boards.md
test-boot: setup
	scripts/test-boot.sh $(FILTER)

## test-packages  installs hundreds of sets of Debian packages, and the update client on three architectures, by goldsmith and by dpkg
##             (FILTER=nginx: those whose name contains it); downloads 3 GB and takes over an hour; GOLDSMITH_BLESS=1 writes
##             docs/packages.md
test-packages: setup
	GOLDSMITH_PACKAGES=$(FILTER) cargo test --locked --test it -- packages::everything packages::closures --ignored --nocapture

## docs        the pages as a book in target/book, with all links checked
docs:
	scripts/setup.sh docs
	scripts/docs/book.py target/book

## test-first-update  replays docs/first-update.md in an empty directory, from the page's own words, up to an emulated device that was updated
test-first-update: setup build
	fixtures/debs.sh target/debs
	scripts/test-first-update.sh $(GOLDSMITH) "$$(fixtures/golden.sh mini-bookworm)" target/debs

## test-release  installs and runs the release in target/dist, in roots of Debian 12 and 13 that hold nothing else; builds the packed source
test-release:
	scripts/setup.sh release
	scripts/test-release.sh target/dist

## test-reproducible  builds the program again in another directory, with another home of cargo, and compares the bytes
test-reproducible: build
	scripts/test-reproducible.sh $(GOLDSMITH)

## test-sbom   has bills of materials and provenance judged by validators that are not ours; pip installs them below target/
test-sbom:
	scripts/setup.sh sbom
	scripts/test-sbom.sh

## test-fleet  converts four boards on a server of the Remote Execution API on this machine; pip installs it and its client below
##             target/ (Python 3.11)
test-fleet:
	scripts/setup.sh fleet
	$(MAKE) build
	scripts/test-fleet.sh $(GOLDSMITH)

## bench       measures conversions next to the same work by other tools and writes docs/performance.md (QUICK=1: a small variant)
bench:
	scripts/setup.sh bench
	$(MAKE) build
	$(STATIC) cargo build --locked --release --target $(HOST) --example compress
	QUICK=$(QUICK) scripts/bench.sh $(GOLDSMITH) $(dir $(GOLDSMITH))examples/compress

## bench-fleet  measures fleets of 1 to 64 boards and writes docs/fleet.md (BOARDS="1 2 4": these numbers); needs 30 GB of disk, and
##             leaves out fleets that have no room
bench-fleet:
	scripts/setup.sh bench
	$(MAKE) build
	scripts/bench/fleet.py $(GOLDSMITH) "$$(fixtures/golden.sh mini)" target/bench-fleet docs/fleet.md

## fuzz        each fuzz target for FUZZ_SECONDS (30); needs cargo-fuzz
fuzz:
	scripts/fuzz.sh

## lint        format, clippy, documentation of the code, shellcheck, licences
lint:
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps
	shellcheck -x $(SCRIPTS)
	scripts/licences.sh

## msrv        checks with the oldest Rust that Cargo.toml promises; needs rustup
msrv:
	scripts/msrv.sh

## check-macos  whether library and program compile for macOS; needs rustup's x86_64-apple-darwin
check-macos:
	scripts/check-macos.sh

## deny        advisories, licences, duplicates and origins of crates (deny.toml); needs cargo-deny
deny:
	cargo deny --locked check

## clean       removes what was built
clean:
	cargo clean
