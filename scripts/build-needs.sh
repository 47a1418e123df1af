#!/bin/sh
# What the build needs beside a Rust toolchain: a C compiler, pkg-config and OpenSSL's headers.
# As root on Debian it installs what is missing; else it says what to install. Safe to run again.
set -eu

missing=""
command -v cc >/dev/null 2>&1 || missing="$missing build-essential"
command -v pkg-config >/dev/null 2>&1 || missing="$missing pkg-config"
if [ -z "$missing" ] && ! pkg-config --exists openssl; then missing="$missing libssl-dev"; fi
if [ -n "$missing" ] && ! command -v pkg-config >/dev/null 2>&1; then missing="$missing libssl-dev"; fi
command -v git >/dev/null 2>&1 || missing="$missing git"

if ! command -v cargo >/dev/null 2>&1; then
    echo "error: cargo is not on the PATH; install a Rust toolchain (https://rustup.rs) and try again" >&2
    exit 1
fi
[ -n "$missing" ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing:$missing"
    apt-get update -q >/dev/null
    # shellcheck disable=SC2086 # a list of packages
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q $missing >/dev/null
else
    echo "error: the build needs these packages (Debian's names):$missing" >&2
    echo "hint: sudo apt-get install$missing" >&2
    exit 1
fi
