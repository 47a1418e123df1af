# shellcheck shell=sh
# Sourced, in the root of the sources: SOURCE_DATE_EPOCH, the date that everything packed here gets.
# Given, or that of the last commit, so that the same commit gives the same bytes.
if [ -z "${SOURCE_DATE_EPOCH:-}" ]; then
    if ! SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null); then
        echo "error: these sources are no git repository, so nothing says their date" >&2
        echo "hint: give SOURCE_DATE_EPOCH, in seconds since 1970" >&2
        exit 1
    fi
fi
export SOURCE_DATE_EPOCH
