#!/usr/bin/env bash
# Installs Debian packages: `scripts/apt.sh REASON PACKAGE...`, or says what a person can do.
set -euo pipefail
why=$1
shift
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null; then
    echo "$why, and neither root nor sudo is here to install it." >&2
    echo "Ask an administrator for: apt-get install $*" >&2
    exit 1
  fi
  # Only a person at a terminal can be asked for a password.
  if { : </dev/tty; } 2>/dev/null; then as_root=(sudo); else as_root=(sudo -n); fi
fi
if ! command -v apt-get >/dev/null; then
  echo "$why, and this machine has no apt-get to install it with. Debian's packages are: $*" >&2
  exit 1
fi
echo "$why: installing $* with apt-get."
# The services that come with packages are not wanted: each test starts its own broker.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
  trap '"${as_root[@]}" rm -f $policy' EXIT
  printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee $policy >/dev/null
  "${as_root[@]}" chmod +x $policy
fi
install=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@")
# A package list that is there and fresh enough saves the update.
"${install[@]}" || { "${as_root[@]}" apt-get update && "${install[@]}"; } || {
  echo "apt-get could not install it. By hand: apt-get update && apt-get install $*" >&2
  exit 1
}
