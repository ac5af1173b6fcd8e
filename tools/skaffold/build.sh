#!/bin/sh
# Copies skaffold.json into the folder $1: the schema of the version that skaffold.yaml is written for.
set -eu

cd "$(dirname "$0")"
folder=$(go mod download -json github.com/GoogleContainerTools/skaffold/v2 | sed -n 's/^.*"Dir": "\(.*\)",$/\1/p')
cp "$folder/docs-v2/content/en/schemas/v4beta13.json" "$1/skaffold.json"
chmod 644 "$1/skaffold.json"
