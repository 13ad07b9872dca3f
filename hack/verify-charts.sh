#!/usr/bin/env bash
# Checks the Helm charts as Kubernetes would: lint, schemas of the sandbox's Kubernetes version, restricted Pod Security.
# Needs nothing but Go and its module proxy. The golden renders and refusals are in charts/charts_test.go.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Helm must not read or write the user's own files.
export HELM_CACHE_HOME=$work/helm HELM_CONFIG_HOME=$work/helm HELM_DATA_HOME=$work/helm KUBECONFIG=/dev/null

helm() { go -C "$root/hack/tools/helm" tool helm "$@"; }
kubeconform() { go -C "$root/hack/tools/kubeconform" tool kubeconform "$@"; }
podsecurity() { go -C "$root/hack/tools/podsecurity" run . "$@"; }

# The Kubernetes whose kinds count is the one that the sandbox runs.
kube=$root/hack/tools/kube
go -C "$kube" mod download k8s.io/kubernetes
read -r version source < <(go -C "$kube" list -m -f '{{.Version}} {{.Dir}}' k8s.io/kubernetes)
go -C "$root/hack/tools/kubeschemas" run . -swagger "$source/api/openapi-spec/swagger.json" -out "$work/schemas"

# That the checks can fail: a field that no Deployment has and a pod that says nothing must be found, or a success means nothing.
printf 'apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\nspec: {replica: 1, selector: {}, template: {}}\n' >"$work/wrong.yaml"
if kubeconform -strict -schema-location "$work/schemas/{{.ResourceKind}}{{.KindSuffix}}.json" "$work/wrong.yaml" >"$work/wrong.txt" 2>&1 ||
	! grep -q "additional properties 'replica' not allowed" "$work/wrong.txt"; then
	cat "$work/wrong.txt" >&2
	echo "error: kubeconform took a wrong object for a right one" >&2
	exit 1
fi

printf 'kind: Pod\nmetadata: {name: x}\nspec: {containers: [{name: x, image: x}]}\n' >"$work/wrong.yaml"
if podsecurity "$work/wrong.yaml" >"$work/wrong.txt" 2>&1 || ! grep -q 'runAsNonRoot' "$work/wrong.txt"; then
	cat "$work/wrong.txt" >&2
	echo "error: podsecurity took an unrestricted pod for a restricted one" >&2
	exit 1
fi

mkdir "$work/renders"
for values in "$root"/charts/testdata/*.values.yaml; do
	name=$(basename "$values" .values.yaml)
	case $name in
	auto-maintenance-*) chart=auto-maintenance ;;
	*) chart=control-plane ;;
	esac
	helm lint --strict --quiet --kube-version "$version" "$root/charts/$chart" -f "$values"
	for run in 1 2; do
		helm template "$chart" "$root/charts/$chart" -n aporeto --kube-version "$version" -f "$values" >"$work/$run.yaml"
	done
	cmp "$work/1.yaml" "$work/2.yaml"
	mv "$work/1.yaml" "$work/renders/$name.yaml"
done

kubeconform -strict -summary -schema-location "$work/schemas/{{.ResourceKind}}{{.KindSuffix}}.json" "$work"/renders/*.yaml
podsecurity "$work"/renders/*.yaml
echo "charts: valid for Kubernetes $version"
