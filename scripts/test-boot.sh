#!/bin/bash
# test-boot.sh [FILTER]: runs the tests that boot emulated machines, one after the other, and writes what came of each into
# docs/boards.md. With a FILTER only those run whose name has it; the others keep what the page says of them.
set -euo pipefail
cd "$(dirname "$0")/.."
export CI=1 # What is not installed fails instead of being left out.

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cargo test --locked --test it --no-run

# Each line of a test is complete when the test ends. The page is written then: a run that is cut short keeps what it learnt.
status=0
cargo test --locked --test it -- --ignored --test-threads=1 "${1:-boot}" | {
  last=$SECONDS
  while IFS= read -r line; do
    echo "$line"
    if [[ $line =~ ^test\ ([a-z0-9_:]+)\ .*(ok|FAILED)$ ]]; then
      echo "${BASH_REMATCH[1]} ${BASH_REMATCH[2]} $((SECONDS - last))" >>"$work/results"
      scripts/boot-table.sh docs/boards.md tests/it "$work/results"
      last=$SECONDS
    fi
  done
} || status=$?
if [ ! -s "$work/results" ]; then
  echo "test-boot: no test ran" >&2
  exit 1
fi
exit "$status"
