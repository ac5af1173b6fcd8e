"""A stand-in for the providers of models and of search: one small server, deterministic, with faults on demand.

It is for the demo without keys, for tests and for benchmarks, and imports nothing of the product. `scripted_faults` has
the table of all faults.
"""
