#!/bin/sh
# Names the newest kernel of this root filesystem, its initial RAM disk, its device trees and overlays in /boot/mender-slot.env, where the
# boot script looks. Run by the hooks of kernel packages and of update-initramfs; kernels of another flavor are left alone unless the named
# kernel is gone.

set -uf
LC_ALL=C
export LC_ALL
# shellcheck source=configs/device/common/flush.sh
. "${0%/*}/../common/flush.sh"
# Where packages are configured, standard input and output belong to debconf.
exec </dev/null >&2

root=
boot=$root/boot
settings=/etc/default/mender-slot
trees='/usr/lib/linux-image-@ /boot/dtbs/@ /boot/dtb-@ /usr/lib/firmware/@/device-tree'

file=$boot/mender-slot.env
FLAVOR=
if [ -r "$settings" ]; then
    # shellcheck source=/dev/null
    . "$settings"
fi

say() {
    printf '%s: %s\n' "${0##*/}" "$*"
}

# The value of a name in the slot's file.
old() {
    sed -n "s/^$1=//p" "$file" 2>/dev/null | head -n 1
}

# The flavor of a kernel of this version: its words from the first that is not a number on, without those that only count builds.
flavor() {
    case $1 in *-rpi-*)
        printf 'rpi-%s\n' "${1##*-rpi-}"
        return
        ;;
    esac
    found=
    rest=$1-
    rest=${rest#*-}
    while [ -n "$rest" ]; do
        word=${rest%%-*}
        rest=${rest#*-}
        case $word in
            [A-Za-z]*) ;;
            *) [ -n "$found" ] || continue ;;
        esac
        word=$(printf '%s\n' "$word" | sed -E -e 's/\+g[0-9a-f]{4,}$//' -e 's/^(bone|kali|parrot)[0-9]+$/\1/' -e '/^([0-9]*|r[0-9]+|g[0-9a-f]{4,}|dirty)$/d')
        [ -z "$word" ] || found=${found:+$found-}$word
    done
    printf '%s\n' "${found:-none}"
}

# The versions of kernels whose flavor is $1, or of all, the newest first.
versions() {
    set +f
    for path in "$boot"/vmlinuz-[0-9]* "$boot"/Image-[0-9]* "$boot"/Image.gz-[0-9]* "$boot"/zImage-[0-9]* "$boot"/uImage-[0-9]*; do
        [ -f "$path" ] || continue
        version=${path#"$boot"/}
        version=${version#*-}
        [ -z "$1" ] || [ "$(flavor "$version")" = "$1" ] || continue
        printf '%s\n' "$version"
    done | sort -r -V
    set -f
}

# newest and initrd: the newest version with an initial RAM disk, or the newest.
choose() {
    newest=
    initrd=
    for version in $(versions "$1"); do
        newest=${newest:-$version}
        if [ -f "$boot/initrd.img-$version" ]; then
            newest=$version
            initrd="initrd=boot/initrd.img-$newest
"
            break
        fi
    done
}

named=$(old kernel)
newest=
[ -z "$FLAVOR" ] || choose "$FLAVOR"
if [ -z "$newest" ]; then
    # The kernel that is named stays as long as it exists. Without a name, links are what starts.
    if [ -z "$named" ] || [ -f "$root/$named" ]; then
        [ -z "$FLAVOR" ] || say "no kernel $boot/vmlinuz-*-$FLAVOR: $file stays as it is"
        exit 0
    fi
    choose ''
    if [ -z "$newest" ]; then
        say "$file names $named, which is gone, and there is no other kernel"
        exit 0
    fi
    say "$file names $named, which is gone: naming the kernel $newest"
fi
for name in vmlinuz Image Image.gz zImage uImage; do
    if [ -f "$boot/$name-$newest" ]; then
        kernel=boot/$name-$newest
        break
    fi
done
tree=
for place in $trees; do
    place=${place%@*}$newest${place#*@}
    if [ -d "$root$place" ]; then
        tree="fdtdir=${place#/}
"
        break
    fi
done
# Without a version in its path, the directory is one for all kernels.
if [ -z "$tree" ] && [ -n "$(old fdtdir)" ] && [ -d "$root/$(old fdtdir)" ]; then
    tree="fdtdir=$(old fdtdir)
"
fi

# $1, a path of the kernel that was named, for the newest one: prints it when the file exists.
before=
case ${named##*/} in *-[0-9]*) before=${named##*/} before=${before#*-} ;; esac
moved() {
    path=$1
    if [ -n "$before" ]; then
        case $path in *"$before"*) path=${path%%"$before"*}$newest${path#*"$before"} ;; esac
    fi
    for path in "$path" "$1"; do
        if [ -f "$root/$path" ]; then
            printf '%s\n' "$path"
            return
        fi
    done
    say "/$path does not exist: it is not named any more" >&2
}

fdt=$(old fdt)
[ -z "$fdt" ] || fdt=$(moved "$fdt")
overlays=
for path in $(old overlays); do
    path=$(moved "$path")
    [ -z "$path" ] || overlays=${overlays:+$overlays }$path
done
more=
[ -z "$fdt" ] || more="fdt=$fdt
"
[ -z "$overlays" ] || more="${more}overlays=$overlays
"
args=$(old args)

text="# GRUB Environment Block
kernel=$kernel
$initrd$tree${more}args=$args
"
while [ ${#text} -lt 1024 ]; do text=$text'#'; done
if printf '%s' "$text" >"$file.new" && flush "$file.new" && mv "$file.new" "$file" && flush "$file"; then
    exit 0
fi
rm -f "$file.new"
say "$file cannot be written"
exit 1
