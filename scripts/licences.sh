#!/bin/bash
# licences.sh: fails when a crate that is linked or used by the tests has a licence that is not allowed here, or comes from elsewhere
# than the registry. Reads what cargo has already fetched; needs no network.
set -euo pipefail
cd "$(dirname "$0")/.."

# All of these allow use in a program under MIT or Apache-2.0 without more than a notice.
allowed=(MIT MIT-0 Apache-2.0 BSD-2-Clause BSD-3-Clause Zlib Unicode-3.0 bzip2-1.0.6 Unlicense CC0-1.0 ISC CDLA-Permissive-2.0)

# holds EXPRESSION: whether the allowed licences satisfy an SPDX expression; `/` is how OR was written once.
holds() {
  local sum='' word words allow known
  read -ra words < <(printf '%s\n' "$1" | sed 's:/: OR :g; s/[()]/ & /g; s/ WITH [^ )]*//g')
  for word in "${words[@]}"; do
    case $word in
    AND) sum+='&&' ;;
    OR) sum+='||' ;;
    '(' | ')') sum+=$word ;;
    *)
      known=0
      for allow in "${allowed[@]}"; do if [ "$word" = "$allow" ]; then known=1; fi; done
      sum+=$known
      ;;
    esac
  done
  [ -n "$sum" ] && ((sum))
}

host=$(rustc -vV | sed -n 's/^host: //p')
crates=$(cargo metadata --offline --locked --format-version 1 --filter-platform "$host" |
  jq -r '.packages[] | [.name, .version, .license // "none", .source // "here"] | @tsv')
bad=0 count=0
while IFS=$'\t' read -r name version licence source; do
  count=$((count + 1))
  if ! holds "$licence"; then
    echo "licences: $name $version has the licence $licence" >&2
    bad=1
  fi
  case $source in
  here | registry+*) ;;
  *) echo "licences: $name $version comes from $source" >&2 && bad=1 ;;
  esac
done <<<"$crates"
if [ "$count" -lt 20 ]; then
  echo "licences: only $count crates were seen" >&2
  bad=1
fi
exit "$bad"
