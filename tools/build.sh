#!/bin/sh
# build.sh TOOL: runs tools/TOOL/build.sh on the Go modules beside it, and prints the folder with the result.
# A second call finds the result of the first one: the name of the folder contains a checksum of the sources.
set -eu

tool=$1
here=$(cd "$(dirname "$0")/$tool" && pwd)
cache=${AGENT_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/agent-orchestrator}
key=$(find "$here" -type f | LC_ALL=C sort | xargs cat | cksum | tr ' ' '-')
target=$cache/$tool-$(go env GOOS)-$(go env GOARCH)-$key

if [ ! -d "$target" ]; then
	mkdir -p "$cache"
	# Tests in several processes ask for the same tool at once: the first one builds it, and the others wait. Without
	# flock, as on macOS, each builds its own, and the first result counts. The lock ends with this process.
	exec 9>"$cache/$tool.lock"
	if command -v flock >/dev/null; then flock 9; fi
fi
if [ ! -d "$target" ]; then
	made=$(mktemp -d "$cache/building.XXXXXX")
	trap 'rm -rf "$made"' EXIT
	CGO_ENABLED=0 sh "$here/build.sh" "$made" >&2 9>&-
	chmod 755 "$made"
	[ -d "$target" ] || mv "$made" "$target" # another process may have built it in the meantime
fi
echo "$target"
