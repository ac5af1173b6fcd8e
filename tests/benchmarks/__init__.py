"""Benchmarks: the cost and the speed of the system, beside a baseline measured in the same run (`make bench`)."""
