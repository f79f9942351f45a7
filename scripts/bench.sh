#!/bin/bash
# bench.sh GOLDSMITH COMPRESS: measures (see scripts/bench/bench.py) and puts the numbers into docs/performance.md. With QUICK=1 a small
# variant, whose page is target/bench-quick/performance.md.
set -euo pipefail
export LC_ALL=C
goldsmith=$1 compress=$2
top=$(cd "$(dirname "$0")/.." && pwd)
work=$top/target/bench${QUICK:+-quick}
mkdir -p "$work"

"$top/fixtures/debs.sh" "$top/target/debs"
mini=$("$top/fixtures/golden.sh" mini)
mini2=$("$top/fixtures/golden.sh" mini2)
if [ -n "${QUICK:-}" ]; then golden=$mini; else golden=$("$top/fixtures/golden.sh" rich); fi
"$top/scripts/bench/bench.py" "$goldsmith" "$compress" "$golden" "$mini" "$mini2" "$top/target/debs" "$work"

page=$top/docs/performance.md
if [ -n "${QUICK:-}" ]; then
  page=$work/performance.md
  cp "$top/docs/performance.md" "$page"
fi
"$top/scripts/bench/page.py" "$work/results.json" "$page"
echo "bench: $page"
