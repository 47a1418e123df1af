#!/bin/sh
# What the tests need beside the build: kubectl, git, curl. As root on Debian it installs what is
# missing; else it says what to install. Safe to run again.
set -eu

missing=""
command -v kubectl >/dev/null 2>&1 || missing="$missing kubernetes-client"
command -v git >/dev/null 2>&1 || missing="$missing git"
command -v curl >/dev/null 2>&1 || missing="$missing curl"
# shellcheck disable=SC2086 # a list of packages
sh "$(dirname "$0")/packages.sh" "the test run" $missing
