#!/bin/sh
# image.sh NAME:TAG CONTEXT DOCKERFILE [docker build options…]: builds an image and loads it into the cluster.
set -eu

image=$1 context=$2 dockerfile=$3
shift 3
docker build --quiet --tag "$image" --file "$dockerfile" "$@" "$context" >&2
kind load docker-image --name agent-orchestrator-e2e "$image" >&2
