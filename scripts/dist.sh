#!/bin/sh
# Static binaries for other machines: dist/evenkeel-VERSION-linux-ARCH.tar.gz, each with its units,
# its install script and the licence, and dist/SHA256SUMS. Called by `make dist`.
#
# Built twice from one commit, in whatever folder, the bytes are the same: paths are left out of the
# binary, and dates are those of the commit (or SOURCE_DATE_EPOCH). An architecture whose compiler,
# target or libraries are not here is named with what it lacks, and left out; this machine's own is
# never left out.
set -eu
LC_ALL=C
export LC_ALL
umask 022

cd "$(dirname "$0")/.."
root=$(pwd -P)
out=$root/dist
target_dir=$root/target/dist
cargo_home=${CARGO_HOME:-$HOME/.cargo}
case $root$cargo_home in
*[[:space:]]*)
    echo "error: the path of the sources or of Cargo's home has a space in it, which C compilers' flags cannot take" >&2
    exit 1
    ;;
esac

# shellcheck source=scripts/epoch.sh
. scripts/epoch.sh
version=$(sh scripts/version.sh)

# What the build of an architecture lacks, one a line; nothing if it can be built.
missing() { # ARCH CC
    rustc_target=$1-unknown-linux-gnu
    if ! [ -d "$(rustc --print sysroot)/lib/rustlib/$rustc_target" ]; then
        echo "the Rust target: rustup target add $rustc_target"
    fi
    if ! command -v "$2" >/dev/null 2>&1; then
        echo "a C compiler, $2: Debian's gcc-$(echo "$1" | tr _ -)-linux-gnu"
    fi
    if ! [ -e "$(openssl_dir "$1")/libssl.a" ]; then
        echo "OpenSSL's static library, $(openssl_dir "$1")/libssl.a: Debian's libssl-dev:$(debian_arch "$1"), or OPENSSL_LIB_DIR_$1"
    fi
}

debian_arch() {
    case $1 in
    x86_64) echo amd64 ;;
    aarch64) echo arm64 ;;
    *) echo "$1" ;;
    esac
}

openssl_dir() {
    eval "given=\${OPENSSL_LIB_DIR_$1:-}"
    # shellcheck disable=SC2154 # by eval
    echo "${given:-/usr/lib/$1-linux-gnu}"
}

build() { # ARCH CC
    rustc_target=$1-unknown-linux-gnu
    env_target=$(echo "$rustc_target" | tr - _)
    linker=CARGO_TARGET_$(echo "$env_target" | tr '[:lower:]' '[:upper:]')_LINKER
    # Flags of one's own would be other bytes.
    unset RUSTFLAGS CFLAGS
    us=$(printf '\037')
    flags="-Ctarget-feature=+crt-static"
    flags="$flags$us--remap-path-prefix=$root=/evenkeel"
    flags="$flags$us--remap-path-prefix=$cargo_home=/cargo"
    # Relocations in a tenth of the room, which the binary's start reads whole: glibc can since 2.36.
    if [ "$(printf '%s\n' 2.36 "$(getconf GNU_LIBC_VERSION | cut -d' ' -f2)" | sort -V | head -n1)" = 2.36 ]; then
        flags="$flags$us-Clink-arg=-Wl,-z,pack-relative-relocs"
    fi
    # With the folders named, openssl-sys links the archive; by pkg-config it would take what is
    # under /usr as shared. zlib, libssh2, libgit2 and SQLite are built from their crates.
    env \
        CARGO_INCREMENTAL=0 \
        CARGO_ENCODED_RUSTFLAGS="$flags" \
        "$linker=$2" \
        "CC_$env_target=$2" \
        "CFLAGS_$env_target=-ffile-prefix-map=$root=/evenkeel -ffile-prefix-map=$cargo_home=/cargo" \
        OPENSSL_STATIC=1 \
        OPENSSL_LIB_DIR="$(openssl_dir "$1")" \
        OPENSSL_INCLUDE_DIR=/usr/include \
        LIBZ_SYS_STATIC=1 \
        cargo build --profile dist --locked --bin evenkeel --target "$rustc_target" --target-dir "$target_dir"
}

# One folder of everything, sorted, with one owner and one date: the same bytes each time.
pack() { # ARCH
    name=evenkeel-$version-linux-$1
    tree=$work/$name
    mkdir -p "$tree/systemd"
    install -m 755 "$target_dir/$1-unknown-linux-gnu/dist/evenkeel" "$tree/evenkeel"
    install -m 755 packaging/install.sh "$tree/install.sh"
    install -m 644 packaging/systemd/*.service "$tree/systemd/"
    install -m 644 packaging/server.yaml packaging/agent.yaml LICENSE "$tree/"
    (cd "$tree" && sha256sum evenkeel >SHA256SUMS)
    tar --sort=name --format=gnu --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner \
        -C "$work" -cf - "$name" | gzip -9n >"$out/$name.tar.gz"
}

# A static binary of this machine that does not start, or asks for a loader, is no result.
check() { # BINARY
    if readelf -lW "$1" | grep -q INTERP; then
        echo "error: $1 is not static: it asks for a dynamic loader" >&2
        exit 1
    fi
    found=$("$1" --version)
    if [ "$found" != "evenkeel $version" ]; then
        echo "error: $1 says \"$found\", not \"evenkeel $version\"" >&2
        exit 1
    fi
}

here=$(uname -m)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
rm -rf "$out"
mkdir -p "$out"
for arch in x86_64 aarch64; do
    cc=$arch-linux-gnu-gcc
    if [ "$arch" = "$here" ]; then
        cc=cc
    fi
    lacks=$(missing "$arch" "$cc")
    if [ -n "$lacks" ]; then
        if [ "$arch" = "$here" ]; then
            echo "error: the build for this machine, $arch, lacks:" >&2
            echo "$lacks" | sed 's/^/  /' >&2
            exit 1
        fi
        echo "left out $arch, which lacks:"
        echo "$lacks" | sed 's/^/  /'
        continue
    fi
    build "$arch" "$cc"
    if [ "$arch" = "$here" ]; then
        check "$target_dir/$arch-unknown-linux-gnu/dist/evenkeel"
    fi
    pack "$arch"
done
(cd "$out" && sha256sum evenkeel-*.tar.gz >SHA256SUMS && cat SHA256SUMS)
