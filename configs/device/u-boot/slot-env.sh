#!/bin/sh
# Names the newest kernel of this root filesystem, its initial RAM disk and its device trees in /boot/mender-slot.env, where the boot
# script looks. Run by the hooks of kernel packages and of update-initramfs; kernels of another flavor are left alone.

set -uf
LC_ALL=C
export LC_ALL
# Where packages are configured, standard input and output belong to debconf.
exec </dev/null >&2

boot=/boot
settings=/etc/default/mender-slot
trees='/usr/lib/linux-image-@ /boot/dtbs/@ /boot/dtb-@ /usr/lib/firmware/@/device-tree'

file=$boot/mender-slot.env
FLAVOR=
if [ -r "$settings" ]; then
    # shellcheck source=/dev/null
    . "$settings"
fi
[ -n "$FLAVOR" ] || exit 0

# The versions, the newest first. A flavor is all that follows the first word that is no number; that of Raspberry Pi OS begins later.
versions() {
    set +f
    for path in "$boot"/vmlinuz-*-"$FLAVOR"; do
        [ -f "$path" ] || continue
        version=${path#"$boot/vmlinuz-"}
        case $FLAVOR in
            rpi-*) ;;
            *) case ${version%-"$FLAVOR"} in *-[A-Za-z]*) continue ;; esac ;;
        esac
        printf '%s\n' "$version"
    done | sort -r -V
    set -f
}

newest=
first=
for version in $(versions); do
    first=${first:-$version}
    if [ -f "$boot/initrd.img-$version" ]; then
        newest=$version
        break
    fi
done
initrd=
if [ -n "$newest" ]; then
    initrd="initrd=boot/initrd.img-$newest
"
else
    newest=$first
fi
if [ -z "$newest" ]; then
    printf '%s: no kernel %s/vmlinuz-*-%s: %s stays as it is\n' "${0##*/}" "$boot" "$FLAVOR" "$file"
    exit 0
fi
tree=
for place in $trees; do
    place=${place%@*}$newest${place#*@}
    if [ -d "$place" ]; then
        tree="fdtdir=${place#/}
"
        break
    fi
done
args=$(sed -n 's/^args=//p' "$file" 2>/dev/null | head -n 1)

text="# GRUB Environment Block
kernel=boot/vmlinuz-$newest
$initrd${tree}args=$args
"
while [ ${#text} -lt 1024 ]; do text=$text'#'; done
if printf '%s' "$text" >"$file.new" && { sync -f "$file.new" 2>/dev/null || sync; } && mv "$file.new" "$file"; then
    sync -f "$boot" 2>/dev/null || sync
    exit 0
fi
rm -f "$file.new"
printf '%s: %s cannot be written\n' "${0##*/}" "$file"
exit 1
