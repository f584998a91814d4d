#!/bin/sh
# Plants twelve defects in the engine, one at a time, and shows that the explorer or the simulator finds each:
# `scripts/planted.sh [NAME..]`. One build of its own, in target/planted, with all of them behind a choice at run time;
# no other build has them. Fails if one is not found, or if something is found that was not planted.
set -eu
cd "$(dirname "$0")/.."
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/planted"
export RUSTFLAGS="${RUSTFLAGS:-} --cfg planted=\"chosen\""
exec cargo run -q -p mqtt-sim --example planted -- "$@"
