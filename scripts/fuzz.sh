#!/usr/bin/env bash
# Runs the fuzz targets: `scripts/fuzz.sh SECONDS [TARGET...]`, as many at once as there are processors, and prints for each how many inputs were tried. A crash,
# a hang, too much memory or a target that does not run at all fails, and prints the end of what was said.
# New inputs go to fuzz/work, which is not committed; the committed corpora are read only. Needs a C++ compiler for
# libFuzzer, and no further tool: the flags are those cargo-fuzz uses, which works here too.
set -eu
cd "$(dirname "$0")/../fuzz"
seconds=${1:?seconds for each target}
shift
[ $# -gt 0 ] || set -- decode roundtrip split properties topics differential \
    session_bytes session_ops storage_diff restore
command -v "${CXX:-c++}" >/dev/null || {
    echo "The fuzz targets need a C++ compiler for libFuzzer: apt-get install g++ (or name one in CXX)." >&2
    exit 1
}
host=$(rustc -vV | sed -n 's/^host: //p')
target=${CARGO_TARGET_DIR:-$PWD/target}
export RUSTC_BOOTSTRAP=1
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Zsanitizer=address -Ccodegen-units=1"
cargo build --locked --release --target "$host" $(printf -- '--bin %s ' "$@")
logs=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$logs"' EXIT

# Runs one, and says what came of it.
run() {
    local name=$1 log=$logs/$1 status=0 executions
    mkdir -p "work/$name" "artifacts/$name"
    "$target/$host/release/$name" "work/$name" "corpus/$name" -artifact_prefix="artifacts/$name/" \
        -max_total_time="$seconds" -max_len=4096 -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 -verbosity=0 \
        ${FUZZ_OPTIONS:-} >"$log" 2>&1 || status=$?
    stat() { sed -n "s/^stat::$1: *//p" "$log"; }
    executions=$(stat number_of_executed_units)
    echo "$name: ${executions:-no} executions, $(stat average_exec_per_sec) a second, $(stat peak_rss_mb) MB"
    if [ "$status" -ne 0 ] || [ "${executions:-0}" -eq 0 ]; then
        tail -n 40 "$log" >&2
        echo "$name FAILED with status $status; failing inputs are kept in fuzz/artifacts/$name" >&2
        return 1
    fi
}

failed=0
running=0
for name in "$@"; do
    run "$name" &
    running=$((running + 1))
    [ "$running" -lt "$(nproc)" ] || { wait -n || failed=1; running=$((running - 1)); }
done
while [ "$running" -gt 0 ]; do
    wait -n || failed=1
    running=$((running - 1))
done
exit $failed
