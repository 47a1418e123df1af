#!/bin/sh
# What the tests need beside the build: kubectl, git, curl, and for several nodes on one machine
# iproute2, nftables and util-linux; dpkg-deb; Python with Kubernetes' client (in target/python). As root on Debian it installs what is missing; else it says what
# to install. Safe to run again.
set -eu

missing=""
command -v kubectl >/dev/null 2>&1 || missing="$missing kubernetes-client"
command -v git >/dev/null 2>&1 || missing="$missing git"
command -v curl >/dev/null 2>&1 || missing="$missing curl"
command -v ip >/dev/null 2>&1 && command -v tc >/dev/null 2>&1 || missing="$missing iproute2"
command -v nft >/dev/null 2>&1 || missing="$missing nftables"
command -v dpkg-deb >/dev/null 2>&1 || missing="$missing dpkg"
for tool in nsenter unshare setpriv; do
    command -v "$tool" >/dev/null 2>&1 || { missing="$missing util-linux" && break; }
done
command -v python3 >/dev/null 2>&1 || missing="$missing python3-venv"
# shellcheck disable=SC2086 # a list of packages
sh "$(dirname "$0")/packages.sh" "the test run" $missing
sh "$(dirname "$0")/python-client.sh"
