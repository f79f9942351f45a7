#!/bin/bash
# Installs the Debian packages that the project needs and this machine lacks.
#
#   scripts/setup.sh [demo|test|bench]      what `make demo` needs, that and what the tests need (without an argument), or all of it
#
# Does nothing when all are there. As an ordinary user it asks sudo; where that is not possible it says what is missing.
set -euo pipefail
export LC_ALL=C PATH="$PATH:/usr/sbin:/sbin"

# To build: a linker and the C compiler for the compression libraries.
packages=(gcc libc6-dev make)
# To make golden images, as root or as anyone.
packages+=(mmdebstrap fakeroot fakechroot uidmap debian-archive-keyring e2fsprogs fdisk dosfstools mtools perl-base util-linux)
if [ "${1:-test}" != demo ]; then
  # To boot them.
  packages+=(qemu-system-x86 qemu-utils ovmf ovmf-ia32 qemu-system-arm qemu-efi-aarch64 qemu-efi-arm)
  # To make one of a foreign architecture.
  packages+=(qemu-user-static binfmt-support arch-test)
  # To judge and to damage what was made.
  packages+=(mender-artifact openssl libarchive-tools busybox dash zip mount systemd acl attr libcap2-bin gdisk shellcheck bzip2 xz-utils zstd grub-common bmap-tools btrfs-progs parted cloud-guest-utils jq hostname android-sdk-libsparse-utils u-boot-tools libubootenv-tool strace)
fi
if [ "${1:-test}" = bench ]; then
  # What others use for the same work.
  packages+=(pigz xdelta3 python3)
fi

missing() {
  local package
  for package in "${packages[@]}"; do
    case $(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null || true) in
    ii*) ;;
    *) echo "$package" ;;
    esac
  done
}

if ! command -v cargo >/dev/null; then
  echo "setup: the Rust toolchain is missing (cargo, see rust-version in Cargo.toml)" >&2
  exit 1
fi
if ! command -v dpkg-query >/dev/null; then
  echo "setup: this is no Debian system; please install what belongs to these packages: ${packages[*]}" >&2
  exit 1
fi
mapfile -t wanted < <(missing)
if [ ${#wanted[@]} = 0 ]; then exit 0; fi

echo "setup: installing ${wanted[*]}"
if [ "$(id -u)" = 0 ]; then
  as=(env)
elif command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
  as=(sudo env)
else
  echo "setup: only root can install packages; please run: apt-get install --no-install-recommends ${wanted[*]}" >&2
  exit 1
fi
apt=(apt-get -q -o DPkg::Lock::Timeout=600)
"${as[@]}" "${apt[@]}" update
"${as[@]}" DEBIAN_FRONTEND=noninteractive "${apt[@]}" install --yes --no-install-recommends "${wanted[@]}"
