#!/bin/sh
# Prints and sets the variables by which the update client and the firmware of a Raspberry Pi agree on what starts, and keeps the files of
# the boot partition that the firmware starts from.
#
#   fw_printenv [-n] [NAME...]      NAME=VALUE, a line for each; without names all there are; -n: the value alone
#   fw_setenv NAME [VALUE]          set one; without a value clear it
#   fw_setenv -s FILE|-             all lines of FILE, NAME=VALUE or NAME VALUE, at once or not at all
#   tryboot-env --finish-boot       once for each boot: see to the trial that failed, and to the kernel arguments
#   zz-mender                       a hook of kernel packages: the kernel that starts next is the newest one
#
# Nothing is stored that the boot partition does not say by itself. config.txt begins with os_prefix=slot-a0/: the directory of the slot
# that is committed. The running slot is mender.slot= on the kernel's command line. If they differ, this boot is a trial. tryboot.txt is
# config.txt with the directory of the slot to try; the firmware reads it once after the mailbox was told so, and forgets that before it
# starts anything. What was asked for in this boot is in a file below /run, which no restart survives.
#
# Each slot has two directories, of which one is in use; files are written to the other one. A commit changes two bytes of the first sector
# of config.txt in place: no entry of a directory and no cluster changes with it, so whenever the power fails, that sector is the old or
# the new one. Files that are named by config.txt, or by tryboot.txt during a trial, are never written to.
#
# Exit status: 0 done; 1 wrong usage, or another process holds the environment; 2 the environment cannot be read or written.

set -uf
LC_ALL=C
export LC_ALL

config=/etc/mender_tryboot.config
interlock=/var/lock/fw_printenv.lock
cmdline=/proc/cmdline
loader=/proc/device-tree/chosen/bootloader
state=/run/mender-tryboot
others=/var/lib/mender/tryboot-variables
deaf=/var/lib/mender/tryboot-mailbox
root=

me=${0##*/}
# shellcheck source=configs/device/common/bootenv-common.sh
. "${0%/*}/../common/bootenv-common.sh"
# shellcheck source=configs/device/common/flush.sh
. "${0%/*}/../common/flush.sh"

# The boot files of a root filesystem, below its top: files or links to files.
files=/usr/lib/goldsmith/boot
# The longest value of os_prefix= that is written: slot-a0/.
length=8

usage() {
    fail 1 "usage: fw_printenv [-n] [NAME...] | fw_setenv {NAME [VALUE] | -s FILE | --finish-boot}"
}

# stored VALUE, shown VALUE: sets $value.
stored() {
    value=$1
}

shown() {
    value=$1
}

say() {
    printf '%s: %s\n' "$me" "$*" >&2
}

# --- the boot partition ---

# read_prefix FILE: sets $prefix to the directory that it names, $at to the offset of that name (bytes); empty if there is none, or if it
# is not within the first sector.
read_prefix() {
    prefix=
    at=0
    while IFS= read -r line; do
        case $line in
            os_prefix=slot-[ab][01]/ | os_prefix=slot-[ab][01]/?)
                prefix=${line#os_prefix=}
                prefix=${prefix%/*}/
                at=$((at + 10))
                [ $((at + length)) -le 512 ] || prefix=
                return ;;
        esac
        at=$((at + ${#line} + 1))
        [ "$at" -lt 512 ] || return 0
    done 2>/dev/null <"$1"
}

# own_prefix: fails unless config.txt names a directory by one line alone.
own_prefix() {
    read_prefix "$boot/config.txt"
    [ -n "$prefix" ] ||
        fail 2 "$boot/config.txt does not name the slot in its first 512 bytes: put os_prefix=slot-a0/ (or the directory of the slot to start) into its first line"
    [ "$(grep -c '^[[:blank:]]*os_prefix[[:blank:]]*=' "$boot/config.txt")" = 1 ] ||
        fail 2 "$boot/config.txt has more than one os_prefix=: remove all but the first"
}

# name_prefix DIRECTORY: makes config.txt name it. The first sector is written in one piece, with as many bytes as before.
name_prefix() {
    own_prefix
    [ "$prefix" != "$1" ] || return 0
    {
        head -c "$at" "$boot/config.txt" && printf '%s' "$1" &&
            head -c 512 "$boot/config.txt" | tail -c +$((at + length + 1))
    } >"$state.sector" || return 1
    [ "$(head -c 512 "$boot/config.txt" | wc -c)" = "$(wc -c <"$state.sector")" ] || return 1
    dd if="$state.sector" of="$boot/config.txt" bs=512 count=1 conv=notrunc 2>/dev/null && flush "$boot/config.txt" || return 1
    rm -f "$state.sector"
    read_prefix "$boot/config.txt"
    [ "$prefix" = "$1" ]
}

# slot_of DIRECTORY: sets $slot to the partition of the slot that has it.
slot_of() {
    case $1 in
        slot-a?/) slot=$part_a ;;
        slot-b?/) slot=$part_b ;;
        *) slot= ;;
    esac
}

# other_slot PARTITION: sets $slot to the other one.
other_slot() {
    slot=$part_a
    [ "$1" != "$part_a" ] || slot=$part_b
}

# directory_of PARTITION NUMBER: sets $prefix.
directory_of() {
    prefix=slot-b$2/
    [ "$1" != "$part_a" ] || prefix=slot-a$2/
}

# spare DIRECTORY: sets $prefix to the other directory of its slot.
spare() {
    case $1 in
        *0/) prefix=${1%0/}1/ ;;
        *) prefix=${1%1/}0/ ;;
    esac
}

# known NAME: whether a file of a slot's directory may have it.
known() {
    case $1 in
        .* | *[!A-Za-z0-9._+,-]*) return 1 ;;
        *.img | *.dtb | *.dtbo | *.bin | *.elf | *.dat | *.txt | README) ;;
        kernel* | vmlinu[xz]* | Image* | zImage* | initr* | armstub*) ;;
        *) return 1 ;;
    esac
}

# empty DIRECTORY: removes the files of a slot's directory, so that the removal is on the medium before anything else is written. What the
# power left half written may look like files and belong to others: if a name is not one of ours, nothing is touched.
empty() {
    if [ "$1" = "$keep" ] || [ "$1" = "$kept" ]; then fail 2 "$boot/$1 is in use"; fi
    dir=$boot/${1%/}
    [ -d "$dir" ] || return 0
    # A name with blanks falls into words that are no files.
    # shellcheck disable=SC2045
    for name in $(ls -A "$dir"); do
        if [ "$name" = overlays ] && [ -d "$dir/overlays" ]; then continue; fi
        { known "$name" && [ -f "$dir/$name" ]; } || damaged "$dir"
    done
    for name in $([ ! -d "$dir/overlays" ] || ls -A "$dir/overlays"); do
        { known "$name" && [ -f "$dir/overlays/$name" ]; } || damaged "$dir/overlays"
    done
    set +f
    set -- "$dir"/*.* "$dir"/[!.]* "$dir"/overlays/*
    set -f
    removed=
    for path; do
        if [ -f "$path" ]; then
            rm -f "$path" || return 1
            removed=1
        fi
    done
    [ -z "$removed" ] || flush "$boot/config.txt"
}

damaged() {
    fail 2 "$1 is damaged: nothing is written there; unmount the boot partition and check it with fsck.vfat, or remove what is in that directory"
}

# --- sets of boot files ---

# arguments PARTITION SET: the kernel's command line of a slot: its root, the words of the device, those of the set.
arguments() {
    id=$id_b
    [ "$1" != "$part_a" ] || id=$id_a
    line="root=PARTUUID=$id"
    for word in $(sed -n '/[^[:space:]]/{p;q;}' "$boot/cmdline.txt" 2>/dev/null | tr -d '\r') $(cat "$2/args.txt" 2>/dev/null); do
        case $word in
        root=* | mender.slot=*) continue ;;
        # Words for one start, of an imager and of the growing of a card: what they run takes them out of the owner's line.
        resize | init=*/init_resize.sh | init=*/firstboot | sdhci.debug_quirks2=4) continue ;;
        systemd.run=* | systemd.run_success_action=* | systemd.run_failure_action=*) continue ;;
        systemd.unit=kernel-command-line.target) continue ;;
        esac
        line="$line $word"
    done
    case " $line " in *" panic="*) ;; *) line="$line panic=10" ;; esac
    printf '%s mender.slot=%s\n' "$line" "$1"
}

# members SET: the names of its files, those of overlays with their directory.
members() {
    (
        cd "$1" || exit
        set +f
        for name in * overlays/*; do
            case $name in args.txt | kernels.txt | overlays) continue ;; esac
            [ ! -f "$name" ] || printf '%s\n' "$name"
        done
    )
}

# listing SET PARTITION: a checksum, a length and a name for each file of the directory that is made of it.
listing() {
    (
        cd "$1" || exit
        # shellcheck disable=SC2046
        set -- "$2" $(members .)
        shift
        [ $# -gt 0 ] && cksum "$@"
    )
    printf '%s cmdline.txt\n' "$(arguments "$2" "$1" | cksum)"
}

# is_whole DIRECTORY: whether it has each file that it was made with.
is_whole() {
    [ -s "$boot/$1/set.txt" ] && (
        cd "$boot/$1" && while read -r sum size name; do
            # shellcheck disable=SC2094
            [ "$(cksum <"$name")" = "$sum $size" ] || exit 1
        done <set.txt
    ) 2>/dev/null
}

# write_set SET PARTITION DIRECTORY: makes the directory of the set, whole when this returns true.
write_set() {
    listing "$1" "$2" >"$state.set" || return 1
    grep -q '\.dtb$' "$state.set" || fail 2 "$1 has no boot files for a Raspberry Pi: it was not made for this boot loader"
    empty "$3" || return 1
    need=$(awk '{ sum += int(($2 + 4095) / 4096) * 4 + 1 } END { print sum + 256 }' "$state.set")
    free=$(df -P -k "$boot" | awk 'NR == 2 { print $4 }')
    [ "$free" -ge "$need" ] || fail 2 "$boot has $free KiB free, the boot files need $need KiB"
    dir=$boot/${3%/}
    for name in "$dir" "$dir/overlays"; do [ -d "$name" ] || mkdir "$name" || return 1; done
    for name in $(members "$1"); do cp "$1/$name" "$dir/$name" || return 1; done
    arguments "$2" "$1" >"$state.line" && cp "$state.line" "$dir/cmdline.txt" || return 1
    flush "$boot/config.txt" || return 1
    cp "$state.set" "$dir/set.txt" && flush "$boot/config.txt" || return 1
    rm -f "$state.set" "$state.line"
    is_whole "$3"
}

# write_trial DIRECTORY [TRIAL]: tryboot.txt. It is read after the mailbox was told so only, which it is not while this runs. With TRIAL,
# a kernel that hangs is reset. With $unarmed these tools have not set the flag since the start, so a mailbox that does not answer keeps
# nothing from being written.
write_trial() {
    own_prefix
    {
        head -c "$at" "$boot/config.txt" && printf '%s' "$1" && tail -c +$((at + length + 1)) "$boot/config.txt"
        if [ -n "${2-}" ]; then printf '\n[all]\ndtparam=watchdog=on\nkernel_watchdog_timeout=60\n'; fi
    } >"$state.try" || return 1
    if ! cmp -s "$state.try" "$boot/tryboot.txt"; then
        arm 0 || [ -n "$unarmed" ] || return 1
        cp "$state.try" "$boot/tryboot.txt" && flush "$boot/config.txt" || return 1
    fi
    rm -f "$state.try"
}

# arm 0|1: tells the firmware which of its files to read at the next start: config.txt, or tryboot.txt once. The property is
# SET_REBOOT_FLAGS (0x00038064); the answer is a buffer whose second word is 0x80000000 and whose fifth has its highest bit set.
arm() {
    # shellcheck disable=SC2046
    set -- "$1" $(vcmailbox 0x00038064 4 0 "$1" 2>/dev/null)
    case ${3-}.${6-} in
        0x80000000.0x8*) [ ! -e "$deaf" ] || rm -f "$deaf" ;;
        *)
            say "the firmware does not take the flag for a trial, so no update can be tried: its mailbox (vcmailbox, /dev/vcio) answered \"$*\""
            true 2>/dev/null >"$deaf"
            return 1 ;;
    esac
}

# able: fails when the boot loader in the board's memory is too old; those that say what they can do have bit 3 for this.
able() {
    [ -r "$loader/capabilities" ] || return 0
    # shellcheck disable=SC2046
    set -- $(od -An -v -t u1 -N 4 "$loader/capabilities")
    [ $# -ne 4 ] || [ $((${4} / 8 % 2)) -eq 1 ] ||
        fail 2 "the boot loader in the memory of this board is too old for trials: update it with rpi-eeprom-update -a"
}

# --- variables ---

# settle: sets $truth to the variables, $running and $committed to the partitions of these slots, $used to the directory that is committed.
settle() {
    own_prefix
    used=$prefix
    slot_of "$used"
    committed=$slot
    derive
}

# derive: sets $truth to the variables that follow from the slots $running and $committed, and from what was asked for.
derive() {
    here "$running"
    if [ "$running" != "$committed" ]; then
        with upgrade_available 1 "$entries"
        with bootcount 1 "$entries"
    fi
    mine=$entries
    [ ! -s "$state" ] || mine=$(cat "$state")
    truth=$mine
    [ ! -s "$others" ] || truth=$mine$(cat "$others")
}

# here PARTITION: sets $entries to those of a slot that is committed.
here() {
    entries="bootcount=0${end}mender_boot_part=$1${end}mender_boot_part_hex=$(printf '%x' "$1")${end}upgrade_available=0$end"
}

# remember ENTRIES: they count until the next start.
remember() {
    printf '%s' "$1" >"$state.new" && mv "$state.new" "$state"
}

# store ENTRIES: makes them the truth.
store() {
    [ "$1" != "$truth" ] || return 0
    in_range "$1" || fail 2 "mender_boot_part, upgrade_available or bootcount would be out of range: nothing is changed"
    value_of mender_boot_part "$1"
    part=$value
    value_of upgrade_available "$1"
    upgrade=$value
    mine=
    rest=
    list=$1
    while [ -n "$list" ]; do
        entry=${list%%"$end"*}
        list=${list#*"$end"}
        case $entry in
            bootcount=* | mender_boot_part=* | mender_boot_part_hex=* | upgrade_available=*) mine=$mine$entry$end ;;
            *) rest=$rest$entry$end ;;
        esac
    done
    with mender_boot_part_hex "$(printf '%x' "$part")" "$mine"
    mine=$entries
    keep_others
    value_of mender_boot_part "$truth"
    before=$value
    value_of upgrade_available "$truth"
    [ "$before.$value" != "$part.$upgrade" ] || return 0
    keep=$used
    kept=
    case $upgrade in
        1) try ;;
        *) choose ;;
    esac
}

# keep_others: writes the variables that nobody here goes by, as they are in $rest.
keep_others() {
    was=
    [ ! -s "$others" ] || was=$(cat "$others")
    [ "$rest" != "$was" ] || return 0
    printf '%s' "$rest" >"$others.new" && flush "$others.new" && mv "$others.new" "$others" && flush "$others" && return
    fail 2 "$others cannot be written"
}

# try: an update was written to the other slot and shall be tried.
try() {
    [ "$running" = "$committed" ] || fail 2 "the running system is not committed: nothing can be tried before it is"
    [ "$part" != "$committed" ] || fail 2 "the running slot cannot be tried"
    able
    arm 0 || exit 2
    other_slot "$committed"
    directory_of "$slot" 1
    empty "$prefix" || fail 2 "$boot cannot be written"
    directory_of "$slot" 0
    open_root "$slot"
    write_set "$set" "$slot" "$prefix"
    status=$?
    close_root
    [ $status -eq 0 ] || fail 2 "the boot files of the update cannot be written to $boot/$prefix"
    directory_of "$slot" 0
    write_trial "$prefix" trial || fail 2 "$boot/tryboot.txt cannot be written"
    remember "$mine" || fail 2 "$state cannot be written"
    if ! arm 1; then
        rm -f "$state"
        exit 2
    fi
}

# open_root PARTITION: mounts the root filesystem of a slot; sets $set to its boot files.
open_root() {
    id=$id_b
    [ "$1" != "$part_a" ] || id=$id_a
    top=$state.root
    { mkdir -p "$top" && mount -o ro,noload "/dev/disk/by-partuuid/$id" "$top"; } 2>/dev/null ||
        fail 2 "the root filesystem of partition $1 cannot be mounted"
    trap close_root EXIT
    set=$top$files
    [ -s "$set/kernels.txt" ] ||
        fail 2 "the root filesystem of partition $1 has no boot files in $files: it was not made for this boot loader"
}

close_root() {
    trap - EXIT
    umount "$top"
    rmdir "$top" 2>/dev/null
}

# choose: a slot shall start from now on without a trial: a commit, a rollback.
choose() {
    if [ "$part" = "$running" ] && [ "$running" != "$committed" ]; then
        # The directory of the running slot: a kernel that was installed during the trial is in the other one, which tryboot.txt names.
        read_prefix "$boot/tryboot.txt"
        slot_of "$prefix"
        { [ "$slot" = "$running" ] && is_whole "$prefix"; } || fail 2 "$boot/tryboot.txt does not name whole boot files of this slot"
        chosen=$prefix
    elif [ "$part" != "$committed" ]; then
        # Back to what was before the last commit.
        directory_of "$part" 0
        is_whole "$prefix" || directory_of "$part" 1
        is_whole "$prefix" || fail 2 "$boot has no whole boot files of partition $part"
        chosen=$prefix
    else
        chosen=$used
    fi
    arm 0 || [ "$chosen" != "$used" ] || exit 2
    name_prefix "$chosen" || fail 2 "$boot/config.txt cannot be written"
    if [ "$part" = "$running" ]; then
        rm -f "$state"
    else
        remember "$mine" || fail 2 "$state cannot be written"
    fi
    # A flag that somebody else sets must not start what is not committed.
    write_trial "$chosen" || say "$boot/tryboot.txt cannot be written"
}

# finish_boot: after a trial that failed, nothing names its files any more.
finish_boot() {
    settle
    [ ! -e "$boot/firstrun.sh" ] || [ -e "$root/usr/lib/goldsmith/imager-settings" ] ||
        say "$boot/firstrun.sh is not run: what an imager put into it would be settings of one slot alone"
    [ "$running" = "$committed" ] || return 0
    [ ! -s "$state" ] || return 0
    unarmed=1
    write_trial "$used" || say "$boot/tryboot.txt cannot be written"
    renew
    # A mailbox that did not answer is asked again at each start, and named until it does.
    [ ! -e "$deaf" ] || arm 0 || return 0
}

# --- the files of the running slot ---

# renew: if the set of the running root, or the words of the device, are not what the running slot's directory was made with, the slot's
# other directory is made anew, and named.
renew() {
    set=$root$files
    [ -s "$set/kernels.txt" ] || return 0
    now=$used
    if [ "$running" != "$committed" ]; then
        read_prefix "$boot/tryboot.txt"
        now=$prefix
        slot_of "$now"
        [ "$slot" = "$running" ] || fail 2 "$boot/tryboot.txt does not name the running slot"
    fi
    listing "$set" "$running" >"$state.set" || fail 2 "the boot files in $set cannot be read"
    if cmp -s "$state.set" "$boot/$now/set.txt"; then
        rm -f "$state.set"
        return 0
    fi
    # What waits for its trial keeps its tryboot.txt below; nothing else has set the flag.
    unarmed=1
    keep=$used
    kept=$now
    spare "$now"
    new=$prefix
    write_set "$set" "$running" "$new" || fail 2 "the boot files cannot be written to $boot/$new"
    if [ "$running" = "$committed" ]; then
        pending=
        if [ -s "$state" ]; then
            value_of upgrade_available "$(cat "$state")"
            pending=$value
        fi
        name_prefix "$new" || fail 2 "$boot/config.txt cannot be written"
        # An update that waits for its trial keeps its tryboot.txt.
        [ "$pending" = 1 ] || write_trial "$new" || fail 2 "$boot/tryboot.txt cannot be written"
    else
        write_trial "$new" || fail 2 "$boot/tryboot.txt cannot be written"
    fi
    keep=$new
    kept=
    [ "$running" = "$committed" ] || keep=$used
    [ "$running" = "$committed" ] || kept=$new
    empty "$now"
}

# flavor VERSION: its words from the first that is not a number on, without those that only count builds.
flavor() {
    case $1 in *-rpi-*)
        printf 'rpi-%s\n' "${1##*-rpi-}"
        return ;;
    esac
    found=
    rest=${1#*-}-
    while [ -n "$rest" ]; do
        word=${rest%%-*}
        rest=${rest#*-}
        case $word in [A-Za-z]*) ;; *) [ -n "$found" ] || continue ;; esac
        found=${found:+$found-}$word
    done
    printf '%s\n' "$found"
}

# newest FLAVOR: sets $version to the newest kernel with an initial RAM disk, or the newest; empty without one.
newest() {
    version=
    set +f
    for name in $(for path in "$root"/boot/vmlinuz-[0-9]*; do printf '%s\n' "${path##*/vmlinuz-}"; done | sort -r -V); do
        set -f
        { [ -f "$root/boot/vmlinuz-$name" ] && [ "$(flavor "$name")" = "$1" ]; } || continue
        [ -n "$version" ] || version=$name
        if [ -f "$root/boot/initrd.img-$name" ]; then
            version=$name
            return
        fi
    done
    set -f
}

# link TARGET NAME: a link from the set to a file of this root filesystem.
link() {
    [ -f "$root$1" ] || return 0
    ln -s -f -n "../../../..$1" "$root$files/$2.new" && mv -f "$root$files/$2.new" "$root$files/$2"
}

# take_kernels: the set is that of the newest kernel of each flavor that kernels.txt lists: FLAVOR KERNEL INITRD.
take_kernels() {
    while read -r kind kernel initrd; do
        case $kind in '' | '#'*) continue ;; esac
        newest "$kind"
        if [ -z "$version" ]; then
            say "no kernel /boot/vmlinuz-*-$kind: $files/$kernel stays as it is"
            continue
        fi
        link "/boot/vmlinuz-$version" "$kernel"
        [ -z "$initrd" ] || link "/boot/initrd.img-$version" "$initrd"
        for trees in "/usr/lib/linux-image-$version" "/usr/lib/linux-image-$version/broadcom" "/usr/lib/firmware/$version/device-tree" \
            "/usr/lib/firmware/$version/device-tree/broadcom"; do
            set +f
            for tree in "$root$trees"/bcm2[78]*.dtb; do
                link "$trees/${tree##*/}" "${tree##*/}"
            done
            for tree in "$root$trees"/overlays/*.dtb* "$root$trees/overlays/README"; do
                [ ! -f "$tree" ] || link_overlay "$trees/overlays/${tree##*/}"
            done
            set -f
        done
    done <"$root$files/kernels.txt"
}

link_overlay() {
    ln -s -f -n "../../../../..$1" "$root$files/overlays/${1##*/}.new" &&
        mv -f "$root$files/overlays/${1##*/}.new" "$root$files/overlays/${1##*/}"
}

# kernel_hook: after a kernel or an initial RAM disk was installed or removed.
kernel_hook() {
    [ -s "$root$files/kernels.txt" ] || exit 0
    take_kernels
    if [ ! -e "$boot/config.txt" ]; then
        say "the boot partition is not mounted: the files of the kernel are copied at the next start"
        exit 0
    fi
    hold
    settle
    renew
}

# --- what was asked for ---

# read_config: sets $boot, $parts, and partition and PARTUUID of each slot.
read_config() {
    boot=
    parts=
    ids=
    while IFS='= ' read -r name line; do
        case $name in
            BOOT) boot=$line ;;
            ROOT_PARTITIONS) parts=$line ;;
            PARTUUIDS) ids=$line ;;
        esac
    done 2>/dev/null <"$config"
    part_a=${parts%% *}
    part_b=${parts##* }
    id_a=${ids%% *}
    id_b=${ids##* }
    keep=
    kept=
    unarmed=
    { [ -n "$boot" ] && [ "$part_a" != "$part_b" ] && [ "$id_a" != "$id_b" ]; } || fail 2 "$config does not describe the two slots"
    running=
    read -r line <"$cmdline"
    for word in $line; do
        case $word in mender.slot=*) running=${word#mender.slot=} ;; esac
    done
}

# begin: finds the environment and keeps others out.
begin() {
    read_config
    [ -e "$boot/config.txt" ] || fail 2 "$boot/config.txt does not exist (is the boot partition mounted?)"
    is_part "$running" || fail 2 "the kernel's command line does not name the running slot (mender.slot=)"
    hold
}

case $me${1-} in
    zz-mender*)
        # Where packages are configured, standard input and output belong to debconf.
        exec </dev/null >&2
        read_config
        is_part "$running" || running=
        [ -n "$running" ] || boot=/nowhere
        kernel_hook ;;
    *print*-n)
        shift
        said=$(main "$@") || exit
        printf '%s\n' "$said" | sed 's/^[^=]*=//' ;;
    *) main "$@" ;;
esac
