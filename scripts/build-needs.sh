#!/bin/sh
# What the build needs beside a Rust toolchain: a C compiler, pkg-config and OpenSSL's headers.
# As root on Debian it installs what is missing; else it says what to install. Safe to run again.
set -eu

if ! command -v cargo >/dev/null 2>&1; then
    echo "error: cargo is not on the PATH; install a Rust toolchain (https://rustup.rs) and try again" >&2
    exit 1
fi
missing=""
command -v cc >/dev/null 2>&1 || missing="$missing build-essential"
command -v pkg-config >/dev/null 2>&1 || missing="$missing pkg-config"
# Without pkg-config nobody can tell whether the headers are there.
pkg-config --exists openssl 2>/dev/null || missing="$missing libssl-dev"
command -v git >/dev/null 2>&1 || missing="$missing git"
# shellcheck disable=SC2086 # a list of packages
sh "$(dirname "$0")/packages.sh" "the build" $missing
