#!/bin/sh
# Makes the Debian package of a binary: deb.sh --binary FILE --arch amd64|arm64|... --out FOLDER.
# It needs dpkg-deb alone; the same binary and date (SOURCE_DATE_EPOCH, else that of the
# last commit) give the same bytes. The binary is packed as it is: a static one depends on nothing.
set -eu
LC_ALL=C
export LC_ALL
umask 022

binary=""
arch=""
out=""
while [ "$#" -gt 0 ]; do
    case $1 in
    --binary) binary=${2:-} ;;
    --arch) arch=${2:-} ;;
    --out) out=${2:-} ;;
    *)
        echo "error: unknown argument $1" >&2
        exit 2
        ;;
    esac
    shift
    [ "$#" -gt 0 ] && shift
done
if [ -z "$binary" ] || [ -z "$arch" ] || [ -z "$out" ]; then
    echo "error: needed are --binary FILE, --arch ARCH (as dpkg calls it) and --out FOLDER" >&2
    exit 2
fi
if ! [ -f "$binary" ]; then
    echo "error: there is no binary $binary" >&2
    exit 1
fi
if ! command -v dpkg-deb >/dev/null 2>&1; then
    echo "error: dpkg-deb is not here; Debian's package dpkg has it" >&2
    exit 1
fi
mkdir -p "$out"
binary=$(realpath "$binary")
out=$(realpath "$out")
cd "$(dirname "$0")/.."
. scripts/epoch.sh
version=$(sh scripts/version.sh)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Not the folder of mktemp itself: that has mode 0700.
tree=$work/tree
install -d "$tree/DEBIAN" "$tree/etc/evenkeel" "$tree/usr/share/doc/evenkeel"
install -D -m 755 "$binary" "$tree/usr/bin/evenkeel"
for half in server agent; do
    install -D -m 644 "packaging/systemd/evenkeel-$half.service" "$tree/lib/systemd/system/evenkeel-$half.service"
    install -m 644 "packaging/$half.yaml" "$tree/etc/evenkeel/$half.yaml"
done
install -m 644 packaging/debian/copyright "$tree/usr/share/doc/evenkeel/copyright"
# 9 and n: the policy's level, and no name or date in it.
printf 'evenkeel (%s) unstable; urgency=medium\n\n  * Built from the sources of this version.\n\n -- Evenkeel <root@localhost>  %s\n' \
    "$version" "$(date -u -R -d "@$SOURCE_DATE_EPOCH")" | gzip -9n >"$tree/usr/share/doc/evenkeel/changelog.gz"

printf '/etc/evenkeel/%s.yaml\n' agent server >"$tree/DEBIAN/conffiles"
for script in postinst prerm postrm; do
    install -m 755 "packaging/debian/$script" "$tree/DEBIAN/$script"
done
(cd "$tree" && find usr lib -type f | sort | xargs md5sum) >"$tree/DEBIAN/md5sums"
# By apparent size, rounded up: `du` would count what this file system makes of it.
size=$(find "$tree" -type f -printf '%s\n' | awk '{ kib += int(($1 + 1023) / 1024) } END { print kib }')
sed -e "s/@VERSION@/$version/" -e "s/@ARCH@/$arch/" -e "s/@SIZE@/$size/" packaging/debian/control >"$tree/DEBIAN/control"
find "$tree" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +

# One thread: how xz divides its work among several would show in the bytes.
dpkg-deb --root-owner-group -Zxz -z6 --threads-max=1 --build "$tree" "$out/evenkeel_${version}_$arch.deb" >/dev/null
echo "$out/evenkeel_${version}_$arch.deb"
