#!/bin/sh
# Runs the fuzz targets: `scripts/fuzz.sh SECONDS [TARGET...]`. New inputs go to fuzz/work, which is not committed;
# the committed corpora are read only. Needs a C++ compiler for libFuzzer, and no further tool: the flags are those
# cargo-fuzz uses, which works here too.
set -eu
cd "$(dirname "$0")/../fuzz"
seconds=${1:?seconds for each target}
shift
[ $# -gt 0 ] || set -- decode roundtrip split properties topics differential
host=$(rustc -vV | sed -n 's/^host: //p')
target=${CARGO_TARGET_DIR:-$PWD/target}
export RUSTC_BOOTSTRAP=1
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Zsanitizer=address -Ccodegen-units=1"
cargo build --locked --release --target "$host" $(printf -- '--bin %s ' "$@")
for name in "$@"; do
    mkdir -p "work/$name" "artifacts/$name"
    "$target/$host/release/$name" "work/$name" "corpus/$name" -artifact_prefix="artifacts/$name/" \
        -max_total_time="$seconds" -max_len=4096 -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 -verbosity=0 \
        ${FUZZ_OPTIONS:-} 2>&1 | grep -E 'ERROR|SUMMARY|panicked|stat::(number_of_executed_units|average_exec_per_sec|peak_rss_mb|new_units)' |
        sed "s/^/$name: /"
    [ -z "$(ls "artifacts/$name")" ] || { echo "$name: failing inputs in fuzz/artifacts/$name" >&2; exit 1; }
done
