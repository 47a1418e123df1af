#!/bin/sh
# Installs Evenkeel on a machine with systemd, or removes it. See --help. Safe to run again: what is
# right stays, settings are never written over.
set -eu
umask 022

usage() {
    cat <<'END'
Usage: install.sh [OPTIONS]

Installs the binary, its units and its folders. Starts nothing without --start.

  --server                       this machine runs the server
  --agent --server HOST:PORT     this machine is a node of that server
  --token-file FILE              its token (`evenkeel token create` on the server), for --agent
  --from FILE                    the binary, or evenkeel-VERSION-linux-ARCH.tar.gz
                                 [default: the binary beside this script, else the tarball in dist/]
  --sha256 HEX                   its checksum [default: what SHA256SUMS beside it says]
  --start                        enable the unit and start it
  --root DIR                     put everything under DIR, and leave systemd alone
  --uninstall                    stop the units, remove them and the binary; containers run on, and
                                 /etc/evenkeel and /var/lib/evenkeel stay
  --help

Example:
  install.sh --from evenkeel-0.1.0-linux-x86_64.tar.gz --agent --server 10.0.0.1:7443 --token-file token --start
END
}

fail() { # MESSAGE [HINT]
    echo "error: $1" >&2
    [ -z "${2:-}" ] || echo "hint: $2" >&2
    exit 1
}

wrong() {
    echo "error: $1" >&2
    usage >&2
    exit 2
}

here=$(cd "$(dirname "$0")" && pwd -P)
half=""
server=""
server_flag=no
token_file=""
from=""
sha256=""
start=no
root=""
uninstall=no
while [ "$#" -gt 0 ]; do
    case $1 in
    --agent) half=agent ;;
    --server)
        server_flag=yes
        case ${2:-} in
        "" | --*) ;;
        *)
            server=$2
            shift
            ;;
        esac
        ;;
    --start) start=yes ;;
    --uninstall) uninstall=yes ;;
    --help | -h)
        usage
        exit 0
        ;;
    --token-file | --from | --sha256 | --root)
        [ -n "${2:-}" ] || wrong "$1 needs a value"
        case $1 in
        --token-file) token_file=$2 ;;
        --from) from=$2 ;;
        --sha256) sha256=$2 ;;
        --root) root=${2%/} ;;
        esac
        shift
        ;;
    *) wrong "unknown argument $1" ;;
    esac
    shift
done
if [ "$half" = agent ]; then
    [ -n "$server" ] || [ "$uninstall" = yes ] || wrong "--agent needs --server HOST:PORT"
elif [ "$server_flag" = yes ]; then
    half=server
    [ -z "$server" ] || wrong "--server takes an address with --agent alone"
fi
[ -z "$token_file" ] || [ "$half" = agent ] || wrong "--token-file is for --agent"
[ "$start" = no ] || [ -n "$half" ] || wrong "--start needs --server or --agent"
[ "$start" = no ] || [ -z "$root" ] || wrong "--start and --root exclude each other"
case $server in
*[!A-Za-z0-9.:_-]*)
    case $server in
    \[*\]:*) ;;
    *) wrong "$server is not HOST:PORT" ;;
    esac
    ;;
esac
case $server in
*[\"\\\']*) wrong "$server is not HOST:PORT" ;;
esac

bin=$root/usr/local/bin/evenkeel
units=$root/etc/systemd/system
etc=$root/etc/evenkeel
data=$root/var/lib/evenkeel
systemd=no
[ -n "$root" ] || [ ! -d /run/systemd/system ] || systemd=yes
if [ -z "$root" ]; then
    [ "$(id -u)" = 0 ] || fail "only root can install for the machine" "sudo $0, or --root DIR to try it"
    # Units in /etc would hide those of the package, with another binary.
    [ ! -e /usr/bin/evenkeel ] || fail "the Debian package is installed" "apt-get remove evenkeel"
fi

if [ "$uninstall" = yes ]; then
    removed=no
    for unit in evenkeel-agent.service evenkeel-server.service; do
        [ -e "$units/$unit" ] || continue
        [ "$systemd" = no ] || systemctl disable --now "$unit"
        rm -f "$units/$unit"
        echo "removed $units/$unit"
        removed=yes
    done
    [ "$systemd" = no ] || systemctl daemon-reload
    if [ -e "$bin" ]; then
        rm -f "$bin"
        echo "removed $bin"
        removed=yes
    fi
    [ "$removed" = yes ] || echo "nothing was installed"
    for dir in "$etc" "$data"; do
        [ ! -d "$dir" ] || echo "kept $dir"
    done
    exit 0
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# --- the binary, its checksum first
machine=$(uname -m)
if [ -z "$from" ]; then
    if [ -f "$here/evenkeel" ]; then
        from=$here/evenkeel
    else
        for tarball in "$here"/../dist/evenkeel-*-linux-"$machine".tar.gz; do
            [ -f "$tarball" ] || continue
            [ -z "$from" ] || fail "there are several tarballs in dist" "name one by --from"
            from=$tarball
        done
    fi
    [ -n "$from" ] || fail "there is no binary beside this script, and none in dist" "--from FILE"
fi
[ -f "$from" ] || fail "there is no file $from"
if [ -z "$sha256" ]; then
    sums=$(dirname "$from")/SHA256SUMS
    [ -f "$sums" ] || fail "$from has no SHA256SUMS beside it" "--sha256 HEX says its checksum"
    sha256=$(awk -v name="$(basename "$from")" '$2 == name || $2 == "*" name { print $1 }' "$sums")
    [ -n "$sha256" ] || fail "$sums does not list $(basename "$from")"
fi
found=$(sha256sum <"$from")
found=${found%% *}
[ "$found" = "$sha256" ] || fail "$from has the checksum $found, not $sha256: it is damaged or another file"
case $from in
*.tar.gz)
    tar -xzf "$from" -C "$work" --strip-components=1 --no-same-owner
    binary=$work/evenkeel
    [ -f "$binary" ] || fail "$from has no binary in it"
    ;;
*) binary=$from ;;
esac

# What is there already with the same bytes stays as it is.
put() { # MODE FROM TO
    if [ -f "$3" ] && cmp -s "$2" "$3" && [ "$(stat -c %a "$3")" = "$1" ]; then
        echo "unchanged $3"
        return
    fi
    # Beside it and then renamed: a binary that runs cannot be written to, and no half file is seen.
    install -m "$1" "$2" "$3.new"
    mv -f "$3.new" "$3"
    echo "installed $3"
}

install -d -m 755 "$(dirname "$bin")" "$units" "$etc"
install -d -m 700 "$data"
put 755 "$binary" "$bin"

# --- units and settings
if [ -d "$here/systemd" ]; then parts=$here; else parts=$work; fi
for name in server agent; do
    [ -f "$parts/systemd/evenkeel-$name.service" ] || fail "the units are not beside this script and not in $from"
    sed 's#/usr/bin/evenkeel#/usr/local/bin/evenkeel#' "$parts/systemd/evenkeel-$name.service" >"$work/unit"
    put 644 "$work/unit" "$units/evenkeel-$name.service"
    [ -e "$etc/$name.yaml" ] || put 644 "$parts/$name.yaml" "$etc/$name.yaml"
done
if [ "$half" = agent ]; then
    if grep -q '^server:' "$etc/agent.yaml"; then
        grep -qxF "server: \"$server\"" "$etc/agent.yaml" ||
            fail "$etc/agent.yaml names another server already" "change its key \`server\` to $server there"
    else
        cp "$etc/agent.yaml" "$work/agent.yaml"
        printf '\nserver: "%s"\n' "$server" >>"$work/agent.yaml"
        put 644 "$work/agent.yaml" "$etc/agent.yaml"
    fi
    [ -z "$token_file" ] || put 600 "$token_file" "$etc/token"
fi

# --- systemd
[ "$systemd" = no ] || systemctl daemon-reload
if [ "$start" = yes ]; then
    [ "$systemd" = yes ] || fail "systemd does not run here" "$bin $half --config $etc/$half.yaml"
    systemctl enable "evenkeel-$half.service"
    # Not `start`: one that runs already goes on with the new binary. No container is restarted.
    systemctl restart "evenkeel-$half.service"
    echo "started evenkeel-$half.service"
elif [ -n "$half" ]; then
    echo "next: systemctl enable --now evenkeel-$half"
fi
