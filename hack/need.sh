#!/usr/bin/env bash
# hack/need.sh PROGRAM[=PACKAGE]… : installs the Debian packages of the programs that are not on PATH, and starts none of their services.
set -euo pipefail
missing=()
for want in "$@"; do
  command -v "${want%%=*}" > /dev/null || missing+=("${want#*=}")
done
[ ${#missing[@]} -gt 0 ] || exit 0
[ "$(id -u)" = 0 ] || { echo "missing: ${missing[*]}" >&2; echo "hint: sudo apt-get install --no-install-recommends ${missing[*]}" >&2; exit 1; }
echo "installing Debian packages: ${missing[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# RUNLEVEL=1 keeps invoke-rc.d from starting what a package brings.
if ! { apt-get update && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"; } > "$log" 2>&1; then
  tail -n 20 "$log" >&2
  exit 1
fi
