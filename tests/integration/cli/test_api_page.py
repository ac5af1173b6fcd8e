"""The examples of docs/api.md work unchanged, one after the other, on a system that asks for keys."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.cli.command import COMMAND, Shell

ROOT = Path(__file__).parents[3]
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.fixture
def script(tmp_path: Path) -> str:
    """Writes the examples into one script; those in Python become files that it runs."""
    lines = ["set -euo pipefail"]
    for number, (language, text) in enumerate(BLOCK.findall((ROOT / "docs" / "api.md").read_text(encoding="utf-8"))):
        if language == "sh":
            lines.append(text)
            continue
        (tmp_path / f"example{number}.py").write_text(text)
        lines.append(f"{sys.executable} example{number}.py")
    return "\n".join(lines)


def test_every_example_succeeds(tmp_path: Path, script: str) -> None:
    shell = Shell(tmp_path)
    environment = {**shell.environment, "PATH": f"{Path(COMMAND).parent}:/usr/bin:/bin"}
    try:
        done = subprocess.run(  # noqa: S603 - the page itself is under test
            ["/bin/bash", "-c", script],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
    finally:
        shell.run("down")
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"accepting":false' in done.stdout
    assert "completed # Tidal energy" in done.stdout
