#!/bin/bash
# test-boot.sh [FILTER]: runs the tests that boot emulated machines, one after the other, and writes what came of them into
# docs/boards.md. With a FILTER only those run whose name has it; the others keep what the page says of them.
set -euo pipefail
cd "$(dirname "$0")/.."
export CI=1 # What is not installed fails instead of being left out.

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cargo test --locked --test it --no-run

# Each line of a test is complete when the test ends.
status=0
cargo test --locked --test it -- --ignored --test-threads=1 "${1:-boot}" | {
  last=$SECONDS
  while IFS= read -r line; do
    if [[ $line =~ ^test\ ([a-z0-9_:]+)\ .*(ok|FAILED)$ ]]; then
      echo "${BASH_REMATCH[1]} ${BASH_REMATCH[2]} $((SECONDS - last))" >>"$work/results"
      last=$SECONDS
    fi
    echo "$line"
  done
} || status=$?
touch "$work/results"
scripts/boot-table.sh docs/boards.md tests/it "$work/results"
if [ ! -s "$work/results" ]; then
  echo "test-boot: no test ran" >&2
  exit 1
fi
exit "$status"
