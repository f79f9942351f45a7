#!/bin/bash
# test-sbom.sh: has bills of materials and provenance judged by validators that are not ours. They are Python packages, which pip
# installs below target/; see scripts/judge-sbom.py. With an argument, a directory with the results of a conversion, only those are judged.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=target/sbom-venv
if [ ! -x "$venv/bin/python" ]; then
  python3 -m venv "$venv"
fi
"$venv/bin/pip" install --quiet --disable-pip-version-check -r scripts/test-sbom.txt

if [ $# -gt 0 ]; then
  exec "$venv/bin/python" scripts/judge-sbom.py "$1"
fi
results=target/sbom-results
rm -rf "$results"
GOLDSMITH_SBOM_RESULTS=$PWD/$results cargo test --locked --test it convert::sbom::
# The results of a test that was left out would not be judged.
[ -d "$results" ] || {
  echo "test-sbom: no bills were written" >&2
  exit 1
}
"$venv/bin/python" scripts/judge-sbom.py "$results"
"$venv/bin/python" scripts/judge-sbom.py --damage "$results"
