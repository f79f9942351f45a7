#!/bin/sh
# Shows on a Raspberry Pi what only a board can show of updates by its firmware (boot.bootloader = "rpi-tryboot").
#
#   sudo sh tryboot-on-a-board.sh               begins; the board restarts seven times by itself, in about ten minutes
#   sudo sh tryboot-on-a-board.sh --no-hang     the same without a kernel that hangs, which the watchdog must reset
#   sudo sh tryboot-on-a-board.sh --report      what was seen so far
#   sudo sh tryboot-on-a-board.sh --stop        ends it, and takes away what it installed
#
# For a converted image as it was just written to a card, a USB disk or an NVMe disk: the other root filesystem is written to, and no
# update client may install anything meanwhile. A board that is not back after five minutes needs its power cut; the report says so then.
# The report is in /data/tryboot-check/report.md: please send it to the project, whatever it says.

set -u
LC_ALL=C
export LC_ALL

root=
config=$root/etc/mender_tryboot.config
tree=$root/proc/device-tree
cmdline=$root/proc/cmdline
work=$root/data/tryboot-check
files=usr/lib/goldsmith/boot
unit=etc/systemd/system/tryboot-check.service
wanted=etc/systemd/system/multi-user.target.wants/tryboot-check.service
me=$(readlink -f "$0")

fail() {
    echo "${0##*/}: $*" >&2
    exit 1
}

# seen yes|no|- WHAT EVIDENCE: a row of the report.
seen() {
    case $1 in
        yes) word=confirmed ;;
        no) word='**not confirmed**' ;;
        *) word='not seen' ;;
    esac
    echo "| $2 | $word | $3 |" >>"$work/report.md"
    echo "tryboot-check: $2: $word ($3)"
}

# text PROPERTY, last_byte PROPERTY, number PROPERTY: what the firmware left in the device tree.
text() {
    tr -d '\000' 2>/dev/null <"$tree/$1"
}

last_byte() {
    od -An -v -t u1 "$tree/$1" 2>/dev/null | tr -s ' ' '\n' | tail -n 1
}

number() {
    sum=0
    for byte in $(od -An -v -t u1 "$tree/$1" 2>/dev/null); do sum=$((sum * 256 + byte)); done
    echo "$sum"
}

# read_config: sets $boot, partition and PARTUUID of each slot, $running, and $other with $other_id.
read_config() {
    boot=
    parts=
    ids=
    numbers=
    while IFS='= ' read -r name line; do
        case $name in
            BOOT) boot=$line ;;
            ROOT_PARTITIONS) parts=$line ;;
            PARTUUIDS) ids=$line ;;
            # Each slot has a boot partition, and its boot files are in another directory.
            BOOT_PARTITIONS)
                numbers=$line
                files=usr/lib/goldsmith/boot-partition ;;
        esac
    done 2>/dev/null <"$config"
    [ -n "$boot" ] || fail "$config is not there: this image was not converted with boot.bootloader = \"rpi-tryboot\""
    running=
    read -r line <"$cmdline"
    for word in $line; do
        case $word in mender.slot=*) running=${word#mender.slot=} ;; esac
    done
    other=${parts##* }
    other_id=${ids##* }
    if [ "$running" = "$other" ]; then
        other=${parts%% *}
        other_id=${ids%% *}
    fi
}

# prefix: what the settings of this start name; those of a trial are in tryboot.txt, or on a boot partition of their own.
prefix() {
    settings=config.txt
    if [ -z "$numbers" ] && [ "$(last_byte chosen/bootloader/tryboot)" = 1 ]; then settings=tryboot.txt; fi
    sed -n 's/^os_prefix=//p' "$boot/$settings" | head -n 1 | tr -d '\r'
}

# started_from: with a boot partition for each slot, whether the firmware started from the running slot's.
started_from() {
    [ -n "$numbers" ] || return 0
    due=${numbers%% *}
    [ "$running" = "${parts%% *}" ] || due=${numbers##* }
    is=$(last_byte chosen/bootloader/partition)
    answer=no
    [ "$is" != "$due" ] || answer=yes
    seen $answer "the boot partition is the slot's" "the firmware says ${is:-nothing}, slot $running has $due"
}

# with_other COMMAND: runs it with the other root filesystem mounted on $top.
with_other() {
    top=$work/other
    mkdir -p "$top"
    mount -o rw "/dev/disk/by-partuuid/$other_id" "$top" || fail "the root filesystem of partition $other cannot be mounted"
    "$@"
    status=$?
    umount "$top"
    return $status
}

# install_unit TOP, remove_unit TOP: what goes on after each restart.
install_unit() {
    mkdir -p "$1/${wanted%/*}"
    cat >"$1/$unit" <<END
[Unit]
Description=What only a board can show of its updates
RequiresMountsFor=/data $boot
After=mender-tryboot.service

[Service]
Type=oneshot
ExecStart=/bin/sh $work/script --go-on
END
    ln -sf "/$unit" "$1/$wanted"
}

remove_unit() {
    rm -f "$1/$unit" "$1/$wanted"
}

# next STEP: the step after the restart, and the restart, which is the client's own.
next() {
    echo "$1" >"$work/step"
    date +%s >"$work/time"
    sync
    reboot
}

# set_slot PARTITION UPGRADE NEXT: what the client says, and a restart.
set_slot() {
    if ! printf 'mender_boot_part=%s\nupgrade_available=%s\nbootcount=0\n' "$1" "$2" | fw_setenv -s - 2>"$work/error"; then
        finish "fw_setenv: $(tr '\n' ' ' <"$work/error")"
        return
    fi
    next "$3"
}

# finish [WHY]: takes away what was installed, and prints the report.
finish() {
    [ -z "${1-}" ] || seen no "the steps after this" "$1"
    remove_unit "$root"
    with_other remove_other
    rm -f "$work/step"
    sync
    cat "$work/report.md"
}

remove_other() {
    remove_unit "$top"
}

# expect PARTITION TRIAL WHAT: whether that slot runs, as a trial or not; ends all if not.
expect() {
    trial=$(last_byte chosen/bootloader/tryboot)
    evidence="partition $running runs, tryboot is ${trial:-missing}, os_prefix $(text chosen/os_prefix)"
    if [ "$running" = "$1" ] && [ "$trial" = "$2" ]; then
        seen yes "$3" "$evidence"
        return
    fi
    seen no "$3" "$evidence; partition $1 and tryboot $2 were expected"
    finish "not tried"
    exit 1
}

# loaded: what was loaded for the slot that runs.
loaded() {
    started_from
    named=$1
    is=$(text chosen/os_prefix)
    answer=no
    [ "$is" != "$named" ] || answer=yes
    seen $answer "os_prefix counts" "the firmware says $is, its settings $named"
    size=$(($(number chosen/linux,initrd-end) - $(number chosen/linux,initrd-start)))
    answer=no
    lengths=
    for file in "$boot/$named"initr*; do
        [ -f "$file" ] || continue
        length=$(wc -c <"$file")
        lengths="$lengths $((length))"
        [ "$((length))" -ne "$size" ] || answer=yes
    done
    seen $answer "the initial RAM disk is the slot's" "$size bytes were loaded, files have${lengths:- none}"
    if command -v vclog >/dev/null; then
        count=$(vclog --msg 2>/dev/null | grep -c -F "${named}overlays/")
        answer=no
        [ "$count" -eq 0 ] || answer=yes
        seen $answer "overlays are the slot's" "the firmware's log names ${named}overlays/ $count times"
    else
        seen - "overlays are the slot's" "there is no vclog"
    fi
}

# flag WHAT: whether the firmware has forgotten the flag (the mailbox's GET_REBOOT_FLAGS).
flag() {
    # shellcheck disable=SC2046
    set -- "$1" $(vcmailbox 0x00030064 4 0 0 2>/dev/null)
    case ${7-} in
        0x00000000) seen yes "$1" "the mailbox says ${7}" ;;
        '') seen - "$1" "the mailbox does not answer" ;;
        *) seen no "$1" "the mailbox says ${7}" ;;
    esac
}

# hang, unhang: the kernels of the other root filesystem become a loop of one instruction, and themselves again.
hang() {
    mkdir -p "$work/kept"
    for file in "$top/$files"/kernel*.img; do
        [ -f "$file" ] || continue
        cp -P "$file" "$work/kept/" && rm -f "$file" || return 1
        case $file in
            *kernel8.img | *kernel_2712.img)
                # arm64: the instruction, and the mark of an image at byte 56.
                { printf '\000\000\000\024' && head -c 52 /dev/zero && printf 'ARM\144' && head -c 4036 /dev/zero; } >"$file" ;;
            *) { printf '\376\377\377\352' && head -c 4092 /dev/zero; } >"$file" ;;
        esac
    done
}

unhang() {
    for file in "$work/kept"/kernel*.img; do
        rm -f "$top/$files/${file##*/}"
        cp -P "$file" "$top/$files/" || return 1
    done
    rm -rf "$work/kept"
}

begin() {
    [ "$(fw_printenv -n upgrade_available)" = 0 ] || fail "an update is pending: let it end first"
    [ "$(fw_printenv -n mender_boot_part)" = "$running" ] || fail "restart first: another slot is chosen than the one that runs"
    mkdir -p "$work"
    rm -rf "${work:?}"/*
    cp "$me" "$work/script"
    echo "$running" >"$work/first"
    echo "$other" >"$work/second"
    [ "${1-}" != --no-hang ] || : >"$work/no-hang"
    {
        echo "# Updates by the firmware, on a board"
        echo
        echo "- board: $(text model), revision $(sed -n 's/^Revision[^0-9a-f]*//p' "$root/proc/cpuinfo" 2>/dev/null)"
        echo "- boot loader in its memory: $(text chosen/bootloader/version), of $(date -u -d "@$(number chosen/bootloader/build-timestamp)" +%F)"
        echo "- disk: $(lsblk -ndo PKNAME,TYPE "/dev/disk/by-partuuid/$other_id" 2>/dev/null), boot mode $(last_byte chosen/bootloader/boot-mode)"
        echo "- system: $(sed -n 's/^PRETTY_NAME=//p' "$root/etc/os-release" 2>/dev/null), kernel $(uname -r) $(uname -m)"
        echo "- check of the boot partition at this start: $(systemctl show -P Result 'systemd-fsck@*' 2>/dev/null | sort -u | tr '\n' ' ')"
        echo
        echo "| what | | evidence |"
        echo "| --- | --- | --- |"
    } >"$work/report.md"
    install_unit "$root"
    with_other install_other || fail "the other root filesystem cannot be written"
    loaded "$(prefix)"
    set_slot "$other" 1 trial
}

install_other() {
    install_unit "$top"
}

# go_on: the step after a restart.
go_on() {
    [ -s "$work/step" ] || exit 0
    first=$(cat "$work/first")
    second=$(cat "$work/second")
    step=$(cat "$work/step")
    case $step in
        trial)
            expect "$second" 1 "an ordinary reboot keeps the flag"
            flag "the flag is gone in the trial"
            loaded "$(prefix)"
            next back ;;
        back)
            expect "$first" 0 "a trial without a commit goes back"
            set_slot "$second" 1 again ;;
        again)
            expect "$second" 1 "a second trial starts"
            if ! fw_setenv upgrade_available 0; then
                finish "fw_setenv cannot commit"
                exit 1
            fi
            next kept ;;
        kept)
            expect "$second" 0 "a commit lasts"
            loaded "$(prefix)"
            set_slot "$first" 0 returned ;;
        returned)
            expect "$first" 0 "the way back to the slot before"
            if [ -e "$work/no-hang" ]; then
                seen - "the watchdog resets a kernel that hangs" "--no-hang"
                finish
            elif with_other hang; then
                set_slot "$second" 1 hung
            else
                finish "the kernel of the other root filesystem cannot be replaced"
            fi ;;
        hung)
            took=$(($(date +%s) - $(cat "$work/time")))
            resets=$(number chosen/bootloader/rsts)
            with_other unhang
            expect "$first" 0 "after a kernel that hangs the committed slot starts"
            # PM_RSTS: 0x1000 is a start by power.
            evidence="back $took seconds after the restart was asked for, rsts $(printf '0x%x' "$resets")"
            if [ ! -e "$tree/chosen/bootloader/rsts" ]; then
                seen - "the watchdog resets a kernel that hangs" "$evidence: say whether the power was cut"
            elif [ $((resets / 4096 % 2)) -eq 0 ]; then
                seen yes "the watchdog resets a kernel that hangs" "$evidence"
            else
                seen no "the watchdog resets a kernel that hangs" "$evidence: the power was cut"
            fi
            finish ;;
        *) fail "$work/step says $step" ;;
    esac
}

case ${1-} in
    --report) cat "$work/report.md" ;;
    --stop)
        read_config
        if [ -d "$work/kept" ]; then with_other unhang; fi
        finish "stopped" ;;
    --go-on)
        read_config
        go_on ;;
    '' | --no-hang)
        read_config
        begin "$@" ;;
    *) fail "usage: ${0##*/} [--no-hang | --report | --stop]" ;;
esac
