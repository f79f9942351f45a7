#!/bin/sh
# Prints and sets the variables of the boot environment that GRUB and the update client share.
#
#   grub-mender-grubenv-print [NAME...]      NAME=VALUE, a line for each; without names all there are
#   grub-mender-grubenv-set NAME [VALUE]     set one; without a value clear it
#   grub-mender-grubenv-set -s FILE|-        all lines of FILE, NAME=VALUE or NAME VALUE, at once or not at all
#   grub-mender-grubenv-set --finish-boot    once for each boot: mend the copies, write what GRUB could not
#
# The environment is kept twice. Each copy is three files: `env` holds the variables, `lock` says whether the copy is being edited,
# `lock.sha256sum` is the digest of the lock at rest. A copy is good when its lock says editing=0 and its values are in range. Each
# call mends what is not good before it does anything else. Files are written in place, copy 2 before copy 1, and the only good
# copy never: whenever the power fails, one good copy is left.
#
# Exit status: 0 done; 1 wrong usage, or another process holds the environment; 2 the environment cannot be read or written.

set -uf
LC_ALL=C
export LC_ALL

config=/etc/mender_grubenv.config
interlock=/var/lock/grub-mender-grubenv-set.lock
cmdline=/proc/cmdline

me=${0##*/}
# shellcheck source=configs/device/common/bootenv-common.sh
. "${0%/*}/../common/bootenv-common.sh"
# shellcheck source=configs/device/common/flush.sh
. "${0%/*}/../common/flush.sh"
header='# GRUB Environment Block'
clean_sum=eba0a3647c8f60f467b15873c9cc87dbac22f928e6e4264f23f1020163498c6e

usage() {
    fail 1 "usage: grub-mender-grubenv-print [NAME...] | grub-mender-grubenv-set {NAME [VALUE] | -s FILE | --finish-boot}"
}

# --- environment blocks: 1024 bytes of a header, lines NAME=VALUE and a filling of # ---

# block ENTRIES: sets $block to the 1024 bytes; false when they do not fit.
block() {
    body=$header$nl
    rest=$1
    while [ -n "$rest" ]; do
        body=$body${rest%%"$end"*}$nl
        rest=${rest#*"$end"}
    done
    [ ${#body} -le 1024 ] || return 1
    filling='################################'
    while [ ${#filling} -lt 1024 ]; do filling=$filling$filling; done
    block=$(printf '%.1024s' "$body$filling")
    # A block without filling ends in a newline, which the substitution took.
    [ ${#block} -eq 1024 ] || block=$block$nl
}

# read_block FILE: sets $entries, and $block to the file's bytes; false when it is no environment block.
read_block() {
    entries=
    block=
    open=
    [ -f "$1" ] || return 1
    {
        IFS= read -r line && [ "$line" = "$header" ] || return 1
        block=$line$nl
        while IFS= read -r line; do
            block=$block$line$nl
            [ ${#block} -le 1024 ] || return 1
            line=$open$line
            open=
            slashes=${line##*[!\\]}
            case $line in
                '#'*) ;;
                *"$end"*) return 1 ;;
                *) if [ $((${#slashes} % 2)) -eq 1 ]; then
                    open=$line$nl
                else
                    case $line in ?*=*) entries=$entries$line$end ;; *) return 1 ;; esac
                fi ;;
            esac
        done
        block=$block$line
    } 2>/dev/null <"$1" || return 1
    # A byte that the shell cannot hold is missing from the length.
    case $open$line in *[!#]*) return 1 ;; esac
    [ ${#block} -eq 1024 ]
}

# stored VALUE, shown VALUE: sets $value. A backslash is stored as two.
stored() {
    value=
    rest=$1
    while :; do
        case $rest in *\\*) ;; *) break ;; esac
        value=$value${rest%%\\*}\\\\
        rest=${rest#*\\}
    done
    value=$value$rest
}

shown() {
    value=
    rest=$1
    while :; do
        case $rest in *\\?*) ;; *) break ;; esac
        value=$value${rest%%\\*}
        rest=${rest#*\\}
        value=$value${rest%"${rest#?}"}
        rest=${rest#?}
    done
    value=$value$rest
}

# --- the two copies ---

# read_copy N: sets $entries and $state: good, untidy (good, but the lock's digest is not right), sane (values in range) or bad.
read_copy() {
    state=bad
    tidy=no
    editing=
    if read_block "$dir/mender_grubenv$1/lock"; then
        value_of editing "$entries"
        editing=$value
        if [ "$block" = "$lock_clean" ] && sum_is_right "$1"; then tidy=yes; fi
    fi
    if read_block "$dir/mender_grubenv$1/env" && in_range "$entries"; then
        case $editing$tidy in
            0yes) state=good ;;
            0no) state=untidy ;;
            *) state=sane ;;
        esac
    fi
}

sum_is_right() {
    sum=
    name=
    IFS=' ' read -r sum name 2>/dev/null <"$dir/mender_grubenv$1/lock.sha256sum"
    [ "$sum" = "$clean_sum" ] && [ "${name##*/}" = lock ]
}

# put FILE TEXT: in place, and on the medium when it returns.
put() {
    [ "$(stat -L -c %s "$1" 2>/dev/null)" = ${#2} ] || true 2>/dev/null >"$1" || return 1
    printf '%s' "$2" 2>/dev/null 1<>"$1" || return 1
    flush "$1"
}

# put_env FILE BLOCK: as put. GRUB mends what the power left half written, but only the variables that it knows. So where the second
# sector changes, the block has no first line, without which GRUB leaves it alone, until that sector is on the medium.
put_env() {
    head=$(printf '%.512s.' "$2")
    rest=${2#"${head%.}"}
    none=$(printf '%.512s' "$filling")
    if read_block "$1"; then
        case $block in *"$rest")
            put "$1" "$2"
            return ;;
        esac
        head=$(printf '%.512s.' "$block")
        put "$1" "$none${block#"${head%.}"}" || return 1
    fi
    put "$1" "$none$rest" && put "$1" "$2"
}

# write_copy N ENTRIES
write_copy() {
    copy=$dir/mender_grubenv$1
    block "$2" || return 1
    new=$block
    [ -d "$copy" ] || mkdir "$copy" || return 1
    put "$copy/lock" "$lock_taken" && put_env "$copy/env" "$new" && put "$copy/lock" "$lock_clean" || return 1
    sum_is_right "$1" || put "$copy/lock.sha256sum" "$clean_sum  lock$nl"
}

# mend N: makes a copy say $truth.
mend() {
    printf '%s: copy %s of the boot environment is damaged or out of date: writing it again\n' "$me" "$1" >&2
    write_copy "$1" "$truth" || printf '%s: %s/mender_grubenv%s cannot be written\n' "$me" "$dir" "$1" >&2
}

# settle [DEFAULT]: sets $truth to the variables, and $whole to yes when both copies say so; mends what does not.
settle() {
    read_copy 2
    state2=$state
    entries2=$entries
    read_copy 1
    truth=$entries
    whole=yes
    case $state$state2 in
        goodgood) [ "$entries" != "$entries2" ] || return 0 ;;
        good* | untidy*) ;;
        *good | *untidy) truth=$entries2 ;;
        sane*) ;;
        *sane) truth=$entries2 ;;
        *) [ -n "${1-}" ] || fail 2 "both copies of the boot environment in $dir are damaged"
            truth=$1 ;;
    esac
    # First the copies that nobody can believe; the others only when there is one to fall back to.
    for copy_number in 2 1; do
        read_copy "$copy_number"
        case $state in
            good | untidy) [ "$entries" = "$truth" ] || mend "$copy_number" ;;
            *) mend "$copy_number" ;;
        esac
    done
    for copy_number in 2 1; do
        is_whole || return 0
        read_copy "$copy_number"
        [ "$state" = good ] || mend "$copy_number"
    done
    is_whole
    return 0
}

# is_whole: sets $whole to yes when both copies are good and say $truth.
is_whole() {
    whole=no
    for number in 1 2; do
        read_copy "$number"
        case $state in good | untidy) [ "$entries" = "$truth" ] || return 1 ;; *) return 1 ;; esac
    done
    whole=yes
}

# store ENTRIES: both copies, the second first.
store() {
    [ "$1" != "$truth" ] || return 0
    [ "$whole" = yes ] || fail 2 "a copy of the boot environment in $dir cannot be mended: nothing is changed"
    in_range "$1" || fail 2 "mender_boot_part, upgrade_available or bootcount would be out of range: nothing is changed"
    block "$1" || fail 2 "the variables do not fit into 1024 bytes: nothing is changed"
    for number in 2 1; do
        write_copy "$number" "$1" && read_copy "$number"
        if [ "$state" != good ] || [ "$entries" != "$1" ]; then fail 2 "$dir/mender_grubenv$number cannot be written"; fi
    done
}

# --- what was asked for ---

find_environment() {
    dir=
    parts=
    if [ -r "$config" ]; then
        while IFS='= ' read -r name line; do
            case $name in
                ENV_DIR) dir=$line ;;
                ROOT_PARTITIONS) parts=$line ;;
            esac
        done <"$config"
    fi
    for candidate in "$dir" /boot/efi/grub-mender-grubenv /boot/grub/grub-mender-grubenv /boot/efi/EFI/BOOT /boot/grub; do
        [ -d "$candidate/mender_grubenv1" ] || [ -d "$candidate/mender_grubenv2" ] || continue
        dir=$candidate
        return
    done
    [ -d "$dir" ] || fail 2 "no boot environment found (is the boot partition mounted?)"
}

# begin: finds the environment and keeps others out.
begin() {
    find_environment
    hold
    block "editing=1$end"
    lock_taken=$block
    block "editing=0$end"
    lock_clean=$block
}

# here SLOT ENTRIES: sets $entries to them with SLOT as the one that runs.
here() {
    with bootcount 0 "$2"
    with mender_boot_part "$1" "$entries"
    with upgrade_available 0 "$entries"
}

main "$@"
