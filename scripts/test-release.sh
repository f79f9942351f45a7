#!/bin/bash
# test-release.sh DIRECTORY: holds a release, as release.sh writes it, against what others will do with it: the Debian package is installed
# into clean roots of Debian 12 and 13 and removed, the programs run where there is nothing else, the image is read by skopeo, and the
# packed source is built. Downloads the packages of two minimal roots.
set -euo pipefail
export LC_ALL=C
here=$(cd "$(dirname "$0")" && pwd)
cd "$1"
release=$PWD
version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$here/../Cargo.toml")
work=$(mktemp -d -t goldsmith-release-XXXXXX)
trap 'rm -rf "$work"' EXIT
own=$(dpkg --print-architecture)

step() {
  echo "test-release: $*"
}
fail() {
  echo "test-release: $*" >&2
  exit 1
}
# version_of ARCHITECTURE PROGRAM: what a program says of itself in a root that holds it alone.
version_of() {
  mkdir -p "$work/bare"
  cp "$2" "$work/bare/goldsmith"
  if [ "$1" = "$own" ]; then
    bwrap --unshare-all --ro-bind "$work/bare" / /goldsmith --version
  elif [ "$1" = arm64 ]; then
    qemu-aarch64-static "$work/bare/goldsmith" --version
  else
    qemu-x86_64-static "$work/bare/goldsmith" --version
  fi
}

step "sums"
sha256sum --check --quiet SHA256SUMS
[ "$(wc -l <SHA256SUMS)" = "$(find . -type f ! -name SHA256SUMS | wc -l)" ] || fail "SHA256SUMS does not name every file"

for architecture in amd64 arm64; do
  package=goldsmith_$version-1_$architecture.deb
  [ -e "$package" ] || continue
  step "$package: lintian"
  # Of a package outside Debian: no bug closes it. An unpublished build has no maintainer who could be written to.
  suppressed=initial-upload-closes-no-bugs
  if dpkg-deb --field "$package" Maintainer | grep -q '\.invalid>$'; then suppressed+=,bogus-mail-host; fi
  lintian --allow-root --fail-on error,warning --suppress-tags "$suppressed" "$package"
  if [ "$architecture" = "$own" ]; then
    for debian in bookworm trixie; do
      step "$package in a clean root of $debian"
      mmdebstrap --quiet --variant=essential --customize-hook="$here/release/in-root.sh \"\$1\" $release/$package" "$debian" /dev/null
    done
  fi

  step "the image of $architecture"
  skopeo copy --quiet --override-arch "$architecture" "oci-archive:goldsmith-$version-oci.tar:$version" "dir:$work/$architecture"
  layer=$(python3 -c 'import json, sys; [layer] = json.load(sys.stdin)["layers"]; print(layer["digest"].split(":")[1])' \
    <"$work/$architecture/manifest.json")
  [ "$(tar -tzf "$work/$architecture/$layer")" = goldsmith ] || fail "the image holds more than the program"
  tar -C "$work/$architecture" -xzf "$work/$architecture/$layer"
  dpkg-deb --fsys-tarfile "$package" | tar -xOf - ./usr/bin/goldsmith | cmp - "$work/$architecture/goldsmith"
  [ "$(version_of "$architecture" "$work/$architecture/goldsmith")" = "goldsmith $version" ] || fail "the program does not run"
done

step "the packed source"
tar -C "$work" -xzf "goldsmith-$version.crate"
# Not optimised: whether it is complete is the question.
CARGO_PROFILE_DEV_OPT_LEVEL=0 CARGO_TARGET_DIR=$here/../target cargo install --quiet --debug --offline --locked --path "$work/goldsmith-$version" --root "$work/root"
[ "$("$work/root/bin/goldsmith" --version)" = "goldsmith $version" ] || fail "the program from the packed source does not run"
step "passed"
