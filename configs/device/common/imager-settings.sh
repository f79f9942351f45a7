#!/bin/sh
# Applies the settings that an imager left on the boot partition to each root filesystem once: user, network, SSH, names.
#
# usage: imager-settings BOOT
#
# The imager writes them as a script for the first start, firstrun.sh, which counts in the root filesystem that runs it. A copy of it is
# kept on the data partition, so that the first start of an update has the same settings before its network and its logins begin; no
# start has to be repeated for it, which would end the trial of an update. A script that fails, or that the power cut, is run again at
# the next start. Another script on the boot partition takes the place of the copy, and is run in each root filesystem in turn.
set -u
umask 077
# shellcheck source=configs/device/common/flush.sh
. "${0%/*}/../common/flush.sh"

boot=$1
kept=/data/imager/firstrun.sh
applied=/var/lib/goldsmith/imager-settings
hosts=/proc/sys/kernel/hostname
names=/etc/hostname

fail() {
    echo "imager-settings: $*" >&2
    exit 1
}

# keep FILE TEXT-COMMAND...: the output of the command becomes FILE, all of it or nothing.
keep() {
    file=$1
    shift
    mkdir -p "${file%/*}" && "$@" >"$file.new" && flush "$file.new" && mv -f "$file.new" "$file" && flush "$file"
}

if [ -s "$boot/firstrun.sh" ] && ! cmp -s "$boot/firstrun.sh" "$kept"; then
    keep "$kept" cat "$boot/firstrun.sh" || fail "$kept cannot be written: nothing is applied"
fi
[ -s "$kept" ] || exit 0
sum=$(cksum <"$kept")
if [ "$(cat "$applied" 2>/dev/null)" != "$sum" ]; then
    (umask 022 && exec /bin/bash "$kept") || fail "$kept ended with $?: it runs again at the next start"
    # The script writes the name for the next start only.
    [ ! -s "$names" ] || { head -n 1 "$names" >"$hosts"; } 2>/dev/null || echo "imager-settings: the name of $names counts from the next start on" >&2
    keep "$applied" printf '%s\n' "$sum" || fail "$applied cannot be written: $kept runs again at the next start"
    echo "imager-settings: applied"
fi
# The copy is what counts; the boot partition can be read by anybody who has the card.
if [ -e "$boot/firstrun.sh" ]; then
    rm -f "$boot/firstrun.sh"
    flush "$boot/config.txt" || fail "$boot/firstrun.sh cannot be removed"
fi
