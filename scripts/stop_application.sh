#!/bin/sh
# Stops nothing: the rollout replaces the pods one by one, so tasks continue.
echo "agent-orchestrator keeps running until its pods are replaced"
