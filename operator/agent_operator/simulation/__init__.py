"""The room of the simulation: it shows what a scaling policy does to a load, without a cluster.

Run it with `python -m agent_operator.simulation`.
"""
