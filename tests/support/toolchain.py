"""Programs that are built from pinned Go modules (`tools/`), once, into a cache."""

from __future__ import annotations

import functools
import shutil
import subprocess
from pathlib import Path

import pytest

BUILD = Path(__file__).parents[2] / "tools" / "build.sh"
BUILD_SECONDS = 3_000


class NoGo(Exception):
    """Nothing to build with: the reason why tests are skipped."""


@functools.cache
def built(tool: str) -> Path:
    """The folder with what `tools/<tool>` builds; minutes the first time. Raises NoGo."""
    if shutil.which("go") is None:
        raise NoGo(f"there is no Go to build tools/{tool} with; install Go 1.26 or later")
    done = subprocess.run(  # noqa: S603  a script of this repository
        ["/bin/sh", str(BUILD), tool], check=True, stdout=subprocess.PIPE, text=True, timeout=BUILD_SECONDS
    )
    return Path(done.stdout.strip())


def built_or_skipped(tool: str) -> Path:
    """As `built`; skips the test where there is nothing to build with."""
    try:
        return built(tool)
    except NoGo as reason:
        pytest.skip(str(reason))
