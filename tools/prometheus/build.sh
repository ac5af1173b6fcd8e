#!/bin/sh
# Builds Prometheus and promtool into the folder $1, without the web pages and with Kubernetes as the only service discovery.
set -eu

cd "$(dirname "$0")"
version=$(go list -m -f '{{.Version}}' github.com/prometheus/prometheus)
echo "building prometheus and promtool $version"
go build -trimpath -tags remove_all_sd,enable_kubernetes_sd \
	-ldflags "-s -w -X github.com/prometheus/common/version.Version=${version#v}" \
	-o "$1/" github.com/prometheus/prometheus/cmd/prometheus github.com/prometheus/prometheus/cmd/promtool
