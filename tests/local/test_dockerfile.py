"""The Dockerfiles, checked by a linter."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HADOLINT = str(Path(sys.executable).with_name("hadolint"))
IMAGES = ("api", "worker", "operator", "dev")
DOCKERFILES = [ROOT / "Dockerfile", *sorted((ROOT / "tests").rglob("Dockerfile"))]


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_linter_finds_nothing(path: Path) -> None:
    found = subprocess.run([HADOLINT, "--no-color", str(path)], capture_output=True, text=True, check=False)  # noqa: S603  hadolint, on a file of this repository
    assert (found.stdout, found.returncode) == ("", 0)


def test_no_process_of_the_product_is_the_first_one_of_its_container() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    entrypoints = [json.loads(line.removeprefix("ENTRYPOINT ")) for line in lines if line.startswith("ENTRYPOINT ")]
    assert [entrypoint[:2] for entrypoint in entrypoints] == [["tini", "--"]] * len(IMAGES)


def test_the_linter_finds_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "Dockerfile"
    path.write_text("FROM python\nRUN cd /tmp\n")
    found = subprocess.run([HADOLINT, "--no-color", str(path)], capture_output=True, text=True, check=False)  # noqa: S603  hadolint, on a file of this test
    assert "DL3006" in found.stdout
    assert found.returncode == 1
