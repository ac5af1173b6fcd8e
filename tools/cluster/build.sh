#!/bin/sh
# Builds a Kubernetes control plane (etcd, API server, controller manager, scheduler, kubectl) from the Go modules beside
# this file, and prints the folder that holds it. What was built once is found again: the folder's name tells the modules.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
cache=${AGENT_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/agent-orchestrator}
key=$(cat "$here"/*/go.mod "$here"/*/go.sum "$here/build.sh" | cksum | tr ' ' '-')
target=$cache/cluster-$(go env GOOS)-$(go env GOARCH)-$key

if [ ! -d "$target" ]; then
	mkdir -p "$cache"
	made=$(mktemp -d "$cache/building.XXXXXX")
	trap 'rm -rf "$made"' EXIT
	export CGO_ENABLED=0

	version=$(cd "$here/kubernetes" && go list -m -f '{{.Version}}' k8s.io/kubernetes)
	minor=${version#v1.}
	flags="-s -w"
	for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
		flags="$flags -X $package.gitVersion=$version -X $package.gitMajor=1 -X $package.gitMinor=${minor%%.*}"
	done
	for command in kube-apiserver kube-controller-manager kube-scheduler kubectl; do
		echo "building $command $version" >&2
		(cd "$here/kubernetes" && go build -trimpath -ldflags "$flags" -o "$made/" "k8s.io/kubernetes/cmd/$command")
	done
	echo "building etcd" >&2
	(cd "$here/etcd" && go build -trimpath -ldflags "-s -w" -o "$made/etcd" go.etcd.io/etcd/server/v3)
	chmod 755 "$made"
	mv "$made" "$target" 2>/dev/null || [ -d "$target" ] # somebody else may have been faster
	trap - EXIT
fi
echo "$target"
