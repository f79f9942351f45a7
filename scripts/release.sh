#!/bin/bash
# release.sh DIRECTORY TARGET...: writes everything that a release consists of into DIRECTORY, from the static programs that `make release`
# has built for these targets. The same programs and the same commit give the same bytes. Needs no privilege.
set -euo pipefail
export LC_ALL=C
umask 022
cd "$(dirname "$0")/.."
output=$1
shift
targets=("$@")

fail() {
  printf '%s\n' "release: $1" "${@:2}" >&2
  exit 1
}

# key NAME: a value of Cargo.toml.
key() {
  sed -n "s/^$1 = \"\(.*\)\"/\1/p" Cargo.toml
}

version=$(key version)
if [ -z "${SOURCE_DATE_EPOCH:-}" ]; then
  SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null) ||
    fail "the time of the release is not known" "hint: set SOURCE_DATE_EPOCH, or release from a clone"
fi
export SOURCE_DATE_EPOCH
publisher=$(scripts/release/publisher.sh)
MAINTAINER=$(sed -n 's/^maintainer //p' <<<"$publisher") HOMEPAGE=$(sed -n 's/^homepage //p' <<<"$publisher")
export MAINTAINER HOMEPAGE

if [ -n "$(git status --porcelain --untracked-files=no 2>/dev/null)" ]; then echo "release: note: files have changed since the last commit" >&2; fi

# program TARGET: the path of a target's program.
program() {
  echo "target/$1/release/goldsmith"
}
# debian ARCHITECTURE: Debian's name, which is also that of OCI.
debian() {
  case $1 in
  x86_64) echo amd64 ;;
  aarch64) echo arm64 ;;
  *) fail "no name is known for the architecture $1" ;;
  esac
}
for target in "${targets[@]}"; do
  [ -x "$(program "$target")" ] || fail "$(program "$target") is missing" "hint: make release builds it"
  if readelf -lW "$(program "$target")" | grep INTERP >/dev/null; then fail "$(program "$target") is not static"; fi
done
own=$(program "$(rustc -vV | sed -n 's/^host: //p')")
[ -x "$own" ] || fail "$own is missing, which writes the manual pages"

rm -rf "$output"
mkdir -p "$output"
output=$(cd "$output" && pwd)
files=$(mktemp -d "$output/.files-XXXXXX")
trap 'rm -rf "$files"' EXIT

# What is the same for all architectures.
"$own" man "$files/man" >/dev/null
mkdir "$files/completions"
"$own" completions bash >"$files/completions/goldsmith.bash"
"$own" completions zsh >"$files/completions/_goldsmith"
"$own" completions fish >"$files/completions/goldsmith.fish"
scripts/release/crates.py licences "${targets[@]}" >"$files/third-party-licences.txt"
cp README.md CHANGELOG.md LICENSE-APACHE LICENSE-MIT "$files/"

# The changes of this version; before it is tagged, those that wait for a release.
section="## $version"
grep -q "^$section" CHANGELOG.md || fail "CHANGELOG.md has no section $section"
if [ "$(git describe --exact-match --match "v$version" 2>/dev/null || true)" != "v$version" ] && grep -q '^## \[Unreleased\]' CHANGELOG.md; then
  echo "release: note: this commit is not tagged v$version: the changes are those of [Unreleased]" >&2
  section='## [Unreleased]'
fi
awk -v section="$section" 'index($0, "## ") == 1 { inside = index($0, section) == 1; next } inside' CHANGELOG.md |
  sed '/./,$!d' >"$output/notes.md"

images=() linked=()
for target in "${targets[@]}"; do
  architecture=${target%%-*}
  name=goldsmith-$version-$architecture-linux
  install -m 755 "$(program "$target")" "$output/$name"
  mkdir "$files/$name"
  cp -r "$files"/{man,completions,third-party-licences.txt,README.md,CHANGELOG.md,LICENSE-APACHE,LICENSE-MIT} "$files/$name/"
  install -m 755 "$(program "$target")" "$files/$name/goldsmith"
  tar -C "$files" --format=ustar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" -cf - "$name" |
    gzip -9n >"$output/$name.tar.gz"
  scripts/release/deb.sh "$output" "$version" "$(debian "$architecture")" "$(program "$target")" "$files" >/dev/null
  images+=("$(debian "$architecture")=$(program "$target")")
done
scripts/release/oci.py "$output/goldsmith-$version-oci.tar" "$version" "${images[@]}"

libc=$(dpkg-query -W -f '${source:Version}' libc6-dev)
rust=$(rustc -vV | sed -n 's/^release: //p')
linked=(--linked glibc "$libc" "pkg:deb/debian/glibc@${libc//+/%2B}" LGPL-2.1-or-later)
linked+=(--linked rust-std "$rust" "pkg:generic/rust-std@$rust" "MIT OR Apache-2.0")
scripts/release/crates.py bill "${linked[@]}" "${targets[@]}" >"$output/goldsmith-$version.cdx.json"

# The source, as cargo packs it.
cargo package --quiet --offline --locked --no-verify --allow-dirty
cp "target/package/goldsmith-$version.crate" "$output/"

cd "$output"
sha256sum goldsmith* notes.md >SHA256SUMS
stat -c '%12s  %n' goldsmith* notes.md SHA256SUMS
