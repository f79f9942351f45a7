#!/bin/sh
# Grows the data partition to the end of its disk, and its filesystem with it.
#
# usage: grow-data DEVICE DIR     DEVICE names the partition in any way: /dev/sda4, /dev/disk/by-partuuid/...; it is mounted on DIR
#
# It is mounted on purpose: a partition in use is resized in place, where tools would otherwise remove and add it, and systemd gives
# up a mount whose device goes away even for a moment.
#
# Works on GPT and MBR with whichever of sfdisk, parted and growpart (with sgdisk) the system has. Nothing is written when
# less than 8 MiB could be won, so it may run at every boot. A failure is reported and never holds up the boot.
set -u

say() {
    echo "grow-data: $*"
}

mount_point=$2
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
    if [ "$(cat "${other%/partition}/start")" -ge "$end" ]; then
        say "another partition lies behind $device, not grown"
        exit 0
    fi
done

have() {
    command -v "$1" >/dev/null 2>&1
}

is_gpt() {
    # The signature of a GPT header, in the second sector of 512 or of 4096 bytes.
    for at in 512 4096; do
        [ "$(dd if="$disk" bs=1 skip=$at count=8 2>/dev/null)" = "EFI PART" ] && return 0
    done
    return 1
}

# Between a new table and the kernel parted's programs would wait for udev, by udevadm, which they do not find here.
without_udev() {
    tool=$(command -v "$1")
    shift
    PATH=/nowhere "$tool" "$@"
}

tell_kernel() {
    if have partx; then
        partx --update --nr "$number" "$disk"
    elif have partprobe; then
        without_udev partprobe "$disk"
    fi
}

# Also moves the backup GPT to the new end. The kernel is told afterwards, since the disk is in use.
by_sfdisk() {
    echo ', +' | sfdisk --quiet --no-reread --no-tell-kernel --force -N "$number" "$disk" && tell_kernel
}

# parted takes a DOS disk whose first byte is zero for a new one and gives it another identifier, which is part of every PARTUUID.
parted_keeps_identity() {
    is_gpt || [ "$(dd if="$disk" bs=1 count=1 2>/dev/null | od -An -tu1 | tr -d ' ')" != 0 ]
}

# It asks whether to repair a GPT whose backup is not at the end of the disk, and then whether a partition in use is meant: where it
# asked anything, it forgets the rest of its arguments and asks for them too.
by_parted() {
    printf 'Fix\nFix\n' | without_udev parted ---pretend-input-tty "$disk" print >/dev/null 2>&1
    printf 'Yes\n100%%\n' | without_udev parted ---pretend-input-tty "$disk" resizepart "$number" 100% >/dev/null 2>&1
}

# udev looks at a disk again once a program that wrote to it is gone, sooner or later. Where it finds another table than the kernel
# has, it knows the partition no longer by its identity and takes its links away, and systemd gives up the mount. It keeps off a disk
# that is locked.
# shellcheck disable=SC2094  # the descriptor is for the lock alone
grow_locked() (
    if have flock && ! flock -w 60 9; then
        say "$disk is locked by another program, not grown"
        return 0
    fi
    if have sfdisk && by_sfdisk; then return 0; fi
    have parted && parted_keeps_identity && by_parted
) 9<"$disk"

grow_table() {
    if grow_locked; then
        return 0
    fi
    # growpart locks the disk itself.
    if have sgdisk && have growpart && is_gpt; then
        # Moves the backup GPT. It cannot resize, nor make the kernel read the table of a disk in use, and says so.
        sgdisk -e "$disk" >/dev/null 2>&1
    fi
    have growpart && growpart "$disk" "$number"
}

grow_filesystem() {
    for tool in /usr/lib/systemd/systemd-growfs /lib/systemd/systemd-growfs; do
        if [ -x "$tool" ]; then
            "$tool" "$mount_point"
            return
        fi
    done
    resize2fs "$device"
}

before=$(cat "$part/size")
if ! grow_table; then
    say "the partition table of $disk could not be changed"
    exit 0
fi
if [ "$(cat "$part/size")" -le "$before" ]; then
    say "$device has still $((before / 2048)) MiB"
    exit 0
fi
say "$device now has $(($(cat "$part/size") / 2048)) MiB"
grow_filesystem || say "the filesystem on $device could not be grown; it will be at the next start"
exit 0
