#!/usr/bin/env bash
# Counts the tests that run over each driver, as `cargo test -- --list` names them, as the table of docs/interoperability.md.
#
#   scripts/suite.sh           writes the table into the document, with today's date and mosquitto's version
#   scripts/suite.sh --check   fails if the document has other counts
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
document=docs/interoperability.md
# Each file of tests, and what is at the other end.
suites=(
  "interop|mosquitto; for cuts again and again, and takeovers with a reason, the model broker"
  "shared|mosquitto"
  "journal|mosquitto, and servers that say what a test tells them"
  "handlers|mosquitto, the model broker, and servers that say what a test tells them"
  "connector|the model broker on streams of memory"
  "readme|mosquitto and \`mqtt broker\`"
)

names() { cargo test --quiet -p mqtt-tests --test "$1" -- --list 2>/dev/null | sed -n 's/: test$//p'; }

rows() {
  local suite
  for suite in "${suites[@]}"; do
    names "${suite%%|*}" | awk -v suite="${suite%%|*}" -v broker="${suite#*|}" '
      /smol|async/ { smol++; next }
      /driven/ { driven++; next }
      /threads|blocking/ { threads++; next }
      { other++ }
      END { printf "| `%s` | %s | %d | %d | %d | %d |\n", suite, broker, threads, driven, smol, other }'
  done
}

begin='<!-- suite -->'
end='<!-- end of the suite -->'
if [ "${1:-}" = --check ]; then
  diff -u <(sed -n "/^$begin\$/,/^$end\$/p" "$document" | grep '^| `') <(rows) ||
    { echo "$document has other counts: scripts/suite.sh writes them anew" >&2; exit 1; }
else
  version=$({ PATH=$PATH:/usr/sbin mosquitto -h || true; } | sed -n '1s/.*version //p')
  {
    sed "/^$begin\$/q" "$document"
    printf '%s, mosquitto %s.\n\n' "$(date -u +%F)" "$version"
    printf '| `--test` | on the other end | blocking handle | own loop | async | not by driver |\n'
    printf '| --- | --- | ---: | ---: | ---: | ---: |\n'
    rows
    sed -n "/^$end\$/,\$p" "$document"
  } >"$document.new"
  mv "$document.new" "$document"
fi
