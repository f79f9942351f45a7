#!/bin/bash
# demo.sh GOLDSMITH [GOLDEN]: converts the golden image GOLDEN (else a small one made here) for an emulated PC, and says what was made.
set -euo pipefail
goldsmith=$1 golden=${2:-}
top=$(cd "$(dirname "$0")/.." && pwd)
demo=$top/target/demo
mkdir -p "$demo"

if [ -z "$golden" ]; then
  "$top/fixtures/golden.sh" mini-trixie "$demo/golden.img" >/dev/null
  golden=$demo/golden.img
fi
if "$goldsmith" inspect "$golden" | grep '(bookworm)' >/dev/null; then
  "$top/fixtures/debs.sh" "$demo/client"
else
  # Debian 13 has no update client: that of Debian 12 runs on it.
  "$top/fixtures/debs.sh" --tree=tree-trixie --also=bookworm "$demo/client" mender-client/bookworm libglib2.0-0t64
fi

cat >"$demo/demo.toml" <<'EOF'
[board]
device-type = ["qemux86-64"]

[storage]
size = "2 GiB"

[boot]
size = "64 MiB"

[data]
size = "128 MiB"

[client]
packages = ["client/*.deb"]
managed = false

[output]
image = "raw"
EOF

"$goldsmith" convert --config "$demo/demo.toml" --artifact-name release-1 --output-dir "$top/deploy" "$golden"
echo
echo "Made in deploy/:"
ls -lsh "$top/deploy"
image=$(find "$top/deploy" -name '*-release-1.img' -printf '%T@ %p\n' | sort -n | tail -n 1 | cut -d ' ' -f 2-)
cat <<EOF

Next:
  $goldsmith verify ${image#"$top/"}
  $goldsmith boot ${image#"$top/"}    (QEMU, on a copy that is thrown away; Ctrl-A X ends it)
  docs/first-update.md: the second release, and the update of a device
EOF
