#!/bin/sh
# Mutants of the codec: `scripts/mutants.sh [OPTIONS OF CARGO MUTANTS]`, for instance `--sharding round-robin --shard 0/8`
# or `-f '**/text.rs'`. `scripts/mutants.sh router` takes those of the router, `scripts/mutants.sh session` those of the
# engine. Results: target/mutants/mutants.out, or target/mutants-session/mutants.out.
# A copy of the crate is mutated that has the tests that find mutants fast, and is not optimised: four times as fast
# as the whole. Needs cargo-mutants (`cargo install cargo-mutants --locked`).
set -eu
cd "$(dirname "$0")/.."
repository=$PWD
target=${CARGO_TARGET_DIR:-$PWD/target}
unset CARGO_TARGET_DIR

# The copy of $1 without tests.
copy_of() {
    rm -rf "$target/copy"
    mkdir -p "$target/copy/tests"
    cp -r "$1/src" "$target/copy"
    if [ -d "$1/docs" ]; then cp -r "$1/docs" "$target/copy"; fi
    cat >"$target/copy/Cargo.toml" <<TOML
[package]
name = "$1"
version = "0.0.0"
edition = "2024"
autotests = false
[workspace]
[profile.dev]
debug = 0
TOML
}

case "${1:-}" in
session)
    shift
    target=$target/mutants-session
    copy_of mqtt-session
    cat >>"$target/copy/Cargo.toml" <<TOML
opt-level = 1
[profile.dev.package.mqtt-session]
opt-level = 0
[features]
default = ["std"]
alloc = ["dep:bytes", "mqtt-proto/alloc"]
std = ["alloc"]
log = []
defmt = []
[dependencies]
mqtt-proto = { path = "$repository/mqtt-proto" }
bytes = { version = "1", optional = true }
[dev-dependencies]
allocation-counter = "0.8"
bytes = "1"
proptest = { version = "1", default-features = false, features = ["std"] }
[[test]]
name = "all"
path = "tests/all.rs"
TOML
    # Without the tests of the log and of SCRAM, which need more crates. Drawn tests are short, and draw the same each time.
    cp -r mqtt-session/tests/* "$target/copy/tests"
    cd "$target/copy/tests"
    rm log.rs scram.rs
    sed -i '/^mod scram;$/d' all.rs
    sed -i "s|Path::new(env!(\"CARGO_MANIFEST_DIR\")).join(\"../fuzz|Path::new(\"$repository\").join(\"fuzz|" fuzz_corpus.rs
    sed -i 's/cases: 1_500/cases: 300/' operations.rs
    sed -i 's/ROUNDS: u16 = 10_000/ROUNDS: u16 = 30/' allocations.rs
    sed -i 's/0\.\.4_000/0..200/; s/> 5_000/> 200/g' persistence.rs
    # The copy is mutated where it lies, so that what it depends on is built once and for all runs.
    export CARGO_TARGET_DIR="$target/build"
    exec cargo mutants --in-place -d "$target/copy" -o "$target" --timeout 60 "$@" -- --lib --test all \
        -- --skip a_session_that_does_not_expire_is_waited_for --skip a_hundred_thousand_different_times
    ;;
router)
    shift
    target=$target/mutants
    copy_of mqtt-proto
    cat >>"$target/copy/Cargo.toml" <<TOML
opt-level = 1
[features]
default = ["alloc"]
alloc = []
[dev-dependencies]
proptest = { version = "1", default-features = false, features = ["std"] }
TOML
    cp mqtt-proto/tests/router.rs "$target/copy/tests"
    exec cargo mutants -d "$target/copy" -o "$target" --timeout 60 -f '**/router.rs' "$@" -- --test router
    ;;
*)
    target=$target/mutants
    copy_of mqtt-proto
    printf '[features]\ndefault = ["alloc"]\nalloc = []\n' >>"$target/copy/Cargo.toml"
    cp -r mqtt-proto/tests/strict mqtt-proto/tests/support mqtt-proto/tests/exhaustive.rs "$target/copy/tests"
    # Two tests that go through millions of inputs are left out.
    exec cargo mutants -d "$target/copy" -o "$target" --timeout 60 -e '**/router.rs' "$@" \
        -- -- --skip every_length_prefix --skip every_single_byte_replacement
    ;;
esac
