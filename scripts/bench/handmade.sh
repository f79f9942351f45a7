#!/bin/bash
# What goldsmith does, by hand: standard tools, no mounts, no loop devices. Runs in an empty directory; the environment says
# TREE (the extracted root filesystem), RECORD (goldsmith's, for the sizes), BOOT (the boot filesystem), FORM (none, gz, xz, zst).
# The maker edits nothing and installs nothing: that part of the work is not counted.
set -euo pipefail
export LC_ALL=C PATH="$PATH:/usr/sbin:/sbin"

# Start and size of partition $1, in bytes.
part() {
  python3 -c 'import json, sys
part = json.load(open(sys.argv[1]))["disk"]["partitions"][int(sys.argv[2]) - 1]
print(part["start"], part["size"])' "$RECORD" "$1"
}
field() {
  python3 -c 'import json, sys
value = json.load(open(sys.argv[1]))
for key in sys.argv[2].split("."): value = value[key]
print(value)' "$RECORD" "$1"
}

if [ "$(id -u)" = 0 ]; then as=(); else as=(fakeroot --); fi
read -r boot_at boot_size < <(part 1)
read -r a_at a_size < <(part 2)
read -r b_at b_size < <(part 3)
read -r data_at data_size < <(part 4)
mib=$((1 << 20))

"${as[@]}" mke2fs -q -t ext4 -U "$(field root.uuid)" -d "$TREE" root.ext4 $(($(field root.size) / 1024))k
sha256sum root.ext4 >root.sha256 &
mke2fs -q -t ext4 -L data data.ext4 $((data_size / 1024))k

truncate -s "$(field disk.size)" disk.img
sfdisk -q disk.img <<EOF
label: gpt
1: start=$((boot_at / 512)), size=$((boot_size / 512)), type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B
2: start=$((a_at / 512)), size=$((a_size / 512))
3: start=$((b_at / 512)), size=$((b_size / 512))
4: start=$((data_at / 512)), size=$((data_size / 512))
EOF
put() {
  dd if="$1" of=disk.img bs=1M seek=$(($2 / mib)) conv=sparse,notrunc status=none
}
put "$BOOT" "$boot_at"
put root.ext4 "$a_at"
put root.ext4 "$b_at"
put data.ext4 "$data_at"
wait
bmaptool -q create -o disk.bmap disk.img

write() {
  mender-artifact write rootfs-image -t bench -n release -f root.ext4 -o root.mender --compression "$1"
}
case $FORM in
none)
  write none
  ;;
gz)
  pigz -6 disk.img
  write gzip
  ;;
# Its mender-artifact knows no zstd, and packs xz in one thread only: there the payload is compressed, and packed by nobody.
xz)
  xz -6 -T0 disk.img
  xz -6 -T0 -k root.ext4
  ;;
zst)
  zstd -q -9 -T0 --rm disk.img
  zstd -q -9 -T0 root.ext4
  ;;
esac
rm -f root.ext4 data.ext4
