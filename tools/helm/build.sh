#!/bin/sh
# Builds Helm into the folder $1.
set -eu

cd "$(dirname "$0")"
version=$(go list -m -f '{{.Version}}' helm.sh/helm/v4)
echo "building helm $version"
go build -trimpath -ldflags "-s -w -X helm.sh/helm/v4/internal/version.version=$version" -o "$1/" helm.sh/helm/v4/cmd/helm
