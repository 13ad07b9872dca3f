#!/usr/bin/env bash
# gen-gomod.sh [VERSION] : writes this module's go.mod anew for another Kubernetes; then run `go mod tidy` here.
# k8s.io/kubernetes requires its staging modules at v0.0.0 and replaces them by folders of its own tree; whoever imports
# it must replace them by the released versions.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
version=${1:-v1.37.2}
staging=v0.${version#v1.}
upstream=$(GOFLAGS=-mod=mod go mod download -json "k8s.io/kubernetes@$version" | sed -n 's/.*"GoMod": "\(.*\)",*/\1/p')
{
  printf 'module github.com/aporeto-inc/kubectl-aporeto/hack/tools/kube\n\n'
  sed -n 's/^go \(.*\)/go \1\n/p; s/^godebug .*/&\n/p' "$upstream"
  printf 'require k8s.io/kubernetes %s\n\nreplace (\n' "$version"
  sed -n "s|^[[:space:]]*\(k8s.io/[a-z0-9-]*\) => \./staging/.*|\t\1 => \1 $staging|p" "$upstream"
  printf ')\n'
} > go.mod.new
mv go.mod.new go.mod
