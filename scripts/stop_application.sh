#!/bin/sh
# Nothing is stopped: the rollout replaces pods one by one, and tasks go on.
echo "agent-orchestrator goes on until its pods are replaced"
