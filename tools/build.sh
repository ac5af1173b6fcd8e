#!/bin/sh
# build.sh TOOL: builds what tools/TOOL/build.sh makes of the Go modules beside it, and prints the folder that holds it.
# What was built once is found again: the folder's name tells the sources.
set -eu

tool=$1
here=$(cd "$(dirname "$0")/$tool" && pwd)
cache=${AGENT_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/agent-orchestrator}
key=$(find "$here" -type f | LC_ALL=C sort | xargs cat | cksum | tr ' ' '-')
target=$cache/$tool-$(go env GOOS)-$(go env GOARCH)-$key

if [ ! -d "$target" ]; then
	mkdir -p "$cache"
	made=$(mktemp -d "$cache/building.XXXXXX")
	trap 'rm -rf "$made"' EXIT
	CGO_ENABLED=0 sh "$here/build.sh" "$made" >&2
	chmod 755 "$made"
	[ -d "$target" ] || mv "$made" "$target" # somebody else may have been faster
fi
echo "$target"
