# What there is to do here: `make demo` to see it work, `make test` before a change is proposed.

HOST := $(shell rustc -vV | sed -n 's/^host: //p')
GOLDSMITH := target/$(HOST)/release/goldsmith
SCRIPTS = $(shell grep -rlsIE '^\#! ?/bin/(ba)?sh' .ci scripts fixtures configs fuzz/*.sh)
GOLDEN :=

QUICK :=
FILTER :=

.PHONY: build demo setup test test-boot bench lint fuzz clean

# The command as one static file, for any Linux of this architecture.
build:
	RUSTFLAGS="-C target-feature=+crt-static" cargo build --locked --release --target $(HOST)
	@ldd $(GOLDSMITH) 2>&1 | grep -qE 'statically linked|not a dynamic executable' || { echo "$(GOLDSMITH) is not static" >&2; exit 1; }

# Converts a golden image (GOLDEN=file, else one made here of Debian packages) with the update client. Needs no privilege.
demo:
	scripts/setup.sh demo
	$(MAKE) build
	scripts/demo.sh $(GOLDSMITH) $(GOLDEN)

# All the Debian packages that these targets need.
setup:
	scripts/setup.sh

test: setup lint
	cargo test --locked

# The boots that take long; FILTER=uboot for those whose name has that. Writes the results into docs/boards.md.
test-boot: setup
	scripts/test-boot.sh $(FILTER)

# Measures conversions beside the same work by other tools, and writes docs/performance.md; QUICK=1 for a small variant.
bench:
	scripts/setup.sh bench
	$(MAKE) build
	RUSTFLAGS="-C target-feature=+crt-static" cargo build --locked --release --target $(HOST) --example compress
	QUICK=$(QUICK) scripts/bench.sh $(GOLDSMITH) $(dir $(GOLDSMITH))examples/compress

# Each fuzz target for FUZZ_SECONDS (30). Needs cargo-fuzz; what was found before is in `make test`.
fuzz:
	scripts/fuzz.sh

lint:
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	shellcheck -x $(SCRIPTS)
	scripts/licences.sh

clean:
	cargo clean
