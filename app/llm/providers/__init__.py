"""The adapters, one per SDK: they turn our plain data into the provider's HTTP and back. Only the gateway imports them.

They use the SDK client for authentication, connection pool and error classes, and its generic `post` with a raw
response, because each layer above that costs CPU per call and per chunk. Measured on Python 3.11, 16 calls at a time
(one plain call / one streamed chunk): langchain-openai 1.9 ms / 130 µs, the SDK's typed methods 1.2 ms / 85 µs, the
SDK's raw `post` with our own parsing 0.7 ms / 13 µs. So there are no chat models of langchain on this path: they would
double the cost of a task and add nothing that the gateway lacks.
"""
