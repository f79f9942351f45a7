#!/bin/bash
# seeds.sh: makes small valid inputs for the fuzz targets, in fuzz/corpus/<target>/, with the tools that own the formats.
# Nothing in them is kept in the repository: what they lead to is, under tests/regressions/. GOLDSMITH names the program to convert
# with, else it is built.
set -euo pipefail
export LC_ALL=C PATH="$PATH:/usr/sbin:/sbin" E2FSPROGS_FAKE_TIME=1700000000 MKE2FS_CONFIG=/dev/null
top=$(cd "$(dirname "$0")/.." && pwd)
corpus=$top/fuzz/corpus
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# encode TARGET IMAGE [FIRST-BYTE]: the short form of an image (see fuzz/src/sparse.rs), behind a byte that says how it is read.
encode() {
  local target=$1 image=$2 first=${3:-}
  mkdir -p "$corpus/$target"
  { if [ -n "$first" ]; then printf '%b' "$first"; fi; short <"$image"; } >"$corpus/$target/$(basename "$image")"
}

# short: the form of a disk that fuzz/src/sparse.rs describes, of what is on standard input.
short() {
  perl -e '
    binmode STDIN; binmode STDOUT;
    my ($disk, $block, $number) = ("", "", 0);
    while (read(STDIN, $block, 1024)) {
      (my $used = $block) =~ s/\0+\z//;
      $disk .= pack("vv", $number, length $used) . $used if length $used;
      $number++;
    }
    die "too large\n" if $number > 65535;
    print pack("v", $number) . $disk;
  '
}

# put TARGET FILE...: files as they are.
put() {
  local target=$1
  shift
  mkdir -p "$corpus/$target"
  cp "$@" "$corpus/$target/"
}

# files DIR: a few files of each kind that needs no privilege.
files() {
  mkdir -p "$1/dir/sub" "$1/many"
  echo text >"$1/dir/file"
  ln "$1/dir/file" "$1/dir/sub/link"
  ln -s file "$1/dir/short"
  ln -s "$(printf '%0100d' 1)" "$1/dir/long"
  mkfifo "$1/pipe"
  truncate -s 300K "$1/holes"
  printf x | dd of="$1/holes" bs=1K seek=50 conv=notrunc status=none
  printf x | dd of="$1/holes" bs=1K seek=290 conv=notrunc status=none
  local at
  for at in $(seq 60); do : >"$1/many/a-file-with-a-longer-name-$at"; done
}

ext4_seeds() {
  files tree
  local name size options
  while read -r name size options; do
    rm -f "$name"
    # shellcheck disable=SC2086 # options are words
    mke2fs -q -F -t ext4 -b 1024 -I 256 -N 128 -U 01020304-0506-0708-090a-0b0c0d0e0f10 -E hash_seed=01020304-0506-0708-090a-0b0c0d0e0f10 \
      -d tree $options "$name" "$size" >/dev/null 2>&1 || { echo "seeds: mke2fs knows no $options" >&2; continue; }
    debugfs -w -f - "$name" >/dev/null 2>&1 <<'DEBUGFS'
mknod char c 5 1
mknod block b 8 1
ea_set /dir/file user.name value
ea_set /dir user.a-longer-name a-value-that-is-so-long-that-it-does-not-fit-into-the-inode-itself-and-needs-a-block-of-its-own-somewhere-else-a-value-that-is-so-long-that-it-does-not-fit-into-the-inode-itself
DEBUGFS
    encode ext4 "$name"
    encode carry "$name"
  done <<'KINDS'
plain 2M -O extent,dir_index,^metadata_csum,^64bit,^has_journal,^resize_inode
sums 2M -O extent,dir_index,metadata_csum,^has_journal
wide 2M -O ^metadata_csum,extent,64bit,^has_journal,flex_bg
maps 2M -O ^metadata_csum,^extent,^64bit,^has_journal
ext2 2M -O none,filetype
old 2M -O none -I 128
journal 10M -O extent,dir_index,^metadata_csum,has_journal -J size=1
meta 2M -O extent,dir_index,^metadata_csum,^resize_inode,meta_bg,^has_journal
inline 2M -O extent,dir_index,^metadata_csum,inline_data,^has_journal
ea 2M -O extent,dir_index,^metadata_csum,ea_inode,^has_journal
quota 2M -O extent,dir_index,^metadata_csum,quota,project,^has_journal
KINDS
  # A journal with something in it.
  cp journal dirty
  head -c 1024 /dev/zero >block
  debugfs -w -f - dirty >/dev/null 2>&1 <<'DEBUGFS' || true
journal_open
journal_write -b 333 block
journal_close
DEBUGFS
  encode ext4 dirty
}

fat_seeds() {
  local width size
  for width in 12:1 16:5 32:34; do
    size=${width#*:} width=${width%:*}
    truncate -s "${size}M" "fat$width"
    mkfs.vfat -F "$width" -s 1 -i 12345678 -n ESP "fat$width" >/dev/null
    mmd -i "fat$width" ::/EFI ::/EFI/BOOT
    echo text >"a long name.txt"
    mcopy -i "fat$width" "a long name.txt" ::/EFI/BOOT/
    head -c 3000 /dev/zero | tr '\0' x >SHORT.TXT
    mcopy -i "fat$width" SHORT.TXT ::/
    encode fat "fat$width"
  done
}

# A disk of 12 MiB that a conversion takes: 2 MiB of FAT, 8 MiB of ext4.
disk_seeds() {
  files root
  mkdir -p root/bin root/etc/default root/boot/grub root/usr/lib/grub/x86_64-efi-signed root/usr/sbin root/var/lib/dpkg/info
  { printf '\177ELF\2\1\1\0\0\0\0\0\0\0\0\0\3\0\76\0'; head -c 44 /dev/zero; } >root/bin/sh
  printf 'ID=debian\nVERSION_ID="12"\nPRETTY_NAME="A small Debian"\n' >root/etc/os-release
  printf 'UUID=1234 / ext4 rw 0 1\nLABEL=ESP /boot/efi vfat umask=0077 0 1\n' >root/etc/fstab
  printf 'GRUB_CMDLINE_LINUX="quiet"\n' >root/etc/default/grub
  printf 'menuentry x {\nlinux /vmlinuz root=UUID=1234 ro quiet\n}\n' >root/boot/grub/grub.cfg
  printf 'Package: dpkg\nStatus: install ok installed\nVersion: 12.4\nArchitecture: amd64\nMaintainer: x\nDescription: x\n\n' \
    >root/var/lib/dpkg/status
  program >root/boot/vmlinuz-6.1.0-1
  echo initrd >root/boot/initrd.img-6.1.0-1
  program /EFI/debian >root/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed
  cp root/bin/sh root/usr/sbin/sfdisk
  mke2fs -q -F -t ext4 -b 1024 -N 256 -O ^metadata_csum,^has_journal -d root root.ext4 8M
  truncate -s 2M esp
  mkfs.vfat -s 1 -n ESP esp >/dev/null
  mmd -i esp ::/EFI ::/EFI/debian
  mcopy -i esp root/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed ::/EFI/debian/grubx64.efi
  local label start
  for label in gpt dos; do
    truncate -s 12M "$label"
    local types='uefi linux'
    if [ "$label" = dos ]; then types='ef 83'; fi
    printf 'label: %s\nstart=1MiB, size=2MiB, type=%s\nstart=3MiB, size=8MiB, type=%s\n' "$label" "${types% *}" "${types#* }" |
      sfdisk -q "$label"
    encode table "$label" '\1'
    dd if=esp of="$label" bs=1M seek=1 conv=notrunc status=none
    dd if=root.ext4 of="$label" bs=1M seek=3 conv=notrunc status=none
    encode plan "$label" '\1'
  done
  printf 'label: dos\nstart=1MiB, size=1MiB, type=ef\nstart=2MiB, size=6MiB, type=5\nstart=3MiB, size=1MiB, type=83\nstart=5MiB, size=1MiB, type=83\n' |
    { truncate -s 9M logical; sfdisk -q logical; }
  encode table logical '\0'
  # What verification looks at: a result, small enough.
  "$goldsmith" convert -q --no-verify -c qemux86-64 -n r1 -s 'storage.size="62 MiB"' -s 'storage.alignment="1 MiB"' -s 'boot.size="4 MiB"' \
    -s 'data.size="8 MiB"' -s 'output.name=result' -s data.grow=false -s client.managed=false -s client.required=false --output-dir out gpt
  encode verify out/result.img '\1'
  start=$(sfdisk -d out/result.img | awk '/result.img4/ { sub(",", "", $4); print $4 }')
  debugfs -R 'dump /mender/bootstrap.mender bootstrap' "out/result.img?offset=$((start * 512))" 2>/dev/null
  put artifact bootstrap
  printf '#!/bin/sh\n' >ArtifactInstall_Enter_05_a
  head -c 3000 /dev/zero >payload
  local kind
  for kind in none gzip lzma; do
    mender-artifact --compression $kind write rootfs-image -f payload -t a -n r1 -s ArtifactInstall_Enter_05_a -o $kind.mender >/dev/null 2>&1
    put artifact $kind.mender
  done
}

# program [PREFIX]: a program as UEFI knows it; with a prefix it is a GRUB.
program() {
  perl -e '
    my $out = "\0" x 0x200;
    my $put = sub { substr($out, $_[0], length $_[1]) = $_[1] };
    $put->(0, "MZ"); $put->(0x3c, "\x40"); $put->(0x40, "PE\0\0\x64\x86\x01"); $put->(0x54, "\xf0"); $put->(0x58, "\x0b\x02");
    if (@ARGV) {
      my $mods = "mimg" . pack("V*", 0, 24, 0, 999, 0, 3, length($ARGV[0]) + 9) . $ARGV[0] . "\0";
      $put->(0x148, "mods"); $put->(0x158, pack("V", length $mods)); $put->(0x15c, pack("V", 0x200));
      $out .= $mods;
    }
    print $out;
  ' -- "$@"
}

package_seeds() {
  mkdir -p pkg/DEBIAN pkg/usr/bin pkg/etc pkg/lib/systemd/system
  printf 'Package: a\nVersion: 1:1.0~rc1-1+b2\nArchitecture: amd64\nMaintainer: x <x@example.org>\nPre-Depends: dpkg (>= 1.1)\nDepends: dpkg | b (<< 2), c:any\nDescription: a\n more\n' >pkg/DEBIAN/control
  echo /etc/a.conf >pkg/DEBIAN/conffiles
  echo a >pkg/etc/a.conf
  echo '#!/bin/sh' >pkg/usr/bin/a
  ln -s a pkg/usr/bin/b
  ln pkg/usr/bin/a pkg/usr/bin/c
  printf '[Install]\nWantedBy=multi-user.target\n' >pkg/lib/systemd/system/a.service
  # shellcheck disable=SC2016 # scripts, not for this shell
  scripts=(
    '#!/bin/sh\nset -e\nif [ "$1" = configure ]; then\n  deb-systemd-helper unmask a.service >/dev/null || true\n  adduser --system --group a\nfi\n'
    '#!/bin/sh\nset -e\ncase "$1" in\n configure|abort-upgrade) for i in 1 2 $(echo 3); do [ -e "/etc/$i" ] || ln -s a /etc/$i; done ;;\n *) echo "x: ${1:-none}" >&2; exit 1 ;;\nesac\n'
    '#!/bin/sh\nf() { local x="$1"; while [ -n "$x" ]; do x=${x%%?}; done; echo "$((1 + 2 * 3))"; }\ncat >/etc/x <<EOT\n$(f abc) `id -u`\nEOT\nsed -e s/a/b/ /etc/passwd | grep -q root && update-rc.d a defaults\n'
    '#!/bin/sh\nupdate-alternatives --install /usr/bin/x x /usr/bin/a 10\nchown root:adm /etc/a.conf; chmod 0750 /usr/bin/a; mkdir -p /var/lib/a; rm -f /etc/old\ndpkg-maintscript-helper rm_conffile /etc/old 1.0 a -- "$@"\n'
  )
  mkdir -p scripts
  local at
  for at in "${!scripts[@]}"; do
    printf '%b' "${scripts[$at]}" >"scripts/$at"
  done
  put script scripts/*
  put shell scripts/*
  cp scripts/0 pkg/DEBIAN/postinst
  chmod 755 pkg/DEBIAN/postinst
  local kind
  for kind in none gzip xz zstd; do
    dpkg-deb --root-owner-group -Z$kind --build pkg "$kind.deb" >/dev/null
    put deb "$kind.deb"
  done
  tar --sort=name --owner=0 --group=0 --numeric-owner --mtime=@1 -C pkg --exclude=./DEBIAN -cf gnu.tar .
  tar --format=pax --pax-option=exthdr.name=x --sort=name --owner=0 --group=0 --mtime=@1 -C pkg --exclude=./DEBIAN -cf pax.tar .
  mkdir -p climb/1
  : >"climb/1/$(printf '%0200d' 1)"
  tar --sort=name --owner=0 --group=0 --mtime=@1 -P --transform 's,^,climb/../../,' -cf climb.tar climb
  tar --sort=name --owner=0 --group=0 --mtime=@1 -cf through.tar climb
  put tar gnu.tar pax.tar climb.tar through.tar
}

other_seeds() {
  put config "$top"/configs/boards/*.toml "$top/configs/example.toml"
  printf 'storage.size="8 GiB"' >"set"
  put config "set"
  cat >map <<'XML'
<?xml version="1.0" ?>
<bmap version="2.0">
    <ImageSize> 1048576 </ImageSize>
    <BlockSize> 4096 </BlockSize>
    <BlocksCount> 256 </BlocksCount>
    <MappedBlocksCount> 3 </MappedBlocksCount>
    <ChecksumType> sha256 </ChecksumType>
    <BmapFileChecksum> 0000000000000000000000000000000000000000000000000000000000000000 </BmapFileChecksum>
    <BlockMap>
        <Range chksum="0000000000000000000000000000000000000000000000000000000000000000"> 0-1 </Range>
        <Range chksum="0000000000000000000000000000000000000000000000000000000000000000"> 9 </Range>
    </BlockMap>
</bmap>
XML
  put bmap map
  truncate -s 256K disk
  printf x | dd of=disk bs=1K seek=9 conv=notrunc status=none
  printf 'text\n%.0s' {1..14000} | dd of=disk bs=64K seek=2 conv=notrunc status=none
  for version in 0.10 1.1; do
    qemu-img convert -O qcow2 -o "compat=$version,cluster_size=4096" disk "qcow2-$version"
    qemu-img convert -c -O qcow2 -o "compat=$version,cluster_size=4096" disk "packed-qcow2-$version"
  done
  qemu-img convert -c -O qcow2 -o compression_type=zstd,cluster_size=4096 disk qcow2-zstd
  put qcow2 qcow2-* packed-qcow2-*
  img2simg disk simg >/dev/null
  put simg simg
  local tool
  for tool in gzip xz zstd bzip2; do
    $tool -q -c disk >"disk.$tool"
  done
  zip -q -j disk.zip disk
  put packed disk.gzip disk.xz disk.zstd disk.bzip2 disk.zip qcow2-1.1
  gzip -c qcow2-1.1 >nested
  put packed nested
}

repository_seeds() {
  # Debian's package of it is gpg.
  if ! command -v gpg >/dev/null; then
    echo "seeds.sh: no gpg, so nothing that is signed" >&2
    return
  fi
  local home=$work/keys digest=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
  mkdir -m 700 "$home"
  local gpg=(gpg --quiet --batch --homedir "$home" --faked-system-time '20251101T000000!' --passphrase '')
  "${gpg[@]}" --quick-gen-key 'a <a@example.org>' ed25519 sign never
  "${gpg[@]}" --armor --export >key
  printf 'Origin: a\nSuite: stable\nCodename: trixie\nDate: Sat, 01 Nov 2025 00:00:00 UTC\nValid-Until: Tue, 01 Nov 2039 00:00:00 UTC\nArchitectures: amd64 all\nComponents: main\nAcquire-By-Hash: yes\nSHA256:\n %s 17 main/binary-amd64/Packages.xz\n' $digest >Release
  "${gpg[@]}" --clearsign --output InRelease Release
  "${gpg[@]}" --armor --detach-sign --output Release.gpg Release
  mkdir -p "$corpus/signed"
  { cat key && printf '\0' && cat InRelease; } >"$corpus/signed/clear"
  { cat key && printf '\0' && cat Release && printf '\0' && cat Release.gpg; } >"$corpus/signed/detached"
  gpgconf --homedir "$home" --kill all
  printf 'Package: a\nSource: b (1)\nVersion: 1:1.0-1\nArchitecture: amd64\nMulti-Arch: same\nPriority: optional\nEssential: yes\nPre-Depends: dpkg (>= 1.1)\nDepends: c | d:any (<< 2), e [arm64]\nProvides: f (= 1)\nFilename: pool/a_1.0-1_amd64.deb\nSize: 17\nSHA256: %s\nDescription: a\n more\n\nPackage: b\nVersion: 1\nArchitecture: all\nFilename: pool/b.deb\nSize: 1\nSHA256: %s\n' $digest $digest >packages
  printf '# a\ndeb [arch=amd64 signed-by=/a.gpg] http://example.org/debian trixie main # b\ndeb-src http://example.org/debian trixie main\n' >one-line
  printf 'Types: deb\nURIs: http://example.org/debian\nSuites: trixie\nComponents: main\nSigned-By: /a.gpg\n' >deb822
  put index packages one-line deb822
  printf 'version = 1\narchitecture = "amd64"\nsystem = "debian trixie"\n\n[request]\nbundle = "6.0"\ninstall = []\nrecommends = true\nmay-change = []\nrepositories = ["image"]\n\n[[repository]]\nurl = "http://example.org/debian"\nsuite = "trixie"\ncomponents = ["main"]\ndate = 1761955200\nrelease-sha256 = "%s"\nsigned-by = "0123456789ABCDEF0123456789ABCDEF01234567"\n\n[[package]]\nname = "a"\nversion = "1:1.0-1"\narchitecture = "amd64"\nurl = "http://example.org/debian/pool/a.deb"\nsize = 17\nsha256 = "%s"\nwhy = "client.bundle 6.0"\nrecommended = true\n' $digest $digest >lock
  put lock lock
}

goldsmith=${GOLDSMITH:-$top/target/debug/goldsmith}
if [ -z "${GOLDSMITH:-}" ]; then (cd "$top" && cargo build -q --locked); fi
ext4_seeds
fat_seeds
disk_seeds
package_seeds
other_seeds
repository_seeds
find "$corpus" -type f | wc -l
