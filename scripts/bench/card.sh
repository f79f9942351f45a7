#!/bin/bash
# card.sh TREE GOLDEN CARD_MIB OUTPUT: the files under TREE as a bootable card of CARD_MIB mebibytes, its boot partition that of the
# golden image GOLDEN, of which it has the identities too. Nothing is mounted.
set -euo pipefail
export LC_ALL=C PATH="$PATH:/usr/sbin:/sbin"
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=fixtures/golden/identity.sh
. "$here/../../fixtures/golden/identity.sh"
tree=$1 golden=$2 card_mib=$3 output=$4

esp_mib=64 root_mib=$((card_mib - 66))
trap 'rm -f "$output.part"' EXIT
rm -f "$output.part"
truncate -s "${card_mib}M" "$output.part"
mke2fs -q -F -t ext4 -L golden -U "$root_uuid" -d "$tree" -E "offset=$(((esp_mib + 1) << 20))" "$output.part" "${root_mib}M"
sfdisk -q -W never "$output.part" <<EOF
label: gpt
label-id: $disk_guid
1: start=2048, size=${esp_mib}M, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, uuid=$esp_guid, name="EFI System"
2: start=$(((esp_mib + 1) * 2048)), size=${root_mib}M, type=0FC63DAF-8483-4772-8E79-3D69D8477DE4, uuid=$root_guid
EOF
dd if="$golden" of="$output.part" bs=1M skip=1 seek=1 count=$esp_mib conv=sparse,notrunc status=none
mv "$output.part" "$output"
