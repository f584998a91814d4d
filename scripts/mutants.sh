#!/bin/sh
# Mutants of the codec: `scripts/mutants.sh [OPTIONS OF CARGO MUTANTS]`, for instance `--sharding round-robin --shard 0/8`
# or `-f '**/text.rs'`. `scripts/mutants.sh router` takes those of the router. Results: target/mutants/mutants.out.
# `scripts/mutants.sh session` takes those of the engine, from one build (tools/mutants says how): a quarter of an hour. Results:
# target/mutants-session, among them left.txt with the few that need a build each: `scripts/mutants.sh session left` runs
# these, and the next `scripts/mutants.sh session` takes their results over, and runs again only what tests did not find.
# A copy of the crate is mutated that has the tests that find mutants fast: four times as fast as the whole. Needs
# cargo-mutants (`cargo install cargo-mutants --locked`).
set -eu
cd "$(dirname "$0")/.."
repository=$PWD
target=${CARGO_TARGET_DIR:-$PWD/target}
unset CARGO_TARGET_DIR

# The copy of $1 without tests. Whether cargo finds its tests by itself is said by $2.
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
autotests = $2
[workspace]
[profile.dev]
debug = 0
TOML
}

case "${1:-}" in
session)
    shift
    target=$target/mutants-session
    copy_of mqtt-session false
    cat >>"$target/copy/Cargo.toml" <<TOML
opt-level = 1
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
rsasl = { version = "2.3", default-features = false, features = ["config_builder", "provider", "scram-sha-2"] }
sha2 = { version = "0.10", default-features = false }
[[test]]
name = "all"
path = "tests/all.rs"
TOML
    # Without the test of the log, which is a program of its own. Drawn tests are short, and draw the same each time.
    cp -r mqtt-session/tests/* "$target/copy/tests"
    rm -rf "$target/fuzz"
    mkdir "$target/fuzz"
    cp -r fuzz/corpus "$target/fuzz"
    cd "$target/copy/tests"
    rm log.rs
    sed -i 's/cases: 1_500/cases: 300/' operations.rs
    sed -i 's/ROUNDS: u16 = 10_000/ROUNDS: u16 = 30/' allocations.rs
    sed -i 's/0\.\.4_000/0..200/; s/> 5_000/> 200/g' persistence.rs
    cd "$repository"
    skip="--skip a_session_that_does_not_expire_is_waited_for --skip a_hundred_thousand_different_times"
    if [ "${1:-}" != left ]; then
        CARGO_TARGET_DIR="$target/tool" cargo build --quiet --release --manifest-path tools/mutants/Cargo.toml
        # What is only there to plant defects, or to compare states, is not mutated.
        exec "$target/tool/release/mutants" "$target/copy" "$target" $skip \
            -- --lib --test all -- -e '**/planted.rs' -e '**/digest.rs' "$@"
    fi
    # Those that were left, one build each. The copy is mutated where it lies, so that what it depends on is built once.
    printf '[profile.dev.package.mqtt-session]\nopt-level = 0\n' >>"$target/copy/Cargo.toml"
    export CARGO_TARGET_DIR="$target/build-left"
    # Deleted fields are run whatever the expression says, thus only the files are named that are needed.
    left=$(sed 's/[][\\.*^$+?{}|()]/\\&/g; s/^/^/; s/$/$/' "$target/left.txt" | paste -sd '|')
    files=$(cut -d : -f 1 "$target/left.txt" | sort -u | sed 's/^/-f /')
    exec cargo mutants --in-place -d "$target/copy" -o "$target" --timeout 60 $files --re "$left" \
        -- --lib --test all -- $skip
    ;;
router)
    shift
    target=$target/mutants
    copy_of mqtt-proto true
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
    copy_of mqtt-proto true
    printf '[features]\ndefault = ["alloc"]\nalloc = []\n' >>"$target/copy/Cargo.toml"
    cp -r mqtt-proto/tests/strict mqtt-proto/tests/support mqtt-proto/tests/exhaustive.rs "$target/copy/tests"
    # Two tests that go through millions of inputs are left out.
    exec cargo mutants -d "$target/copy" -o "$target" --timeout 60 -e '**/router.rs' "$@" \
        -- -- --skip every_length_prefix --skip every_single_byte_replacement
    ;;
esac
