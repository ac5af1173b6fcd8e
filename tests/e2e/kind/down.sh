#!/bin/sh
# Deletes the cluster with everything in it.
set -eu

kind delete cluster --name agent-orchestrator-e2e >&2
