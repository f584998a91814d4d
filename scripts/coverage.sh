#!/bin/sh
# Branch coverage of mqtt-proto by its tests. Needs llvm-22 (`apt-get install llvm-22`) and no further tool.
set -eu
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-$PWD/target}/coverage
rm -rf "$target/raw"
export RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR="$target" CARGO_INCREMENTAL=0
export RUSTFLAGS="-Cinstrument-coverage -Zcoverage-options=branch --cfg coverage"
export LLVM_PROFILE_FILE="$target/raw/%p-%m.profraw"
binaries=$(cargo test -p mqtt-proto --lib --tests --no-run --message-format=json |
    sed -n 's/.*"executable":"\([^"]*\)".*/\1/p')
for binary in $binaries; do "$binary" --quiet >/dev/null; done
llvm-profdata-22 merge -sparse "$target"/raw/*.profraw -o "$target/all.profdata"
first=${binaries%% *}
first=$(echo "$binaries" | head -1)
objects=$(echo "$binaries" | tail -n +2 | sed 's/^/-object /')
llvm-cov-22 "${1:-report}" "$first" $objects -instr-profile="$target/all.profdata" mqtt-proto/src ${2:-}
