#!/bin/bash
# cards.sh DIRECTORY GOLDEN NAME:USED_MIB:CARD_MIB...: cards of growing size in DIRECTORY, in ascending order of USED_MIB. Their files
# are those of the golden image, its /usr copied into /srv as often as it takes; 0 stands for the files of the image alone. Leaves
# the files of the image in DIRECTORY/tree. Cards that are there are not made again.
set -euo pipefail
export LC_ALL=C PATH="$PATH:/usr/sbin:/sbin"
here=$(cd "$(dirname "$0")" && pwd)
directory=$1 golden=$2
shift 2
mkdir -p "$directory"
if [ "$(id -u)" != 0 ] && [ -z "${FAKEROOTKEY:-}" ]; then exec fakeroot -- "$0" "$directory" "$golden" "$@"; fi

key="$(basename "$golden") $(cat "$here/card.sh" "$0" | sha256sum | cut -c1-12) $(id -u)"
if [ "$(cat "$directory/key" 2>/dev/null)" != "$key" ]; then
  rm -rf --one-file-system "${directory:?}"/*
  mkdir "$directory/tree"
  start=$(sfdisk -J "$golden" | python3 -c 'import json, sys; print(json.load(sys.stdin)["partitiontable"]["partitions"][1]["start"])')
  debugfs -R "rdump / $directory/tree" "$golden?offset=$((start * 512))" 2>"$directory/log"
  find "$directory/tree" -type f -size +20M -exec fallocate --dig-holes {} \;
  echo "$key" >"$directory/key"
fi

work=$directory/growing
rm -rf --one-file-system "$work"
trap 'rm -rf --one-file-system "$work"' EXIT
used() { du -sm "$1" | cut -f1; }

# Copies what fits of the directory $1 into $2, whole or in parts, and takes it from `left`.
copy() {
  local part size
  for part in "$1"/*; do
    if [ -L "$part" ]; then continue; fi
    size=$(used "$part")
    if [ "$size" -le "$left" ]; then
      mkdir -p "$2"
      cp -a "$part" "$2/"
      left=$((left - size))
    elif [ -d "$part" ] && [ "$left" -gt 10 ]; then
      copy "$part" "$2/${part##*/}"
    fi
  done
}

for card in "$@"; do
  IFS=: read -r name used_mib card_mib <<<"$card"
  if [ -f "$directory/$name.img" ]; then continue; fi
  echo "bench: making a card of $card_mib MiB ($name)" >&2
  if [ ! -d "$work" ]; then cp -a "$directory/tree" "$work"; fi
  number=0
  while left=$((used_mib - $(used "$work"))) && [ $left -gt $((20 + used_mib / 50)) ]; do
    number=$((number + 1))
    copy "$directory/tree/usr" "$work/srv/$used_mib-$number"
  done
  "$here/card.sh" "$work" "$golden" "$card_mib" "$directory/$name.img"
done
