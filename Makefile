# kubectl aporeto. `make help` lists the targets; CONTRIBUTING.md has the time budget of `make test`.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

SCHEDULES ?= 10000
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo v0.0.0-dev)
export CGO_ENABLED ?= 0
# The same flags everywhere, so that builds, lint and the sandbox share one build cache. -buildvcs=false: builds must not depend on who
# owns the clone.
export GOFLAGS := -buildvcs=false -trimpath
GO_BUILD = go build -ldflags '-s -w -X main.version=$(VERSION)'
# go tool runs what the tool's own module pins.
TOOL = go tool -modfile=hack/tools/$(1)/go.mod $(1)
GOTESTSUM = $(call TOOL,gotestsum) --format pkgname --hide-summary=skipped --

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build the plugin and the agent into bin/
	$(GO_BUILD) -o bin/kubectl-aporeto ./cmd/kubectl-aporeto
	$(GO_BUILD) -o bin/aporeto-agent ./cmd/aporeto-agent

.PHONY: demo
demo: ## The main job on two real local zones, ending with a switch that one can watch (root, Linux)
	@hack/demo

.PHONY: test
test: lint unit simulation charts e2e ## Everything that CI runs
	@echo "all tests passed"

.PHONY: unit
unit: ## Unit and CLI tests, with the race detector
	hack/need.sh gcc nginx=nginx-light openssl
	CGO_ENABLED=1 $(GOTESTSUM) -race -timeout 40m ./...

.PHONY: simulation
simulation: ## The failover protocol: 10,000 schedules of ten simulated minutes, with every kind of trouble
	$(GOTESTSUM) -count=1 -timeout 20m -run 'TestSimulation' ./pkg/lease -schedules $(SCHEDULES)

.PHONY: e2e
e2e: build ## The main job on two real zones, in hack/sandbox (root, Linux)
	$(call TOOL,gotestsum) --format standard-verbose --hide-summary=skipped -- -tags e2e -count=1 -timeout 40m -v ./hack/e2e

.PHONY: charts
charts: ## helm lint --strict, kubeconform and Pod Security on the charts' renders
	hack/verify-charts.sh

.PHONY: lint
lint: ## golangci-lint with the import directions, gofmt, shellcheck
	hack/verify-lint.sh

.PHONY: conformance
conformance: ## TestConformance and pkg/mongo as others run them on a real cluster: certificates of pki init, another process
	hack/conformance

.PHONY: generate
generate: ## Rewrite golden files and the charts' READMEs
	go test ./charts ./cmd/kubectl-aporeto -update

.PHONY: bench
bench: ## Gaps, gate flips, throughput beside nginx and Caddy, idle cost; writes docs/benchmarks.md. Not part of CI (Linux, a quiet machine)
	go run ./hack/bench -o docs/benchmarks.md

.PHONY: sandbox-down
sandbox-down: ## Take the sandbox down and leave nothing behind
	hack/sandbox down

.PHONY: clean
clean: ## Remove bin/ and dist/; the cache in ~/.cache/kubectl-aporeto stays
	rm -rf bin dist
