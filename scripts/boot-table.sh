#!/bin/bash
# boot-table.sh PAGE TESTS [RESULTS]: writes the table of the tests that boot into its place in PAGE.
#
# TESTS is the directory of the test files. The comment above a test describes it. RESULTS has lines of name, result (ok or FAILED)
# and seconds; tests that are not in it keep their result in PAGE.
set -euo pipefail
export LC_ALL=C
page=$1 results=${3:-/dev/null}
mapfile -t tests < <(find "$2" -name '*.rs' | sort)
begin='<!-- boots: written by make test-boot -->' end='<!-- end of boots -->'

old=$(mktemp)
trap 'rm -f "$old" "$page.part"' EXIT
sed -n "/^$begin/,/^$end/p" "$page" >"$old"

table=$(awk -v results="$results" -v old="$old" -v top="$2/" '
  BEGIN {
    while ((getline line < old) > 0) {
      if (split(line, cell, " *[|] *") == 6 && cell[2] ~ /^`/) {
        gsub("`", "", cell[2])
        result[cell[2]] = cell[4]
        seconds[cell[2]] = cell[5]
      }
    }
    while ((getline line < results) > 0) {
      split(line, word, " ")
      result[word[1]] = word[2] == "ok" ? "passed" : "failed"
      seconds[word[1]] = word[3]
    }
    print "| test | what it shows | result | seconds |"
    print "| --- | --- | --- | --- |"
  }
  FNR == 1 { module = substr(FILENAME, length(top) + 1); sub("(/mod)?[.]rs$", "", module); gsub("/", "::", module) }
  /^\/\/\/ / { text = (text == "" ? "" : text " ") substr($0, 5); next }
  /^#\[ignore/ { ignored = 1; next }
  /^#\[/ { next }
  /^fn boot_/ && ignored {
    name = $2
    sub("[(].*", "", name)
    name = module "::" name
    sub("[.]$", "", text)
    if (!(name in result)) result[name] = "not run"
    print "| `" name "` | " text " | " result[name] " | " seconds[name] " |"
  }
  { text = ""; ignored = 0 }
' "${tests[@]}")

awk -v begin="$begin" -v end="$end" -v table="$table" '
  $0 == end { inside = 0 }
  !inside { print }
  $0 == begin { inside = 1; seen = 1; print table }
  END { exit !seen }
' "$page" >"$page.part"
mv "$page.part" "$page"
