# shellcheck shell=sh
# The part of all device scripts that write what a start depends on.

# flush FILE: FILE, its name, and all else that was written to its filesystem are on the medium when this returns true, and not in the
# medium's cache. The first line writes everything, but does not empty that cache on FAT, and writes nothing where FILE is a device.
flush() {
    { sync -f "$1" || sync; } 2>/dev/null
    sync "$1" 2>/dev/null
}
