"""The program: `python -m app.simulator --port 8099` runs the server until a signal stops it."""

from __future__ import annotations

import argparse

import uvicorn

from app.simulator.core import SimulatorConfig
from app.simulator.server import create_app


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="app.simulator", description="Takes the place of OpenAI, Anthropic and Tavily."
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=8099, help="port to listen on")
    parser.add_argument("--latency-ms", type=int, default=0, help="wait before every answer")
    parser.add_argument("--chunks", type=int, default=30, help="most text chunks of a streamed answer")
    parser.add_argument("--chunk-delay-ms", type=int, default=0, help="wait between two chunks of a stream")
    chosen = parser.parse_args()
    config = SimulatorConfig(
        latency_ms=chosen.latency_ms, chunks=max(1, chosen.chunks), chunk_delay_ms=chosen.chunk_delay_ms
    )
    uvicorn.run(
        create_app(config),
        host=chosen.host,
        port=chosen.port,
        log_level="critical",  # uvicorn logs a scripted reset as an error
        access_log=False,
        server_header=False,  # a recorded response has the headers of the recording and no others
        date_header=False,
        lifespan="off",
        timeout_keep_alive=75,
        timeout_graceful_shutdown=1,  # a scripted `hang` would hold the shutdown up for ever
    )


if __name__ == "__main__":
    main()
