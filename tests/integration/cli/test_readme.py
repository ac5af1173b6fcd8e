"""The README's shell blocks work unchanged, one after the other, in a fresh folder."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.integration.cli.command import Shell, clean_environment

ROOT = Path(__file__).parents[3]
BLOCKS = re.findall(r"^```sh\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Makes a working directory with links to the repository and a state folder of its own."""
    for name in ("Makefile", ".ci", ".venv", "requirements", "requirements.lock", "pyproject.toml"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


def test_every_block_succeeds(folder: Path) -> None:
    script = "set -eu\n" + "\n".join(BLOCKS)
    try:
        done = subprocess.run(  # noqa: S603 - the README itself is under test
            ["/bin/sh", "-c", script],
            cwd=folder,
            env=clean_environment(),
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
    finally:
        Shell(folder).run("down")
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"status": "completed"' in done.stdout or '"status":"completed"' in done.stdout
    assert "Stopped; the data is kept." in done.stdout
