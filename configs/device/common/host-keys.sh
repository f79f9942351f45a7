#!/bin/sh
# Makes the SSH host keys that this device does not have yet.
#
# usage: host-keys KIND=FILE...     KIND is openssh-rsa, openssh-ecdsa, openssh-ed25519, dropbear-rsa, ...
#
# The files are on the data partition, so that updates of the root filesystem leave them alone. A key gets its name when all of it is
# on the disk: after a power cut it is whole, or is made at the next start.
set -u
umask 077
# shellcheck source=configs/device/common/flush.sh
. "${0%/*}/../common/flush.sh"

say() {
    echo "host-keys: $*"
}

make() {
    case $1 in
        openssh-*) ssh-keygen -q -N '' -t "${1#openssh-}" -f "$2" ;;
        dropbear-*) dropbearkey -t "${1#dropbear-}" -f "$2" >/dev/null && dropbearkey -y -f "$2" | grep '^ssh-\|^ecdsa-' >"$2.pub" ;;
        *) return 1 ;;
    esac
}

failed=0
for word; do
    kind=${word%%=*}
    file=${word#*=}
    if [ -s "$file" ]; then
        continue
    fi
    mkdir -p "${file%/*}"
    rm -f "$file.new" "$file.new.pub"
    if ! make "$kind" "$file.new"; then
        say "$file could not be made"
        failed=1
        continue
    fi
    chmod 644 "$file.new.pub"
    if flush "$file.new" && mv -f "$file.new.pub" "$file.pub" && mv -f "$file.new" "$file" && flush "$file"; then
        say "$file is made"
    else
        say "$file cannot be written"
        failed=1
    fi
done
exit $failed
