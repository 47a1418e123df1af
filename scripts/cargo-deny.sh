#!/bin/sh
# Installs cargo-deny once. Safe to run again.
set -eu
command -v cargo-deny >/dev/null 2>&1 && exit 0
echo "installing cargo-deny"
cargo install --locked --quiet cargo-deny
