"""The machine that a benchmark ran on, in one line."""

from __future__ import annotations

import sys
from pathlib import Path

import psutil


def describe_hardware() -> str:
    """Reads the number of cores, their model and the version of Python."""
    cpus = [line.partition(":")[2].strip() for line in _cpu_lines() if line.startswith("model name")]
    return f"{psutil.cpu_count()} cores of {cpus[0] if cpus else 'unknown'}, Python {sys.version.split()[0]}"


def _cpu_lines() -> list[str]:
    information = Path("/proc/cpuinfo")
    return information.read_text().splitlines() if information.exists() else []
