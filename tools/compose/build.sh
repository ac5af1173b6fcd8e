#!/bin/sh
# Builds `compose` into the folder $1: it reads Compose files as Docker Compose does, and prints the resulting project.
set -eu

cd "$(dirname "$0")"
echo "building compose"
go build -trimpath -ldflags "-s -w" -o "$1/compose" github.com/compose-spec/compose-go/v2/cmd
