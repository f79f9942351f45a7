#!/bin/bash
# in-root.sh ROOT PACKAGE: installs goldsmith's Debian package with the dpkg of ROOT, runs it, removes it, and fails if anything stays.
# A hook of mmdebstrap, see test-release.sh.
set -euo pipefail
export LC_ALL=C
root=$1 package=$2

# The files of the root, without dpkg's and man's own records.
files() {
  (cd "$root" && find . -xdev \( -path ./proc -o -path ./sys -o -path ./var/lib/dpkg -o -path ./var/log -o -path ./var/cache/man \) -prune -o -print | sort)
}
inside() {
  chroot "$root" "$@"
}
fail() {
  echo "in-root: $*" >&2
  exit 1
}

before=$(files)
cp "$package" "$root/tmp/goldsmith.deb"
inside dpkg --install /tmp/goldsmith.deb
rm "$root/tmp/goldsmith.deb"
inside dpkg --audit
changed=$(inside dpkg --verify goldsmith)
[ -z "$changed" ] || fail "files differ from their sums: $changed"
wanted=$(dpkg-deb --field "$package" Version)
[ "$(inside goldsmith --version)" = "goldsmith ${wanted%-*}" ] || fail "it is not version $wanted"
inside goldsmith boards | grep qemux86-64 >/dev/null
inside sh -c 'test -s /usr/share/man/man1/goldsmith-convert.1.gz'
inside bash -c '. /usr/share/bash-completion/completions/goldsmith && complete -p goldsmith' >/dev/null
inside dpkg --purge goldsmith
after=$(files)
[ "$before" = "$after" ] || fail "removed, it leaves: $(diff <(echo "$before") <(echo "$after") || true)"
echo "in-root: installed, run and removed: $(sed -n 's/^PRETTY_NAME=//p' "$root/usr/lib/os-release")"
