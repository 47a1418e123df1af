#!/bin/sh
# Makes sure that a Docker engine answers. Where one does, nothing is touched. As root on Debian it
# installs and starts Debian's; else it says what to do. Safe to run again.
set -eu

answers() { docker version --format '{{.Server.APIVersion}}' >/dev/null 2>&1; }

if command -v docker >/dev/null 2>&1 && answers; then exit 0; fi

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "error: no Docker engine answers at ${DOCKER_HOST:-unix:///var/run/docker.sock}" >&2
    echo "hint: install Docker (on Debian: sudo apt-get install docker.io), start it, and let your user" >&2
    echo "      use it (sudo usermod -aG docker \$USER, then log in again); or run this as root" >&2
    exit 1
fi

if ! command -v dockerd >/dev/null 2>&1; then
    echo "installing Debian's docker.io"
    apt-get update -q >/dev/null
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q docker.io >/dev/null
fi
answers && exit 0

echo "starting the Docker engine"
if [ -d /run/systemd/system ]; then
    systemctl start docker
elif ! service docker start >/dev/null 2>&1; then
    nohup dockerd >/var/log/dockerd.log 2>&1 &
fi
tries=0
until answers; do
    tries=$((tries + 1))
    if [ "$tries" -gt 150 ]; then
        echo "error: the Docker engine did not answer within 30 seconds" >&2
        echo "hint: see /var/log/dockerd.log or journalctl -u docker" >&2
        exit 1
    fi
    sleep 0.2
done
