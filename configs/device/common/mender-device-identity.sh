#!/bin/sh
# Prints what tells this device from all others to the update server: the hardware address of its first real network interface,
# as mac=AA:BB:..., in the order in which the kernel numbers them. Exits with 1 when there is none yet.
set -u

best=
best_index=
for interface in /sys/class/net/*; do
    # A device directory marks hardware; type 1 is Ethernet and what looks like it.
    [ -e "$interface/device" ] || continue
    [ "$(cat "$interface/type" 2>/dev/null)" = 1 ] || continue
    index=$(cat "$interface/ifindex")
    if [ -z "$best" ] || [ "$index" -lt "$best_index" ]; then
        best=$interface
        best_index=$index
    fi
done
if [ -z "$best" ]; then
    echo "no network interface with a hardware address" >&2
    exit 1
fi
echo "mac=$(cat "$best/address")"
