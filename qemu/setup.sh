#!/bin/sh
# Installs what building and testing need and is not there yet: the pinned Rust target, Miri of the newest nightly
# Rust, QEMU 9 or newer, dtc, a C++ compiler for the fuzzer.
# Quick when everything is there. Needs a package manager (apt) and rustup; says so when one is missing.
set -eu
cd "$(dirname "$0")/.."

say() { printf 'setup: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

# The toolchain file lists the channel, the components and the target. rustup may be told not to install
# anything by itself (RUSTUP_AUTO_INSTALL=0), so ask; --no-self-update, because a bare install may replace rustup.
command -v rustup >/dev/null || die "rustup is missing: install it first (your distribution's package or rustup's own installer)"
channel=$(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)
targets=$(rustup target list --toolchain "$channel" --installed 2>/dev/null || true)
if ! echo "$targets" | grep -q '^aarch64-unknown-none-softfloat$' ||
   ! echo "$targets" | grep -q '^aarch64-unknown-linux-musl$' ||
   ! rustup component list --toolchain "$channel" --installed 2>/dev/null | grep -q '^clippy'; then
    say "installing Rust $channel with its targets"
    rustup toolchain install --no-self-update >&2
fi

# Miri exists for nightly only. rustup takes the newest nightly that has it.
if ! rustup component list --toolchain nightly --installed 2>/dev/null | grep -q '^miri' ||
   ! rustup component list --toolchain nightly --installed 2>/dev/null | grep -q '^rust-src'; then
    say "installing Miri with nightly Rust"
    # Without it the rest can still be built and tested: the step that needs it fails and says so.
    rustup toolchain install nightly --profile minimal -c miri,rust-src --no-self-update >&2 ||
        say "nightly Rust with Miri cannot be installed: the step Miri will fail"
fi

qemu_major() { qemu-system-aarch64 --version 2>/dev/null | sed -n 's/^QEMU emulator version \([0-9]*\).*/\1/p'; }
need_qemu=0
[ "$(qemu_major || true)" ] && [ "$(qemu_major)" -ge 9 ] || need_qemu=1
need_dtc=0
command -v dtc >/dev/null || need_dtc=1
need_cxx=0
command -v c++ >/dev/null || need_cxx=1
[ "$need_qemu$need_dtc$need_cxx" = 000 ] && exit 0

command -v apt-get >/dev/null || die "install QEMU 9 or newer (qemu-system-aarch64) and the device-tree compiler (dtc) yourself: no apt here"
as_root apt-get update -q >&2
if [ "$need_dtc" = 1 ]; then
    say "installing the device-tree compiler"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends device-tree-compiler >&2
fi
if [ "$need_cxx" = 1 ]; then
    say "installing a C++ compiler, for the fuzzer"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends g++ libc6-dev >&2
fi
if [ "$need_qemu" = 1 ]; then
    . /etc/os-release
    release=
    if [ "${ID:-}" = debian ] && [ "${VERSION_CODENAME:-}" = bookworm ]; then
        # Bookworm's own QEMU is 7.2; its backports have 9 and later. Same mirror as the machine already uses.
        release=bookworm-backports
        if ! apt-cache policy | grep -q "$release"; then
            mirror=$(sed -n 's/^URIs: *//p; s/^deb \(\[[^]]*\] \)\{0,1\}\([^ ]*\) bookworm .*/\2/p' \
                /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null |
                grep '/debian/*$' | head -n 1)
            [ "$mirror" ] || die "cannot find the Debian mirror of this machine: add $release to its apt sources"
            echo "deb $mirror $release main" | as_root tee /etc/apt/sources.list.d/portunus-backports.list >/dev/null
            as_root apt-get update -q >&2
        fi
    fi
    say "installing QEMU"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
        ${release:+-t "$release"} qemu-system-arm >&2
fi
[ "$(qemu_major || echo 0)" -ge 9 ] || die "QEMU $(qemu_major) is too old: version 9 or newer is needed"
