"""A stand-in for the model providers and the search: one small server, deterministic, with faults on demand.

It is for the demo without keys, for tests and for benchmarks; it imports nothing of the product. `faults` has the
table of everything that can be made to go wrong.
"""
