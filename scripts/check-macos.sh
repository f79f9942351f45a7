#!/bin/bash
# check-macos.sh: whether library and program compile for macOS, as far as rustc can tell here: nothing is linked, and the compression
# libraries, which are C, are left out. Needs Rust's standard library for the target: rustup target add x86_64-apple-darwin
set -euo pipefail
cd "$(dirname "$0")/.."
target=x86_64-apple-darwin
if [ ! -d "$(rustc --print sysroot)/lib/rustlib/$target" ]; then
  echo "check-macos: rustc has no $target: rustup target add $target" >&2
  exit 1
fi

tools=$(mktemp -d -t goldsmith-no-c-XXXXXX)
trap 'rm -rf "$tools"' EXIT
# In the place of a C compiler and an archiver: they make the file that is asked for, empty.
cat >"$tools/cc" <<'EOF'
#!/bin/sh
while [ $# -gt 0 ]; do
  [ "$1" = -o ] && : >"$2"
  shift
done
EOF
cat >"$tools/ar" <<'EOF'
#!/bin/sh
for word; do
  case $word in *.a) : >"$word" ;; esac
done
EOF
chmod +x "$tools/cc" "$tools/ar"
env CC_x86_64_apple_darwin="$tools/cc" CXX_x86_64_apple_darwin="$tools/cc" AR_x86_64_apple_darwin="$tools/ar" \
  cargo check --locked --lib --bins --target "$target"
echo "check-macos: compiles for $target; nothing was linked or run"
