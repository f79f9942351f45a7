#!/bin/bash
# test-first-update.sh GOLDSMITH GOLDEN PACKAGES: replays docs/first-update.md in an empty directory, from the page's own words, as whoever runs
# this: the blocks between <!-- replay --> and <!-- end of replay -->. GOLDEN is a golden image, PACKAGES a directory with the update client's packages,
# which the page has apt download. The steps on the device are those of its `goldsmith boot --check --update`.
set -euo pipefail
export LC_ALL=C
page=$(cd "$(dirname "$0")/.." && pwd)/docs/first-update.md
goldsmith=$(realpath "$1") golden=$(realpath "$2") packages=$(realpath "$3")

clean=$(mktemp -d -t goldsmith-first-update-XXXXXX)
trap 'rm -rf "$clean"' EXIT
mkdir "$clean/bin" "$clean/tree"
ln -s "$goldsmith" "$clean/bin/goldsmith"
cd "$clean/tree"
cp --sparse=always "$golden" golden.img
mkdir client
cp "$packages"/*.deb client/

# Files between the marks become files; commands become a script.
awk '
  /^<!-- replay: / { file = $3; wanted = 1; next }
  /^<!-- replay -->/ { file = ""; wanted = 1; next }
  /^<!-- end of replay -->/ { wanted = 0; next }
  wanted && /^```/ {
    inside = !inside
    if (file != "") print inside ? "cat >" file " <<\"END OF FILE\"" : "END OF FILE"
    next
  }
  wanted && inside && file != "" { print }
  wanted && inside && file == "" { sub(/^\$ /, ""); print "echo \"first-update: $((SECONDS))s\" >&2"; print }
' "$page" >../script
commands=$(grep -c '^goldsmith ' ../script)
[ "$commands" -ge 7 ] || {
  echo "test-first-update: only $commands commands were found in the page" >&2
  exit 1
}
env -i PATH="$clean/bin:/usr/bin:/bin" HOME="$clean" bash -euxo pipefail ../script
for result in deploy/golden-qemux86-64-release-{1,2}.{img,mender,json}; do test -s "$result"; done
echo "test-first-update: $commands commands of the page, $SECONDS seconds"
