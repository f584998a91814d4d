#!/bin/sh
# Branch coverage of a crate by its own tests: `scripts/coverage.sh [CRATE] [report|show] [FILE]`, of mqtt-proto where none
# is named. Needs llvm-22 (`apt-get install llvm-22`) and no further tool.
set -eu
cd "$(dirname "$0")/.."
crate=mqtt-proto
case "${1:-}" in mqtt-*)
    crate=$1
    shift
    ;;
esac
target=${CARGO_TARGET_DIR:-$PWD/target}/coverage
rm -rf "$target/raw"
export RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR="$target" CARGO_INCREMENTAL=0
export RUSTFLAGS="-Cinstrument-coverage -Zcoverage-options=branch --cfg coverage"
export LLVM_PROFILE_FILE="$target/raw/%p-%m.profraw"
binaries=$(cargo test -p "$crate" --lib --tests --no-run --message-format=json |
    sed -n 's/.*"executable":"\([^"]*\)".*/\1/p')
# Tests look for their files from the folder of the crate.
for binary in $binaries; do (cd "$crate" && "$binary" --quiet >/dev/null); done
llvm-profdata-22 merge -sparse "$target"/raw/*.profraw -o "$target/$crate.profdata"
first=$(echo "$binaries" | head -1)
objects=$(echo "$binaries" | tail -n +2 | sed 's/^/-object /')
llvm-cov-22 "${1:-report}" "$first" $objects -instr-profile="$target/$crate.profdata" "${2:-$crate/src}"
