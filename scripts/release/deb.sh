#!/bin/bash
# deb.sh DIRECTORY VERSION ARCHITECTURE PROGRAM FILES: writes the Debian package of a program for ARCHITECTURE (as Debian calls it) into
# DIRECTORY and prints its name. FILES has what is the same for all architectures, made by release.sh. Needs no privilege.
set -euo pipefail
export LC_ALL=C
umask 022
output=$1 version=$2 architecture=$3 program=$4 files=$5
top=$(cd "$(dirname "$0")/../.." && pwd)
revision=$version-1
# Who answers for the package; publisher.sh sees to it that somebody does.
maintainer=${MAINTAINER:?} homepage=${HOMEPAGE?}

# The package that the program's C library comes from: its licence asks that the source can be had.
libc=libc6-dev
if [ "$(dpkg --print-architecture)" != "$architecture" ]; then libc=libc6-dev-$architecture-cross; fi
built=$(dpkg-query -W -f '${source:Package} (= ${source:Version})' "$libc")

stage=$(mktemp -d "$output/.deb-XXXXXX")
trap 'rm -rf "$stage"' EXIT
root=$stage/root
doc=$root/usr/share/doc/goldsmith
mkdir -p "$root/DEBIAN" "$root/usr/bin" "$root/usr/share/man/man1" "$doc/examples" "$root/usr/share/lintian/overrides" \
  "$root/usr/share/bash-completion/completions" "$root/usr/share/zsh/vendor-completions" "$root/usr/share/fish/vendor_completions.d"
install -m 755 "$program" "$root/usr/bin/goldsmith"
cp "$files"/man/*.1 "$root/usr/share/man/man1/"
cp "$files/completions/goldsmith.bash" "$root/usr/share/bash-completion/completions/goldsmith"
cp "$files/completions/_goldsmith" "$root/usr/share/zsh/vendor-completions/_goldsmith"
cp "$files/completions/goldsmith.fish" "$root/usr/share/fish/vendor_completions.d/goldsmith.fish"
cp "$top/configs/example.toml" "$top/configs/goldsmith.schema.json" "$doc/examples/"
cp "$files/third-party-licences.txt" "$doc/"
cp "$top/CHANGELOG.md" "$doc/changelog"
cat >"$doc/changelog.Debian" <<EOF
goldsmith ($revision) unstable; urgency=medium

  * Release $version; its changes are in changelog.gz.

 -- $maintainer  $(date -u -R -d "@$SOURCE_DATE_EPOCH")
EOF
cat >"$doc/copyright" <<EOF
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: goldsmith
Comment: The program is linked from crates whose licence texts are in
 third-party-licences.txt.gz, and from the GNU C Library (LGPL-2.1+), whose
 text is in /usr/share/common-licenses/LGPL-2.1; Built-Using of the package
 names its source.

Files: *
Copyright: $(sed -n 's/^Copyright (c) //p' "$top/LICENSE-MIT")
License: Expat or Apache-2.0

License: Expat
$(sed -e '1,/^Copyright/d' "$top/LICENSE-MIT" | sed -e '/./,$!d' -e 's/^$/./' -e 's/^/ /')

License: Apache-2.0
 The text is in /usr/share/common-licenses/Apache-2.0.
EOF
cat >"$root/usr/share/lintian/overrides/goldsmith" <<'EOF'
# One file for any Linux, which depends on nothing of the system.
goldsmith: statically-linked-binary [usr/bin/goldsmith]
goldsmith: shared-library-lacks-prerequisites [usr/bin/goldsmith]
# That of images.
goldsmith: uses-dpkg-database-directly [usr/bin/goldsmith]
EOF
gzip -9n "$root"/usr/share/man/man1/* "$doc/changelog" "$doc/changelog.Debian" "$doc/third-party-licences.txt"

{
  echo "Package: goldsmith"
  echo "Version: $revision"
  echo "Architecture: $architecture"
  echo "Maintainer: $maintainer"
  echo "Installed-Size: $(du -k --apparent-size -s "$root/usr" | cut -f 1)"
  echo "Built-Using: $built"
  echo "Section: admin"
  echo "Priority: optional"
  if [ -n "$homepage" ]; then echo "Homepage: $homepage"; fi
  cat <<'EOF'
Description: golden Debian image to A/B image and Mender Artifact
 goldsmith converts the disk image of one hand-configured Debian system into
 an image with two root filesystems to flash, and a Mender Artifact to update
 devices with.
 .
 It needs no privileges, loop devices, mounts, containers or emulators, and
 the same input gives the same bytes on every machine.
EOF
} >"$root/DEBIAN/control"
(cd "$root" && find usr -type f | sort | xargs md5sum) >"$root/DEBIAN/md5sums"
find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +

package=$output/goldsmith_${revision}_$architecture.deb
# One thread: the bytes of xz depend on how many there are.
dpkg-deb --root-owner-group -Zxz --threads-max=1 --build "$root" "$package" >/dev/null
echo "$package"
