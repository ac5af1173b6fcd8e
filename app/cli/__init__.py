"""The `agent-orchestrator` command: the whole system on one machine, and tasks over REST from a terminal."""
