# shellcheck shell=sh disable=SC2034,SC2154
# Functions of the script above, for slots that have a boot partition each.

# --- slots with a boot partition each ---
#
# From here on functions of the same names are replaced. $boot is the boot partition of the running slot: config.txt and the two
# directories of that slot. autoboot.txt is on a partition of its own, which nothing mounts otherwise:
#
#   [all]      boot_partition=N    the committed slot's
#   [tryboot]  boot_partition=N    the same, or the other one's while an update waits for its trial or has it
#
# Both numbers are in one sector, which is written in place. An installation makes the other boot partition anew while nothing names it.

# The boot files of a root filesystem: in a directory of their own, so that devices of the other kind refuse it.
files=/usr/lib/goldsmith/boot-partition

# Where the partition with autoboot.txt and the other boot partition are mounted while they are needed.
auto=$state.auto
there=$state.boot

# read_partitions: sets number and PARTUUID of each boot partition, and the PARTUUID of the one with autoboot.txt.
read_partitions() {
    numbers=
    boots=
    auto_id=
    while IFS='= ' read -r name line; do
        case $name in
            BOOT_PARTITIONS) numbers=$line ;;
            BOOT_PARTUUIDS) boots=$line ;;
            AUTOBOOT_PARTUUID) auto_id=$line ;;
        esac
    done 2>/dev/null <"$config"
    { [ -n "$auto_id" ] && [ "${numbers%% *}" != "${numbers##* }" ] && [ "${boots%% *}" != "${boots##* }" ]; } ||
        fail 2 "$config does not describe the two boot partitions"
}

# boot_of PARTITION: sets $number and $boot_id to those of the boot partition of a slot.
boot_of() {
    number=${numbers##* }
    boot_id=${boots##* }
    [ "$1" = "$part_a" ] || return 0
    number=${numbers%% *}
    boot_id=${boots%% *}
}

# open_partition PARTUUID DIRECTORY OPTIONS: mounts it there. Of a tool that was killed a mount may be left.
open_partition() {
    umount "$2" 2>/dev/null
    { mkdir -p "$2" && mount -o "$3" "/dev/disk/by-partuuid/$1" "$2"; } 2>/dev/null
}

# close_partition DIRECTORY: true only when all is written.
close_partition() {
    umount "$1" && rmdir "$1" 2>/dev/null
}

# autoboot ALL TRYBOOT: the text of autoboot.txt that starts these slots.
autoboot() {
    boot_of "$1"
    printf '[all]\ntryboot_a_b=1\nboot_partition=%s\n' "$number"
    boot_of "$2"
    printf '[tryboot]\nboot_partition=%s\n' "$number"
}

# read_autoboot: sets $first to the slot that starts, $second to the one that is started once with the flag.
read_autoboot() {
    open_partition "$auto_id" "$auto" ro || fail 2 "the partition with autoboot.txt ($auto_id) cannot be mounted"
    text=$(cat "$auto/autoboot.txt" 2>/dev/null)
    close_partition "$auto"
    for first in "$part_a" "$part_b"; do
        for second in "$part_a" "$part_b"; do
            [ "$text" != "$(autoboot "$first" "$second")" ] || return 0
        done
    done
    fail 2 "autoboot.txt (partition $auto_id) does not name the boot partitions $numbers as these tools write it"
}

# name_boots ALL TRYBOOT: makes autoboot.txt name the boot partitions of these slots. It is one sector, and as long as before.
name_boots() {
    [ "$1.$2" != "$first.$second" ] || return 0
    autoboot "$1" "$2" >"$state.sector" || return 1
    open_partition "$auto_id" "$auto" rw || return 1
    [ "$(wc -c <"$auto/autoboot.txt")" = "$(wc -c <"$state.sector")" ] &&
        dd if="$state.sector" of="$auto/autoboot.txt" bs=512 count=1 conv=notrunc 2>/dev/null && flush "$auto/autoboot.txt" &&
        cmp -s "$state.sector" "$auto/autoboot.txt"
    written=$?
    close_partition "$auto" || return 1
    [ $written -eq 0 ] || return 1
    rm -f "$state.sector"
    first=$1
    second=$2
}

# able: fails when the boot loader in the board's memory is of a release without the two numbers: before 2022-10-18.
able() {
    [ -r "$loader/build-timestamp" ] || return 0
    # shellcheck disable=SC2046
    set -- $(od -An -v -t u1 -N 4 "$loader/build-timestamp")
    [ $# -ne 4 ] || [ $((${1} * 16777216 + ${2} * 65536 + ${3} * 256 + ${4})) -ge 1666051200 ] ||
        fail 2 "the boot loader in the memory of this board is older than 2022-10-18, too old for trials of boot partitions: update it with rpi-eeprom-update -a"
}

# settle: as above; the directory that is in use is that of the running slot, whichever is committed.
settle() {
    read_partitions
    own_prefix
    used=$prefix
    slot_of "$used"
    [ "$slot" = "$running" ] || fail 2 "$boot is not the boot partition of the running slot: $boot/config.txt names $used"
    read_autoboot
    committed=$first
    derive
}

# write_trial: no update waits for its trial any more, so no flag starts another slot. A running trial keeps its number: it is this start.
write_trial() {
    { [ "$running" = "$first" ] && [ "$second" != "$first" ]; } || return 0
    arm 0 || [ -n "$unarmed" ] || return 1
    name_boots "$first" "$first"
}

# try: an update was written to the other slot and shall be tried.
try() {
    [ "$running" = "$committed" ] || fail 2 "the running system is not committed: nothing can be tried before it is"
    [ "$part" != "$committed" ] || fail 2 "the running slot cannot be tried"
    able
    arm 0 || exit 2
    write_trial || fail 2 "autoboot.txt cannot be written"
    other_slot "$committed"
    open_root "$slot"
    same_partitions
    fill "$slot"
    status=$?
    close_root
    boot_of "$slot"
    [ $status -eq 0 ] || fail 2 "the boot files of the update cannot be written to the boot partition $number"
    name_boots "$committed" "$slot" || fail 2 "autoboot.txt cannot be written"
    remember "$mine" || fail 2 "$state cannot be written"
    if ! arm 1; then
        rm -f "$state"
        exit 2
    fi
}

# same_partitions: fails unless the mounted root filesystem was made for these partitions.
same_partitions() {
    cmp -s "$config" "$top$config" ||
        fail 2 "the root filesystem of partition $slot was made for another layout of partitions: $config differs"
}

# firmware NAME: whether it is a file of the firmware, which comes with each root filesystem.
firmware() {
    case $1 in
        bootcode.bin | start*.elf | fixup*.dat) ;;
        *) return 1 ;;
    esac
}

# owners: the names at the top of the boot partition that are the owner's: all but the firmware, and what these tools write.
owners() {
    for path in "$boot"/*; do
        name=${path##*/}
        case $name in
            config.txt | tryboot.txt | autoboot.txt | slot-[ab][01] | [Ff][Ss][Cc][Kk]*.[Rr][Ee][Cc] | 'System Volume Information') continue ;;
        esac
        if [ -e "$path" ] && ! firmware "$name"; then printf '%s\n' "$name"; fi
    done
}

# fill PARTITION: makes the boot partition of a slot anew: the owner's files of the running one, the firmware and the boot files of the
# mounted root filesystem. Nothing names it meanwhile. True when all of it is on the medium and is read from there as it was written.
fill() {
    boot_of "$1"
    umount "$there" 2>/dev/null
    mkfs.vfat -n "BOOT" "/dev/disk/by-partuuid/$boot_id" >/dev/null 2>"$state.mkfs" || {
        say "$(cat "$state.mkfs")"
        return 1
    }
    rm -f "$state.mkfs"
    open_partition "$boot_id" "$there" rw || return 1
    trap 'close_partition "$there"; close_root' EXIT
    copy "$1"
    status=$?
    close_partition "$there" || status=1
    if [ $status -eq 0 ] && open_partition "$boot_id" "$there" ro; then
        as_written "$1" || status=1
        close_partition "$there" || status=1
    fi
    trap close_root EXIT
    return $status
}

# copy PARTITION: the files of fill.
copy() {
    directory_of "$1" 0
    target=$prefix
    own_prefix
    {
        head -c "$at" "$boot/config.txt" && printf '%s' "$target" && tail -c +$((at + length + 1)) "$boot/config.txt"
    } >"$state.try" && cp "$state.try" "$there/config.txt" || return 1
    rm -f "$state.try"
    set +f
    owners >"$state.owners"
    set -f
    while IFS= read -r name; do
        cp -R "$boot/$name" "$there/$name" || return 1
    done <"$state.owners"
    set +f
    for path in "$set"/firmware/*; do
        if [ -f "$path" ] && firmware "${path##*/}"; then cp "$path" "$there/${path##*/}" || return 1; fi
    done
    for path in "$boot"/start*.elf; do
        # A board whose firmware is on the card starts nothing without it.
        if [ -f "$path" ] && [ ! -d "$set/firmware" ]; then
            say "the update has no firmware, which this board loads from its boot partition"
            return 1
        fi
    done
    set -f
    home=$boot
    boot=$there
    write_set "$set" "$1" "$target"
    status=$?
    boot=$home
    return $status
}

# as_written PARTITION: whether the mounted partition has all that was written to it.
as_written() {
    directory_of "$1" 0
    target=$prefix
    home=$boot
    boot=$there
    own_prefix
    [ "$prefix" = "$target" ] && is_whole "$target"
    whole=$?
    boot=$home
    [ $whole -eq 0 ] || return 1
    set +f
    for path in "$set"/firmware/*; do
        [ ! -f "$path" ] || cmp -s "$path" "$there/${path##*/}" || whole=1
    done
    set -f
    while IFS= read -r name; do
        [ -d "$boot/$name" ] || cmp -s "$boot/$name" "$there/$name" || whole=1
    done <"$state.owners"
    rm -f "$state.owners"
    return $whole
}

# choose: a slot shall start from now on without a trial: a commit, a rollback.
choose() {
    if [ "$part" = "$running" ] && [ "$part" != "$committed" ]; then
        is_whole "$used" || fail 2 "$boot/$used is not whole"
    elif [ "$part" != "$committed" ]; then
        # Back to what was before the last commit.
        boot_of "$part"
        open_partition "$boot_id" "$there" ro || fail 2 "the boot partition $number cannot be mounted"
        home=$boot
        boot=$there
        read_prefix "$boot/config.txt"
        slot_of "$prefix"
        [ "$slot" = "$part" ] && is_whole "$prefix"
        whole=$?
        boot=$home
        close_partition "$there"
        [ $whole -eq 0 ] || fail 2 "the boot partition $number has no whole boot files of partition $part"
    fi
    # With one number for both, a flag that cannot be taken back starts nothing else.
    arm 0 || true
    name_boots "$part" "$part" || fail 2 "autoboot.txt cannot be written"
    if [ "$part" = "$running" ]; then
        rm -f "$state"
    else
        remember "$mine" || fail 2 "$state cannot be written"
    fi
}

# kernel_hook: as above; what the running slot starts from is in its own boot partition, in a trial, too.
kernel_hook() {
    [ -s "$root$files/kernels.txt" ] || exit 0
    take_kernels
    if [ ! -e "$boot/config.txt" ]; then
        say "the boot partition is not mounted: the files of the kernel are copied at the next start"
        exit 0
    fi
    hold
    settle
    committed=$running
    renew
}
