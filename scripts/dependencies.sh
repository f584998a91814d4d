#!/usr/bin/env bash
# Writes docs/dependencies.md: how many crates each package needs, how deep they go, and why each direct one is there.
#
#   scripts/dependencies.sh           writes it
#   scripts/dependencies.sh --check   fails if it is not as this would write it
#
# Counted by `cargo tree` from Cargo.lock, for 64-bit Linux, without what only tests and builds need. The reasons are the
# comments above each dependency in the manifests.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
target=x86_64-unknown-linux-gnu
packages=(mqtt-proto mqtt-session mqtt-adapter-core mqtt-adapter-std mqtt-adapter-smol mqtt-sim mqtt-cli)

folder() { sed -n 's/^\('"$1"'\) = { path = "\([^"]*\)".*/\2/p' Cargo.toml | grep . || echo "$1"; }

# "crates depth" of a package with these features: third-party crates, and the longest way down to one.
count() {
  cargo tree --locked --quiet -p "$1" "${@:2}" --target $target -e normal,no-proc-macro --prefix depth --format ' {p}' |
    awk '
      { depth = $1 + 0; name = $2; version = $3 }
      $0 !~ /\(\// && !((name, version) in seen) { seen[name, version] = 1; crates++ }
      $0 !~ /\(\// && depth > deepest { deepest = depth }
      END { print crates + 0, deepest + 0 }'
}

row() {
  local crates depth
  read -r crates depth < <(count "$@")
  printf '| `%s` | %s | %d | %d |\n' "$1" "$label" "$crates" "$depth"
}

write() {
  cat <<'TEXT'
# Dependencies

Written by `scripts/dependencies.sh`, and compared by `./check docs`. Crates of others that a program needs for each
package, counted once each, and the longest chain down to one, as `cargo tree -e normal,no-proc-macro` lists them for 64-bit
Linux. The crates of this workspace are not counted, but are steps of a chain. What tests need is in the manifests, with reasons too.

| package | features | crates | depth |
| --- | --- | ---: | ---: |
TEXT
  local package
  for package in "${packages[@]}"; do
    label=minimal row "$package" --no-default-features
    label=default row "$package"
    label=all row "$package" --all-features
  done
  printf '\n## Why each is there\n'
  for package in "${packages[@]}"; do
    printf '\n### `%s`\n\n' "$package"
    awk '
      /^\[/ { inside = ($0 == "[dependencies]"); next }
      !inside { next }
      /^# / { reason = reason (reason == "" ? "" : " ") substr($0, 3); next }
      /^[a-z]/ {
        split($0, part, /[ .=]/)
        if (part[1] !~ /^mqtt-/) {
          any = 1
          if (reason == "") { print part[1] " has no reason" >"/dev/stderr"; exit 1 }
          printf "* `%s`%s: %s\n", part[1], (/optional/ ? ", by a feature" : ""), reason
        }
        reason = ""
      }
      END { if (!any) print "None." }' "$(folder "$package")/Cargo.toml"
  done
}

if [ "${1:-}" = --check ]; then
  write | diff -u docs/dependencies.md - || { echo "docs/dependencies.md is old: scripts/dependencies.sh writes it anew" >&2; exit 1; }
else
  write >docs/dependencies.md.new
  mv docs/dependencies.md.new docs/dependencies.md
fi
