"""CPU seconds and memory of a part's process, read from outside."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil

from tests.support.servers import Server
from tests.support.stack import Part


@dataclass
class CpuTime:
    """The CPU seconds, user and system, that the processes used inside the block."""

    seconds: float = 0.0


def _family(part: Part | Server) -> list[psutil.Process]:
    if part.process is None:
        raise RuntimeError(f"{part} is not running")
    process = psutil.Process(part.process.pid)
    return [process, *process.children(recursive=True)]


def cpu_seconds(part: Part | Server) -> float:
    """Reads the CPU seconds of the process and its children since they began."""
    return sum(sum(process.cpu_times()[:2]) for process in _family(part))


def resident_megabytes(part: Part | Server) -> float:
    """Reads the proportional set size of the process and its children, which counts shared pages once."""
    return sum(process.memory_full_info().pss for process in _family(part)) / 2**20


@contextmanager
def measured_cpu(*parts: Part) -> Iterator[CpuTime]:
    """Yields a CpuTime that is filled in at the end of the block."""
    used = CpuTime()
    before = sum(cpu_seconds(part) for part in parts)
    try:
        yield used
    finally:
        used.seconds = sum(cpu_seconds(part) for part in parts) - before
