"""What a scaling policy would do to a day's load, without a cluster: `python -m agent_operator.simulation`."""
