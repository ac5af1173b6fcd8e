#!/bin/sh
# Creates a kind cluster in Docker if it does not run yet. Prints KUBECONFIG=<path> last.
set -eu

name=agent-orchestrator-e2e
kubeconfig=${XDG_CACHE_HOME:-$HOME/.cache}/agent-orchestrator/kind.kubeconfig
mkdir -p "$(dirname "$kubeconfig")"
if ! kind get clusters 2>/dev/null | grep -qx "$name"; then
	kind create cluster --name "$name" --kubeconfig "$kubeconfig" --wait 120s >&2
fi
kind export kubeconfig --name "$name" --kubeconfig "$kubeconfig" >&2
echo "KUBECONFIG=$kubeconfig"
