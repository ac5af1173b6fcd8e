"""The REST API of the orchestrator: its client, and the back-off while it accepts nothing."""
