#!/usr/bin/env bash
# Prints a table of how many tests run over each driver, as `cargo test -- --list` names them, with the date and mosquitto's
# version. (The matrix of brokers counts its scenarios itself, above each table of docs/interoperability.md.)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# Each file of tests, and what is at the other end.
suites=(
  "interop|mosquitto; for cuts again and again, and takeovers with a reason, the model broker"
  "shared|mosquitto"
  "journal|mosquitto, and servers that say what a test tells them"
  "handlers|mosquitto, the model broker, and servers that say what a test tells them"
  "transports|mosquitto behind microsocks and tinyproxy, and servers of rustls and tungstenite"
  "faults|mosquitto and the model broker, behind a proxy of faults"
  "handshake|servers that say what a test tells them"
  "connector|the model broker on streams of memory, and streams that do what they should not"
  "readme|mosquitto and \`mqtt broker\`"
)

names() { cargo test --quiet -p mqtt-tests --test "$1" -- --list 2>/dev/null | sed -n 's/: test$//p'; }

rows() {
  local suite
  for suite in "${suites[@]}"; do
    names "${suite%%|*}" | awk -v suite="${suite%%|*}" -v broker="${suite#*|}" '
      /smol/ { smol++; next }
      /driven/ { driven++; next }
      /threads/ { threads++; next }
      /async/ { smol++; next }
      /blocking/ { threads++; next }
      { other++ }
      END { printf "| `%s` | %s | %d | %d | %d | %d |\n", suite, broker, threads, driven, smol, other }'
  done
}

version=$({ PATH=$PATH:/usr/sbin mosquitto -h || true; } | sed -n '1s/.*version //p')
printf '%s, mosquitto %s.\n\n' "$(date -u +%F)" "$version"
printf '| `--test` | on the other end | blocking handle | own loop | async | not by driver |\n'
printf '| --- | --- | ---: | ---: | ---: | ---: |\n'
rows
