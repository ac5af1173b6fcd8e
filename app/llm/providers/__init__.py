"""The adapters, one per provider: they turn our plain data into the provider's HTTP and back.

Only the gateway imports them. `wire.py` is the seam: a protocol is pure functions from request to body and from body or
events to answer, and `http_adapter.py` carries them all. There is no SDK and no chat model of langchain on this path;
docs/backend-adr-0001-llm-choice.md has the CPU of one plain call and of one streamed chunk.
"""
