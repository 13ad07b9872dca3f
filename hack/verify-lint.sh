#!/usr/bin/env bash
# Lints Go (golangci-lint, with the import directions) and shell (shellcheck).
set -euo pipefail
cd "$(dirname "$0")/.."

# Tools have modules of their own: their graphs would move client-go and Helm of the main module.
go tool -modfile=hack/tools/golangci-lint/go.mod golangci-lint run ./...

if ! command -v shellcheck > /dev/null; then
  [ "$(id -u)" = 0 ] || { echo "shellcheck is missing: sudo apt-get install shellcheck" >&2; exit 1; }
  { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends shellcheck; } > /dev/null
fi
git ls-files -z | while IFS= read -r -d '' file; do
  case $(head -c 64 "$file" | head -n 1) in
    '#!'*bash* | '# shellcheck shell='*) printf '%s\0' "$file" ;;
  esac
done | xargs -0 shellcheck -x -P SCRIPTDIR -e SC2153
echo "lint: ok"
