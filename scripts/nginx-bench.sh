#!/bin/sh
# Measures Ingresses against nginx: `sh scripts/nginx-bench.sh [WORDS OF THE EXAMPLE]`. What the comparison
# needs beside the build are the clients wrk and h2load, which on Debian it installs as root, and nginx, which
# it unpacks into target/nginx: installed, it would begin to serve on port 80 of this machine.
set -eu

cd "$(dirname "$0")/.."
missing=""
command -v wrk >/dev/null 2>&1 || missing="$missing wrk"
command -v h2load >/dev/null 2>&1 || missing="$missing nghttp2-client"
command -v openssl >/dev/null 2>&1 || missing="$missing openssl"
command -v taskset >/dev/null 2>&1 || missing="$missing util-linux"
# shellcheck disable=SC2086 # a list of packages
sh scripts/packages.sh "the comparison with nginx" $missing
nginx=$(command -v nginx || echo "$PWD/target/nginx/usr/sbin/nginx")
if [ ! -x "$nginx" ]; then
    mkdir -p target/nginx
    (cd target/nginx && apt-get -o APT::Sandbox::User=root download -q nginx >/dev/null && dpkg -x nginx_*.deb .)
    # The libraries that it is linked with.
    if ldd "$nginx" | grep -q "not found"; then
        sh scripts/packages.sh "nginx" libpcre2-8-0 libssl3 zlib1g libcrypt1
    fi
fi
NGINX_BINARY=$nginx exec cargo run --release -q -p evenkeel-ingress --example nginx -- "$@"
