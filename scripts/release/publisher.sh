#!/bin/bash
# publisher.sh: prints who publishes a release and where, as lines "maintainer ..." and "homepage ...", from MAINTAINER ("Name <address>") and
# HOMEPAGE, the latter else from Cargo.toml. Nobody is made up: without them, a build is called unpublished, and a commit that is tagged
# as this version is refused.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")/../.."

key() {
  sed -n "s/^$1 = \"\(.*\)\"/\1/p" Cargo.toml
}
fail() {
  printf '%s\n' "release: $1" "hint: $2" >&2
  exit 1
}

version=$(key version)
tagged=$(git tag --points-at HEAD --list "v$version" 2>/dev/null || true)
if [ -z "${MAINTAINER:-}" ]; then
  if [ -n "$tagged" ]; then
    fail "this commit is tagged $tagged, and MAINTAINER is not set: who answers for the Debian packages is not known" \
      "make release MAINTAINER='Name <address>'; in a pipeline, a variable of the project"
  fi
  echo "release: note: MAINTAINER is not set: the Debian packages are those of an unpublished build" >&2
  MAINTAINER='unpublished build <unpublished@packages.invalid>'
elif [[ ! $MAINTAINER =~ ^[^\<\>]*[^\<\>\ ]\ \<[^\<\>@\ ]+@[^\<\>@\ ]+\>$ ]]; then
  fail "MAINTAINER is \"$MAINTAINER\"" "write \"Name <address>\""
fi

homepage=${HOMEPAGE:-}
for name in homepage repository; do homepage=${homepage:-$(key "$name")}; done
case $homepage in
'') echo "release: note: neither HOMEPAGE nor Cargo.toml states an address of the project, so no result names one" >&2 ;;
http://* | https://*) ;;
*) fail "the address of the project is \"$homepage\"" "write a URL" ;;
esac
echo "maintainer $MAINTAINER"
echo "homepage $homepage"
