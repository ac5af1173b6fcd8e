#!/bin/sh
# Prometheus and promtool in the folder $1: without their pages, and with Kubernetes as the only way to discover targets.
set -eu

cd "$(dirname "$0")"
version=$(go list -m -f '{{.Version}}' github.com/prometheus/prometheus)
echo "building prometheus and promtool $version"
go build -trimpath -tags remove_all_sd,enable_kubernetes_sd \
	-ldflags "-s -w -X github.com/prometheus/common/version.Version=${version#v}" \
	-o "$1/" github.com/prometheus/prometheus/cmd/prometheus github.com/prometheus/prometheus/cmd/promtool
