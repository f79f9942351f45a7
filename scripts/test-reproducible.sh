#!/bin/bash
# test-reproducible.sh PROGRAM: builds the program of this source again, in a directory of another name and with another home of cargo, and
# fails unless the bytes are those of PROGRAM, which `make build` made. Takes as long as a build from nothing. The directory is below
# TMPDIR (/tmp), and is removed at the end.
set -euo pipefail
cd "$(dirname "$0")/.."
program=$1
registry=${CARGO_HOME:-$HOME/.cargo}/registry

other=$(mktemp -d -t goldsmith-built-elsewhere-XXXXXX)
trap 'rm -rf "$other"' EXIT
mkdir "$other/source" "$other/home"
git ls-files -z | tar --null -T - -cf - | tar -C "$other/source" -xf -
# Hard links where that is possible: cargo does not write into what it has unpacked.
cp -al "$registry" "$other/home/registry" 2>/dev/null || cp -a "$registry" "$other/home/"
env CARGO_HOME="$other/home" CARGO_NET_OFFLINE=true make -C "$other/source" build

built=$other/source/$program
if ! cmp "$program" "$built"; then
  echo "test-reproducible: the builds differ; the paths and times that one of them has and the other has not:" >&2
  diff <(strings -n 8 "$program" | sort) <(strings -n 8 "$built" | sort) | head -n 20 >&2 || true
  exit 1
fi
sha256sum "$program"
echo "test-reproducible: built twice, in two directories, with the same bytes"
