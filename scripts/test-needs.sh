#!/bin/sh
# What the tests need beside the build: kubectl, git, curl. As root on Debian it installs what is
# missing; else it says what to install. Safe to run again.
set -eu

missing=""
command -v kubectl >/dev/null 2>&1 || missing="$missing kubernetes-client"
command -v git >/dev/null 2>&1 || missing="$missing git"
command -v curl >/dev/null 2>&1 || missing="$missing curl"
[ -n "$missing" ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing:$missing"
    apt-get update -q >/dev/null
    # shellcheck disable=SC2086 # a list of packages
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q $missing >/dev/null
else
    echo "error: the tests need these packages (Debian's names):$missing" >&2
    exit 1
fi
