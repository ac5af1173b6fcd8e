"""Adapters, one per vendor: our plain data in, the vendor's HTTP out, and back. Nobody but the gateway imports them.

They use the vendors' SDK clients for what those are good at (authentication, connection pool, error classes) and their
generic `post` with a raw response, because everything above it is paid per call and per chunk. CPU measured here
(Python 3.11, 16 at a time, one plain call / one streamed chunk): langchain-openai 1.9 ms / 130 µs, the SDK's typed
methods 1.2 ms / 85 µs, the SDK's raw `post` and our own parsing 0.7 ms / 13 µs. So langchain's chat models are not on
this path: they would double the cost of a task and add nothing that the gateway does not own already.
"""
