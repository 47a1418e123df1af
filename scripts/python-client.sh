#!/bin/sh
# Kubernetes' client for Python, of a fixed version, in target/python: nothing is installed on the machine but
# Debian's python3-venv where it lacks that. Safe to run again.
set -eu
cd "$(dirname "$0")/.."

wanted=tests/python/requirements.txt
into=target/python
if cmp -s "$wanted" "$into/requirements.txt"; then
    exit 0
fi
rm -rf "$into"
mkdir -p target
if ! python3 -m venv "$into" >/dev/null 2>&1; then
    rm -rf "$into"
    sh scripts/packages.sh "the test of the Python client" python3-venv
    python3 -m venv "$into"
fi
"$into/bin/pip" install --quiet --disable-pip-version-check --no-deps --requirement "$wanted"
# The mark that it is whole.
cp "$wanted" "$into/requirements.txt"
