#!/bin/sh
# Checks what is needed to build ("build") or to build and test ("test") plugbus, and installs what is missing
# with the system's package manager where it may; else prints the command to run and fails. Run by make.
# shellcheck disable=SC2086 # commands and lists of packages are lists of words here
set -eu
cd "$(dirname "$0")/.."
purpose=${1:-test}
venv=target/venv
requirements=examples/python/requirements.txt

say() { echo "setup: $*" >&2; }
fail() { say "$@"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# A compiler without the C library's headers is common in small images.
compiles() { printf '#include <stdio.h>\nint main(void) { return 0; }\n' | cc -x c - -o /dev/null 2>/dev/null; }

# What is missing, by our names; package() knows each system's.
missing() {
    compiles || echo cc
    have cmake || echo cmake
    [ "$purpose" = test ] || return 0
    have bash || echo bash
    # Debian splits ensurepip off: a venv made without it has no pip.
    python3 -c 'import venv, ensurepip' >/dev/null 2>&1 || echo python
    have nngcat || echo nngcat
    # Not everywhere a package; its tests are skipped where it is missing.
    have nanocat || [ "$(manager)" != apt-get ] || echo nanocat
    have minisign || echo minisign
}

package() {
    case $1:$2 in
        apt-get:cc) echo gcc libc6-dev ;;
        apt-get:python) echo python3 python3-venv ;;
        apt-get:nanocat) echo nanomsg-utils ;;
        apt-get:nngcat | dnf:nngcat) echo nng-utils ;;
        pacman:nngcat | apk:nngcat | brew:nngcat) echo nng ;;
        apk:cc) echo gcc musl-dev ;;
        *:cc) echo gcc ;;
        pacman:python | brew:python) echo python ;;
        *:python) echo python3 ;;
        *) echo "$2" ;;
    esac
}

manager() {
    for candidate in apt-get dnf pacman apk brew; do
        ! have $candidate || { echo $candidate; return; }
    done
}

# Sets `command` to what installs $2... with manager $1.
command_for() {
    with=$1
    shift
    case $with in
        apt-get) command="apt-get install -y --no-install-recommends $*" ;;
        dnf) command="dnf install -y $*" ;;
        pacman) command="pacman -S --noconfirm --needed $*" ;;
        apk) command="apk add $*" ;;
        brew) command="brew install $*" ;;
    esac
}

install() {
    with=$(manager)
    [ "$with" ] || fail "missing: $*. No known package manager here: install them by hand, then run make again."
    case "$with $*" in brew*cc*) fail "missing: a C compiler. Run this, then run make again:
    xcode-select --install" ;; esac
    packages=
    for what in "$@"; do packages="$packages $(package "$with" "$what")"; done
    command_for "$with" $packages

    if [ "$with" = brew ] || [ "$(id -u)" = 0 ]; then
        prefix=
    elif have sudo && sudo -n true 2>/dev/null; then
        prefix="sudo -n "
    else
        fail "missing: $*. Run this, then run make again:
    sudo $command"
    fi
    say "missing: $*. Running: $prefix$command"
    run_install || fail "that failed. Run it by hand to see why:
    $prefix$command"
}

run_install() {
    if [ "$with" != apt-get ]; then
        $prefix$command >&2 </dev/null
        return
    fi
    # No `apt-get update` unless it is needed: a fresh image has no lists, an old one has lists that are out of date.
    apt="${prefix}env DEBIAN_FRONTEND=noninteractive ${command%% *} -qq -o DPkg::Lock::Timeout=120 -o Dpkg::Use-Pty=0"
    $apt ${command#* } >/dev/null 2>&1 </dev/null && return
    ${prefix}apt-get update -qq >&2 </dev/null && $apt ${command#* } >&2 </dev/null
}

# "1.88.0 (..)" -> 1088, to compare
number() { echo "$1" | sed 's/^\([0-9]*\)\.\([0-9]*\).*/\1 \2/' | { read -r major minor; echo $((major * 1000 + minor)); }; }

check_rust() {
    have cargo || fail "no cargo on PATH. Install Rust from https://rustup.rs (if it is installed: . ~/.cargo/env)"
    wanted=$(sed -n 's/^rust-version *= *"\(.*\)"/\1/p' Cargo.toml)
    found=$(rustc --version | cut -d ' ' -f 2)
    [ "$(number "$found")" -ge "$(number "$wanted")" ] ||
        fail "rustc $found is too old, $wanted or later is needed. With rustup: rustup update stable"
    [ "$purpose" = test ] || return 0
    for component in clippy fmt; do
        cargo $component --version >/dev/null 2>&1 && continue
        [ $component = fmt ] && component=rustfmt
        have rustup || fail "cargo has no $component: install it from where your Rust came from (Debian: rust-clippy, rustfmt)"
        say "running: rustup component add $component"
        rustup component add $component >&2 || fail "that failed. Run: rustup component add $component"
    done
}

check_system() {
    list=$(missing)
    [ "$list" ] || return 0
    install $list
    list=$(missing)
    [ -z "$list" ] || fail "still missing after the install:" $list
}

# The stamp is written last and holds what was installed, so that a half-made or outdated venv is made anew.
check_venv() {
    # A Python that was upgraded below the venv leaves it with no packages.
    cmp -s "$requirements" "$venv/installed" && "$venv/bin/python" -c 'import pynng, msgpack' 2>/dev/null && return
    say "making $venv from $requirements"
    mkdir -p target
    python3 -m venv --clear "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$requirements" >&2 ||
        fail "pip could not install $requirements"
    cp "$requirements" "$venv/installed"
}

case $purpose in
    build | test) ;;
    *) fail "usage: scripts/setup.sh [build|test]" ;;
esac
check_rust
check_system
[ "$purpose" = build ] || check_venv
