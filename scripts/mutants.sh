#!/bin/sh
# Mutants of the codec: `scripts/mutants.sh [OPTIONS OF CARGO MUTANTS]`, for instance `--sharding round-robin --shard 0/8`
# or `-f '**/text.rs'`. `scripts/mutants.sh router` takes those of the router. Results: target/mutants/mutants.out.
# A copy of the crate is mutated that has the tests that find mutants fast, and is not optimised: four times as fast
# as the whole. Needs cargo-mutants (`cargo install cargo-mutants --locked`).
set -eu
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-$PWD/target}/mutants
rm -rf "$target/copy"
mkdir -p "$target/copy/tests"
cp -r mqtt-proto/src "$target/copy"
cd mqtt-proto/tests
cat >"$target/copy/Cargo.toml" <<'TOML'
[package]
name = "mqtt-proto"
version = "0.0.0"
edition = "2024"
[features]
alloc = []
default = ["alloc"]
[profile.dev]
debug = 0
[workspace]
TOML
unset CARGO_TARGET_DIR
if [ "${1:-}" = router ]; then
    shift
    cp router.rs "$target/copy/tests"
    printf '[dev-dependencies]\nproptest = { version = "1", default-features = false, features = ["std"] }\n' >>"$target/copy/Cargo.toml"
    sed -i 's/^debug = 0/&\nopt-level = 1/' "$target/copy/Cargo.toml"
    exec cargo mutants -d "$target/copy" -o "$target" --timeout 60 -f '**/router.rs' "$@" -- --test router
fi
cp -r strict support exhaustive.rs "$target/copy/tests"
# Two tests that go through millions of inputs are left out.
exec cargo mutants -d "$target/copy" -o "$target" --timeout 60 -e '**/router.rs' "$@" \
    -- -- --skip every_length_prefix --skip every_single_byte_replacement
