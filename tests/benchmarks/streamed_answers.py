"""`python -m tests.benchmarks.streamed_answers`: the CPU of a streamed chunk, and the memory of a first model call.

The model server is another process, so that its CPU does not count. The baseline is the vendor's own SDK, which reads
the same bytes in the same run.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from statistics import median

import uvloop

from app.garbage import collect_rarely
from tests.benchmarks.hardware import describe_hardware
from tests.benchmarks.load import CODE_TASK
from tests.benchmarks.process import resident_megabytes
from tests.benchmarks.recorded_streams import RecordedStreams, recorded_streams
from tests.benchmarks.stream_readers import ReadAnswer, product_readers, sdk_readers
from tests.benchmarks.table import Row, render
from tests.support.stack import running_stack

NAMES = {"chat": "chat completions", "responses": "responses", "messages": "messages"}
# So few streams at once, and so slow ones, that each chunk comes in a read of its own, as it does from a real model.
COMPARED_STREAMS, COMPARED_CHUNKS, COMPARED_PAUSE_MS = 4, 1_000, 2
ROUNDS = 3
STREAMS, PER_SECOND, SECONDS = 64, 50, 20
# The simulator pauses after each write, so the pause is a little shorter than the time from one chunk to the next. The
# rate that comes of it is printed.
PAUSE_MS = 1_000 // PER_SECOND - 1
CHUNK_US, SHARE_PERCENT = 25, 40


def main() -> int:
    print(describe_hardware(), flush=True)
    collect_rarely()  # as in a worker
    rows = [*_measure_chunks(), *_measure_many_streams(), *_measure_memory()]
    print(render(rows, against="vendor's SDK"))
    return 0


@dataclass(frozen=True)
class Cost:
    """The CPU that this process took to read streams, and the time in which it read them."""

    chunks: int
    cpu_seconds: float
    seconds: float

    @property
    def us_per_chunk(self) -> float:
        return self.cpu_seconds * 1_000_000 / self.chunks


async def _read_at_once(source: RecordedStreams, reads: Sequence[ReadAnswer]) -> Cost:
    """Reads as many streams as there are readers. Raises RuntimeError if a text is not the recorded one."""
    began, cpu_began = time.perf_counter(), time.process_time()
    texts = await asyncio.gather(*(read() for read in reads))
    cost = Cost(source.chunks * len(reads), time.process_time() - cpu_began, time.perf_counter() - began)
    if set(texts) != {source.text}:
        raise RuntimeError("a reader's text is not the recorded one, so its CPU says nothing")
    return cost


def _measure_chunks() -> Iterator[Row]:
    with recorded_streams(chunks=COMPARED_CHUNKS, pause_ms=COMPARED_PAUSE_MS) as source:
        for protocol, name in NAMES.items():
            ours, theirs = uvloop.run(_compare(source, protocol))
            yield Row(f"CPU per chunk, {name}", ours, "µs", CHUNK_US, theirs)


async def _compare(source: RecordedStreams, protocol: str) -> tuple[float, float]:
    """Measures the product's microseconds per chunk, and those of the SDK, in turns."""
    async with product_readers(source.url) as product, sdk_readers(source.url) as sdk:
        readers = product[protocol], sdk[protocol]
        costs: dict[ReadAnswer, list[float]] = {reader: [] for reader in readers}
        for reader in readers:
            await _read_at_once(source, [reader])  # imports, connections
        for _ in range(ROUNDS):
            for reader in readers:
                costs[reader].append((await _read_at_once(source, [reader] * COMPARED_STREAMS)).us_per_chunk)
    ours, theirs = (median(costs[reader]) for reader in readers)
    return ours, theirs


def _measure_many_streams() -> Iterator[Row]:
    with recorded_streams(chunks=PER_SECOND * SECONDS, pause_ms=PAUSE_MS) as source:
        cost = uvloop.run(_read_many(source))
    together = f"{STREAMS} streams at once"
    yield Row(f"{together}, chunks of each per second", cost.chunks / cost.seconds / STREAMS, "/s")
    yield Row(f"{together}, CPU per chunk", cost.us_per_chunk, "µs", CHUNK_US)
    yield Row(f"{together}, CPU of one core", cost.cpu_seconds / cost.seconds * 100, "%", SHARE_PERCENT)


async def _read_many(source: RecordedStreams) -> Cost:
    async with product_readers(source.url) as product:
        return await _read_at_once(source, list(islice(cycle(product.values()), STREAMS)))


def _measure_memory() -> Iterator[Row]:
    with running_stack() as stack:
        worker = stack.parts["worker"]
        yield Row("idle worker, memory", resident_megabytes(worker), "MB")
        task = stack.wait(stack.submit(CODE_TASK.format(number=1))["task_id"])
        if task["status"] != "completed":
            raise RuntimeError(f"the task ended as {task['status']}, so its memory says nothing")
        yield Row("worker after its first task, memory", resident_megabytes(worker), "MB")


if __name__ == "__main__":
    sys.exit(main())
