#!/bin/sh
# Grows the data partition to the end of its disk, before it is mounted. The filesystem follows by itself (x-systemd.growfs).
#
# usage: grow-data DEVICE     DEVICE names the data partition in any way: /dev/sda4, /dev/disk/by-partuuid/...
#
# Works on GPT and MBR with whichever of sfdisk, sgdisk with parted, parted and growpart the system has. Nothing is written when
# less than 8 MiB could be won, so it may run at every boot. A failure is reported and never holds up the boot.
set -u

say() {
    echo "grow-data: $*"
}

device=$(readlink -f "$1") || exit 0
name=${device##*/}
part=/sys/class/block/$name
if [ ! -r "$part/partition" ]; then
    say "$1 is no partition, nothing to grow"
    exit 0
fi
number=$(cat "$part/partition")
parent=$(readlink -f "$part/..")
disk=/dev/${parent##*/}

# All three are in sectors of 512 bytes, whatever the disk's own sectors are.
end=$(($(cat "$part/start") + $(cat "$part/size")))
total=$(cat "$parent/size")
# A GPT keeps 33 sectors behind the last partition, and tools round down to a mebibyte.
if [ $((total - end)) -lt 16384 ]; then
    exit 0
fi
# Only the last partition can grow.
for other in "$parent"/*/partition; do
    dir=${other%/partition}
    if [ "$(cat "$dir/start")" -ge "$end" ]; then
        say "another partition lies behind $device, not grown"
        exit 0
    fi
done

have() {
    command -v "$1" >/dev/null 2>&1
}

grow_table() {
    if have sfdisk; then
        # Also moves the backup GPT to the new end. The kernel is told below, since the disk is in use.
        echo ', +' | sfdisk --quiet --no-reread --no-tell-kernel --force -N "$number" "$disk" && return 0
    fi
    if have parted; then
        if have sgdisk; then
            sgdisk -e "$disk" >/dev/null 2>&1
        fi
        parted --script --fix "$disk" resizepart "$number" 100% 2>/dev/null && return 0
        parted --script "$disk" resizepart "$number" 100% && return 0
    fi
    if have growpart; then
        growpart "$disk" "$number" && return 0
    fi
    return 1
}

tell_kernel() {
    if have partx; then
        partx --update --nr "$number" "$disk"
    elif have partprobe; then
        partprobe "$disk"
    fi
}

if ! grow_table; then
    say "the partition table of $disk could not be changed"
    exit 0
fi
tell_kernel
if have udevadm; then
    udevadm settle --timeout=30
fi
say "$device now has $(($(cat "$part/size") / 2048)) MiB"
exit 0
