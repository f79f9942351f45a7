#!/bin/sh
# Prints and sets the variables of the boot environment that U-Boot and the update client share.
#
#   fw_printenv [-n] [NAME...]      NAME=VALUE, a line for each; without names all there are; -n: the value alone
#   fw_setenv NAME [VALUE]          set one; without a value clear it
#   fw_setenv -s FILE|-             all lines of FILE, NAME=VALUE or NAME VALUE, at once or not at all
#   uboot-env --finish-boot         once for each boot: mend the copies, write what the boot script could not
#
# The environment is kept twice, where /etc/fw_env.config says. Each copy is a CRC-32 (4 bytes, the least significant first), a serial
# number (1 byte), and NAME=VALUE entries that end with a NUL each. A copy is good when the checksum is right and the values are in
# range; the newer of two is believed. A write goes to the other one, so the only good copy is never written to: whenever the power
# fails, one good copy is left.
#
# Exit status: 0 done; 1 wrong usage, or another process holds the environment; 2 the environment cannot be read or written.

set -uf
LC_ALL=C
export LC_ALL

config=/etc/fw_env.config
settings=/etc/mender_ubootenv.config
interlock=/var/lock/fw_printenv.lock
cmdline=/proc/cmdline

me=${0##*/}
# shellcheck source=configs/device/common/bootenv-common.sh
. "${0%/*}/../common/bootenv-common.sh"
# shellcheck source=configs/device/common/flush.sh
. "${0%/*}/../common/flush.sh"

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

# --- the two copies ---

# place N: sets $path, $offset, $size and, for dd, $unit.
place() {
    eval "path=\$path$1 offset=\$offset$1 size=\$size$1"
    unit=512
    [ $((offset % size)) -ne 0 ] || unit=$size
}

# bytes: those of the copy that was placed.
bytes() {
    dd if="$path" bs="$unit" skip=$((offset / unit)) count=$((size / unit)) 2>/dev/null
}

# sum: the CRC-32 of the input as four numbers of od's kind $1, the least significant byte first, which gzip ends with.
sum() {
    gzip -c | tail -c 8 | od -An -v -t "$1" -N 4
}

# read_copy N: sets $entries, $serial, and $state: good or bad.
read_copy() {
    state=bad
    entries=
    serial=
    place "$1"
    [ -e "$path" ] && [ "$(bytes | wc -c)" -eq "$size" ] || return 0
    # shellcheck disable=SC2046
    set -- $(bytes | od -An -v -t u1 -N 5) $(bytes | tail -c +6 | sum u1)
    [ $# -eq 9 ] && [ "$1.$2.$3.$4" = "$6.$7.$8.$9" ] || return 0
    serial=$5
    entries=$(bytes | tail -c +6 | tr '\000' '\001')
    case $entries in
        "$end"*) entries= ;;
        *) entries=${entries%%"$end$end"*}$end ;;
    esac
    if [ -z "$parts" ] || in_range "$entries"; then state=good; fi
}

# data ENTRIES: as they are stored, with a filling of zeros.
data() {
    printf '%s' "$1" | tr '\001' '\000'
    head -c $((size - 5 - ${#1})) /dev/zero
}

# write_copy N SERIAL ENTRIES: in place, and on the medium when it returns.
write_copy() {
    place "$1"
    [ $((${#3} + 6)) -le "$size" ] || return 1
    [ -e "$path" ] || mkdir -p "${path%/*}" 2>/dev/null
    head=
    for byte in $(data "$3" | sum o1) "$(printf '%03o' "$2")"; do head=$head\\0$byte; done
    { printf '%b' "$head"; data "$3"; } | dd of="$path" bs="$unit" seek=$((offset / unit)) iflag=fullblock conv=notrunc 2>/dev/null ||
        return 1
    flush "$path"
}

# replace ENTRIES: into the copy that is not believed; then that one is. False when they cannot be read back.
replace() {
    other=$((3 - newest))
    write_copy "$other" $(((number + 1) % 256)) "$1" || return 1
    read_copy "$other"
    [ "$state" = good ] && [ "$entries" = "$1" ] || return 1
    newest=$other
    number=$serial
    truth=$entries
}

# settle [DEFAULT]: sets $truth to the variables, $newest and $number to the copy that says so; mends the other.
settle() {
    read_copy 2
    state2=$state
    entries2=$entries
    serial2=$serial
    read_copy 1
    truth=$entries
    newest=1
    number=$serial
    case $state$state2 in
        goodgood)
            age=$(((serial2 - serial + 256) % 256))
            if [ $age -gt 0 ] && [ $age -lt 128 ]; then newest=2; fi ;;
        badgood) newest=2 ;;
        goodbad) ;;
        *)
            [ -n "${1-}" ] || fail 2 "both copies of the boot environment ($path1, $path2) are damaged, or U-Boot has not made them yet"
            newest=2
            number=255
            for _ in 1 2; do replace "$1" || fail 2 "$path cannot be written"; done
            return ;;
    esac
    if [ $newest = 2 ]; then
        truth=$entries2
        number=$serial2
    fi
    [ $state$state2 != goodgood ] || return 0
    printf '%s: copy %s of the boot environment is damaged: writing it again\n' "$me" $((3 - newest)) >&2
    replace "$truth" || printf '%s: %s cannot be written\n' "$me" "$path" >&2
}

# store ENTRIES: makes them the truth.
store() {
    [ "$1" != "$truth" ] || return 0
    if [ -n "$parts" ] && ! in_range "$1"; then
        fail 2 "mender_boot_part, upgrade_available or bootcount would be out of range: nothing is changed"
    fi
    place 1
    [ $((${#1} + 6)) -le "$size" ] || fail 2 "the variables do not fit into $size bytes: nothing is changed"
    replace "$1" || fail 2 "$path cannot be written"
}

# here SLOT ENTRIES: sets $entries to them with SLOT as the one that runs.
here() {
    with bootcount 0 "$2"
    with mender_boot_part "$1" "$entries"
    with mender_boot_part_hex "$(printf '%x' "$1")" "$entries"
    with upgrade_available 0 "$entries"
}

# --- what was asked for ---

# begin: finds the environment and keeps others out.
begin() {
    path1=
    path2=
    parts=
    while read -r path offset size rest; do
        case $path in '' | '#'*) continue ;; esac
        # shellcheck disable=SC2034
        if [ -z "$path1" ]; then
            path1=$path offset1=$((offset)) size1=$((size))
        else
            path2=$path offset2=$((offset)) size2=$((size))
        fi
    done 2>/dev/null <"$config"
    [ -n "$path2" ] || fail 2 "$config does not say where two copies of the boot environment are"
    if [ -r "$settings" ]; then
        while IFS='= ' read -r name line; do
            if [ "$name" = ROOT_PARTITIONS ]; then parts=$line; fi
        done <"$settings"
    fi
    # Where nothing of the boot partition is, it is not mounted, and what would be made is lost below it.
    [ -e "$path1" ] || [ -e "$path2" ] || [ -e "${path1%/mender/*}/boot.scr" ] ||
        fail 2 "no boot environment found (is the boot partition mounted?)"
    hold
}

case $me${1-} in
    *print*-n)
        shift
        said=$(main "$@") || exit
        printf '%s\n' "$said" | sed 's/^[^=]*=//' ;;
    *) main "$@" ;;
esac
