#!/bin/sh
# Lists the public items of the codec in docs/public-api/mqtt-proto.txt, so that a change of them shows in a diff:
# `scripts/public-api.sh` writes the list, `scripts/public-api.sh --check` fails if it is not the one that is there.
# Needs cargo-public-api (`cargo install cargo-public-api --locked`; 0.52 made the list) and a nightly toolchain, which it
# asks for a description of the documentation. What every type has (blanket and automatic implementations) is left out.
set -eu
cd "$(dirname "$0")/.."
list=docs/public-api/mqtt-proto.txt
command -v cargo-public-api >/dev/null || {
    echo "cargo-public-api is missing: cargo install cargo-public-api --locked" >&2
    exit 1
}
rustup run nightly rustc --version >/dev/null 2>&1 || {
    echo "a nightly toolchain is missing: rustup toolchain install nightly --profile minimal" >&2
    exit 1
}
fresh=$(mktemp)
trap 'rm -f "$fresh"' EXIT
cargo +nightly public-api -p mqtt-proto --all-features -ss >"$fresh"
if [ "${1:-}" = --check ]; then
    diff -u "$list" "$fresh" && echo "$list is up to date"
else
    mkdir -p "$(dirname "$list")"
    cp "$fresh" "$list"
    echo "$(wc -l <"$list") lines in $list"
fi
