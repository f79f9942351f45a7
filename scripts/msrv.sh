#!/bin/bash
# msrv.sh: compiles everything with the oldest Rust that Cargo.toml promises. Needs rustup.
set -euo pipefail
cd "$(dirname "$0")/.."
oldest=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
[ -n "$oldest" ] || { echo "msrv: Cargo.toml has no rust-version" >&2; exit 1; }
rustup toolchain install --no-self-update --profile minimal "$oldest"
CARGO_TARGET_DIR=target/msrv cargo "+$oldest" check --locked --all-targets
