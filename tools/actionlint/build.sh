#!/bin/sh
# Builds actionlint into the folder $1.
set -eu

cd "$(dirname "$0")"
echo "building actionlint"
go build -trimpath -ldflags "-s -w" -o "$1/" github.com/rhysd/actionlint/cmd/actionlint
