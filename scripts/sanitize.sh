#!/bin/sh
# Runs the library's tests under the address sanitizer: all `unsafe` code of the project with real sockets and real children.
#
# Miri runs none of it: it knows neither NNG's C code nor fork. NNG itself is compiled as ever.
set -eu
cd "$(dirname "$0")/.."
cargo=${CARGO:-cargo}

if ! $cargo +nightly --version >/dev/null 2>&1; then
    echo "sanitize: skipped, there is no nightly compiler (rustup toolchain install nightly)"
    exit 0
fi
host=$($cargo +nightly --version --verbose | sed -n 's/^host: //p')
# Children that are killed leave everything; what leaks in a process that goes on, the soak benchmark finds.
ASAN_OPTIONS=detect_leaks=0 RUSTFLAGS=-Zsanitizer=address \
    $cargo +nightly test --locked --lib --target "$host" --target-dir target/sanitize "$@"
