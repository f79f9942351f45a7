#!/bin/bash
# Installs the Debian packages that the project needs and this machine lacks.
#
#   scripts/setup.sh [demo|docs|test|bench|sbom|fleet|release]  for `make demo`; for that and the tests (the default); for that and `make bench`,
#                                                         `make test-sbom` or `make test-fleet`; for `make release` and its test alone
#
# Does nothing if all are installed. As an ordinary user it asks sudo; where that is not possible it reports what is missing.
# What it will install is printed first. All packages are named in one call, so that apt cannot remove one to install another, and
# installed ones are not upgraded. Two exceptions, both announced, neither for `make demo`: apt may upgrade a dependency that a new
# package needs in a newer version, and a package of this list whose installed version conflicts with the rest (qemu-utils of
# backports with qemu-system-x86 of stable) is replaced by the version of the configured sources.
set -euo pipefail
export LC_ALL=C PATH="$PATH:/usr/sbin:/sbin"
purpose=${1:-test}

# To build: a linker and the C compiler for the compression libraries.
packages=(gcc libc6-dev make)
# To make golden images, as root or as anyone.
packages+=(mmdebstrap fakeroot fakechroot uidmap debian-archive-keyring e2fsprogs fdisk dosfstools mtools perl-base util-linux)
if [ "$purpose" != demo ] && [ "$purpose" != docs ] && [ "$purpose" != release ]; then
  # To boot them.
  packages+=(qemu-system-x86 qemu-utils ovmf ovmf-ia32 qemu-system-arm qemu-efi-aarch64 qemu-efi-arm)
  # To make one of a foreign architecture.
  packages+=(qemu-user-static binfmt-support arch-test)
  # To check and to damage outputs.
  packages+=(mender-artifact openssl libarchive-tools busybox dash zip mount systemd acl attr libcap2-bin gdisk shellcheck)
  packages+=(bzip2 xz-utils zstd grub-common bmap-tools btrfs-progs xfsprogs parted cloud-guest-utils jq hostname)
  packages+=(android-sdk-libsparse-utils man-db u-boot-tools u-boot-qemu libubootenv-tool strace bubblewrap python3-jsonschema)
fi
if [ "$purpose" = bench ]; then
  # What others use for the same work.
  packages+=(pigz libdeflate-tools xdelta3 python3)
fi

if [ "$purpose" = sbom ]; then
  # Where pip installs the validators of bills of materials.
  packages+=(python3 python3-venv)
fi

if [ "$purpose" = fleet ]; then
  # Where pip installs client and server of the Remote Execution API, and what the server runs actions in.
  packages+=(python3 python3-venv procps)
fi

if [ "$purpose" = docs ]; then packages=(python3 python3-markdown); fi

if [ "$purpose" = release ]; then
  # To build for the other architecture, to run what was built, and to judge it.
  if [ "$(dpkg --print-architecture)" = arm64 ]; then
    packages+=(gcc-x86-64-linux-gnu libc6-dev-amd64-cross)
  else
    packages+=(gcc-aarch64-linux-gnu libc6-dev-arm64-cross)
  fi
  packages+=(binutils bubblewrap dpkg git lintian man-db python3 qemu-user-static skopeo xz-utils)
  for target in x86_64-unknown-linux-gnu aarch64-unknown-linux-gnu; do
    [ -d "$(rustc --print target-libdir --target "$target")" ] || rustup target add "$target"
  done
fi

fail() {
  printf 'setup: %s\n' "$@" >&2
  exit 1
}

# Prints those of the packages that are not installed.
missing() {
  local package
  for package in "${packages[@]}"; do
    case $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true) in
    installed) ;;
    *) echo "$package" ;;
    esac
  done
}

command -v cargo >/dev/null || fail "the Rust toolchain is missing (cargo, see rust-version in Cargo.toml)"
command -v dpkg-query >/dev/null ||
  fail "this is not a Debian system; please install the equivalent of these packages: ${packages[*]}"
mapfile -t wanted < <(missing)
if [ ${#wanted[@]} = 0 ]; then exit 0; fi
echo "setup: missing packages: ${wanted[*]}"

apt=(env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=600)
install=(install --yes --no-install-recommends --no-upgrade -o APT::Get::Upgrade-By-Source-Package=false)
if [ "$(id -u)" = 0 ]; then
  as=()
elif command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
  as=(sudo)
else
  fail "only root can install packages; please run: apt-get install --no-install-recommends ${wanted[*]}"
fi
"${as[@]}" "${apt[@]}" update

# The names to pass to apt; a name may be followed by =VERSION.
names=("${packages[@]}")

# Sets `removed`, `changed` and `new` to the names of the packages that apt would remove, up- or downgrade, and add.
simulate() {
  local steps
  steps=$("${apt[@]}" -s "${install[@]}" "$@" "${names[@]}") || fail "apt cannot install the packages:" "$steps"
  mapfile -t removed < <(sed -n 's/^Remv \([^ ]*\).*/\1/p' <<<"$steps")
  mapfile -t changed < <(sed -n 's/^Inst \([^ ]*\) \[.*/\1/p' <<<"$steps")
  mapfile -t new < <(sed -n 's/^Inst \([^ ]*\) (.*/\1/p' <<<"$steps")
}

simulate
if [ "$purpose" = demo ] && [ $((${#removed[@]} + ${#changed[@]})) != 0 ]; then
  fail "apt would have to change what is installed: ${removed[*]} ${changed[*]}" \
    "hint: please install yourself: apt-get install --no-install-recommends ${wanted[*]}"
fi
if [ ${#removed[@]} != 0 ]; then
  for package in "${removed[@]}"; do
    [[ " ${packages[*]} " == *" $package "* ]] ||
      fail "apt would have to remove $package" "hint: remove it, or install what fits it, then try again"
    installed=$(dpkg-query -W -f '${Version}' "$package")
    offered=$(apt-cache madison "$package" | awk -F ' *[|] *' '$3 ~ / Packages$/ { print $2; exit }')
    [ -n "$offered" ] || fail "$package $installed conflicts with other packages, and no configured source offers another"
    echo "setup: $package $installed conflicts with packages to install: replacing it by $offered"
    for at in "${!names[@]}"; do
      if [ "${names[at]}" = "$package" ]; then names[at]=$package=$offered; fi
    done
  done
  install+=(--allow-downgrades)
  simulate --no-remove
fi
install+=(--no-remove)

echo "setup: installing ${new[*]}"
if [ ${#changed[@]} != 0 ]; then echo "setup: changing the version of ${changed[*]}"; fi
"${as[@]}" "${apt[@]}" "${install[@]}" "${names[@]}"

mapfile -t wanted < <(missing)
if [ ${#wanted[@]} != 0 ]; then fail "apt did not install ${wanted[*]}"; fi
