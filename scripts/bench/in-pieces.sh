#!/bin/bash
# in-pieces.sh FILE COMMAND...: compresses FILE on all cores by COMMAND, which reads standard input, writes standard output and has one
# thread: each process gets a piece of 32 MiB and writes out.NUMBER.
set -euo pipefail
file=$1
shift
piece=$((32 << 20))
# shellcheck disable=SC2016 # The inner shell expands these.
seq 0 $((($(stat -c %s "$file") - 1) / piece)) |
  xargs -P "$(nproc)" -I NUMBER bash -c 'dd bs='"$piece"' count=1 skip=NUMBER status=none if="$0" | "$@" >out.NUMBER' "$file" "$@"
