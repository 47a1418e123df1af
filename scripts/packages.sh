#!/bin/sh
# Installs Debian packages: packages.sh WHO PACKAGE... As root on Debian it installs them; else it
# says that WHO needs them, and how to get them. Without a package it does nothing.
set -eu

who=$1
shift
[ "$#" -gt 0 ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing: $*"
    apt-get update -q >/dev/null
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q "$@" >/dev/null
else
    echo "error: $who needs these packages (Debian's names): $*" >&2
    echo "hint: sudo apt-get install $*" >&2
    exit 1
fi
