#!/bin/sh
# Prints facts about the system for the update server's inventory, one key=value line each.
set -u

if [ -r /etc/os-release ]; then
    (
        PRETTY_NAME=
        # shellcheck source=/dev/null
        . /etc/os-release
        echo "os=$PRETTY_NAME"
    )
fi
echo "kernel=$(uname -r)"
echo "architecture=$(uname -m)"
echo "hostname=$(cat /proc/sys/kernel/hostname)"
while read -r key value _; do
    if [ "$key" = MemTotal: ]; then
        echo "mem_total_kB=$value"
    fi
done </proc/meminfo
