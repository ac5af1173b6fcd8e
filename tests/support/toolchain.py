"""Programs built from pinned Go modules (`tools/`), each once, into a cache that all test runs share."""

from __future__ import annotations

import functools
import shutil
import subprocess
from pathlib import Path

import pytest

BUILD = Path(__file__).parents[2] / "tools" / "build.sh"
BUILD_SECONDS = 3_000


class NoGo(Exception):
    """The absence of Go, and so the reason why tests are skipped."""


@functools.cache
def built(tool: str) -> Path:
    """Builds `tools/<tool>` and returns its folder. The first time takes minutes. Raises NoGo."""
    if shutil.which("go") is None:
        raise NoGo(f"Go is not installed, so tools/{tool} cannot be built; install Go 1.26 or later")
    done = subprocess.run(  # noqa: S603  a script of this repository
        ["/bin/sh", str(BUILD), tool], check=True, stdout=subprocess.PIPE, text=True, timeout=BUILD_SECONDS
    )
    return Path(done.stdout.strip())


def built_or_skipped(tool: str) -> Path:
    """Builds the tool, or skips the test if Go is not installed."""
    try:
        return built(tool)
    except NoGo as reason:
        pytest.skip(str(reason))
