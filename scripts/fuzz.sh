#!/bin/bash
# fuzz.sh [TARGET...]: runs each fuzz target (all without an argument) for FUZZ_SECONDS (30), one after the other, on one processor.
#
# Needs cargo-fuzz (cargo install --locked cargo-fuzz) and nothing else but the toolchain: RUSTC_BOOTSTRAP lets the stable one take
# the flags that count which code is reached. No sanitizer is used, since there is no unsafe code of ours to watch; what counts is a
# panic, a hang (an input that takes 10 seconds) and memory: a process may have FUZZ_MEMORY bytes of address space (1 GiB).
# Inputs that were found are in fuzz/artifacts/<target>/; mended ones belong into tests/regressions/<target>/, where `make test`
# tries them for ever after.
set -euo pipefail
cd "$(dirname "$0")/../fuzz"
export RUSTC_BOOTSTRAP=1 RUST_BACKTRACE=1 MALLOC_ARENA_MAX=1
seconds=${FUZZ_SECONDS:-30} memory=${FUZZ_MEMORY:-1073741824}
command -v cargo-fuzz >/dev/null || { echo "fuzz: cargo-fuzz is missing: cargo install --locked cargo-fuzz" >&2; exit 1; }
targets=("$@")
if [ ${#targets[@]} = 0 ]; then mapfile -t targets < <(cargo fuzz list); fi

[ -d corpus ] || ./seeds.sh
cargo fuzz build --sanitizer none
bin=target/$(rustc -vV | sed -n 's/^host: //p')/release
failed=()
for target in "${targets[@]}"; do
  mkdir -p "corpus/$target" "artifacts/$target"
  echo "fuzz: $target for $seconds s"
  mkdir -p "../tests/regressions/$target"
  nice -n 10 prlimit --as="$memory" "$bin/$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=0 -max_len=1048576 \
    -artifact_prefix="artifacts/$target/" -print_final_stats=1 -verbosity=1 "corpus/$target" "../tests/regressions/$target" \
    >"artifacts/$target/log" 2>&1 || { failed+=("$target"); tail -n 30 "artifacts/$target/log" >&2; }
  grep -E '^stat::(number_of_executed_units|average_exec_per_sec|slowest_unit_time_sec|peak_rss_mb)' "artifacts/$target/log" || true
done
if [ ${#failed[@]} -gt 0 ]; then
  echo "fuzz: found something with ${failed[*]}: see fuzz/artifacts/" >&2
  exit 1
fi
