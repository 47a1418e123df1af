#!/bin/sh
# Builds the example's program and imports it as images of three tags, without any registry:
#   shop.example/shop:1.0 and :1.1 work, :1.2 is broken on purpose.
# Images that hold the very same program are left as they are. Safe to run again.
set -eu
cd "$(dirname "$0")/.."

out=target/example
program="$out/shop"
source=manifests-example/app/shop.rs
mkdir -p "$out"
if [ ! -x "$program" ] || [ "$source" -nt "$program" ]; then
    rustc --edition 2024 -O -C target-feature=+crt-static -C panic=abort -C strip=symbols -o "$program" "$source"
fi
digest=$(sha256sum "$program" | cut -c1-16)

image() { # tag, further changes to the image's configuration
    reference="shop.example/shop:$1"
    shift
    have=$(docker image inspect --format '{{index .Config.Labels "program"}}' "$reference" 2>/dev/null || true)
    [ "$have" != "$digest" ] || return 0
    echo "importing $reference"
    tar -C "$out" -c shop | docker import --change 'ENTRYPOINT ["/shop"]' --change 'CMD ["web"]' \
        --change "LABEL program=$digest" "$@" - "$reference" >/dev/null
}
image 1.0 --change 'ENV SHOP_VERSION=1.0'
image 1.1 --change 'ENV SHOP_VERSION=1.1'
image 1.2 --change 'ENV SHOP_VERSION=1.2' --change 'ENV SHOP_BROKEN=1'
