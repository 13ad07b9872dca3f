#!/usr/bin/env bash
# Lints Go (golangci-lint, with the import directions) and shell (shellcheck).
set -euo pipefail
cd "$(dirname "$0")/.."

# Tools have modules of their own: their graphs would move client-go and Helm of the main module.
go tool -modfile=hack/tools/golangci-lint/go.mod golangci-lint run ./...

hack/need.sh shellcheck
git ls-files -z | while IFS= read -r -d '' file; do
  case $(head -c 64 "$file" | head -n 1) in
    '#!'*bash* | '# shellcheck shell='*) printf '%s\0' "$file" ;;
  esac
done | xargs -0 shellcheck -x -P SCRIPTDIR -e SC2153
echo "lint: ok"
