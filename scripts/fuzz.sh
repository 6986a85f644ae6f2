#!/bin/sh
# Fuzzes every target for so many seconds, 60 by default, or those that are named: scripts/fuzz.sh 1200 frames messages
# After ten million inputs a target has had enough.
#
# What a target starts from is in fuzz/corpus, made from the golden messages and the configurations, and grows there. An input that
# fails is written to fuzz/artifacts: put it into fuzz/regressions/TARGET, where a test reads it from then on, and mend what fails.
set -eu
cd "$(dirname "$0")/.."
cargo=${CARGO:-cargo}
seconds=${1:-60}
[ $# -eq 0 ] || shift

say() { echo "fuzz: $*"; }

if ! $cargo fuzz --version >/dev/null 2>&1; then
    say "skipped, cargo-fuzz is not installed (cargo install --locked cargo-fuzz)"
    exit 0
fi
if ! $cargo +nightly --version >/dev/null 2>&1; then
    say "skipped, there is no nightly compiler (rustup toolchain install nightly)"
    exit 0
fi

unhex() { sed 's/#.*//' "$1" | xxd -r -p; }

targets=${*:-$(ls fuzz/fuzz_targets | sed 's/\.rs$//')}
for target in $targets; do
    corpus=fuzz/corpus/$target
    mkdir -p "$corpus"
    case $target in
        frames | messages | survey | streams | socket)
            for text in tests/golden/*/*.hex; do
                unhex "$text" > "$corpus/$(basename "$(dirname "$text")")-$(basename "$text" .hex)"
            done
            ;;
        configuration) cp configs/*.toml "$corpus" ;;
    esac
    [ ! -d "fuzz/regressions/$target" ] || cp "fuzz/regressions/$target"/* "$corpus"
    say "$target for $seconds seconds"
    $cargo +nightly fuzz run "$target" -- -max_total_time="$seconds" -runs=10000000 -max_len=65536 -timeout=20 -rss_limit_mb=2048 -print_final_stats=1
done
