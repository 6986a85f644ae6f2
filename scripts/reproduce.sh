#!/bin/sh
# Builds the committed sources for release twice, in folders of different names, and compares the programs.
#
# What is compared is what anybody gets who runs this with the same compiler, linker and C library: folders are
# replaced by fixed names in both languages, and times by that of the commit.
set -eu
cd "$(dirname "$0")/.."
cargo=${CARGO:-cargo}
place=${1:-target/reproduce}
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
home=${CARGO_HOME:-$HOME/.cargo}

say() { echo "reproduce: $*"; }

build() {
    folder=$place/$1
    rm -rf "$folder"
    mkdir -p "$folder"
    git archive HEAD | tar -x -C "$folder"
    folder=$(cd "$folder" && pwd)
    flags="-ffile-prefix-map=$folder=/plugbus -ffile-prefix-map=$home=/cargo"
    say "building in $folder"
    (
        cd "$folder"
        # Neither is read from outside: what is set there would be part of the result.
        RUSTFLAGS="--remap-path-prefix=$folder=/plugbus --remap-path-prefix=$home=/cargo" \
            CFLAGS="$flags" CARGO_TARGET_DIR="$folder/target" CARGO_INCREMENTAL=0 \
            "$cargo" build --locked --release --quiet
    )
}

sum() { sha256sum "$place/$1/target/release/$2" | cut -d ' ' -f 1; }

build one
build another-with-a-longer-name
failed=0
for program in plugbus plugbus-text; do
    one=$(sum one "$program")
    if [ "$one" = "$(sum another-with-a-longer-name "$program")" ]; then
        say "$program is the same both times: $one"
    else
        say "$program differs: compare them with diffoscope in $place"
        failed=1
    fi
done
exit $failed
