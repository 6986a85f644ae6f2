#!/bin/sh
# Fails when the `plugin` feature's dependency tree, plugbus itself and what builds it counted, passes its budget.
# A plugin author pays for each of these crates: raising the number is a decision, not a fix.
set -eu
cd "$(dirname "$0")/.."
budget=40

tree=$(${CARGO:-cargo} tree --locked --no-default-features --features plugin --edges normal,build --prefix none --format '{p}')
crates=$(printf '%s\n' "$tree" | cut -d ' ' -f 1,2 | sort -u)
count=$(printf '%s\n' "$crates" | wc -l | tr -d ' ')

if [ "$count" -gt "$budget" ]; then
    printf '%s\n' "$crates" >&2
    echo "dependency budget: the plugin feature needs $count crates, at most $budget are allowed" >&2
    exit 1
fi
echo "dependency budget: the plugin feature needs $count crates, at most $budget are allowed"
