"""`.ci/setup` with stand-ins for uv and pip: what it installs, and that a person at a terminal sees it happen."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = ("requirements.lock", "requirements/cli.lock", "requirements/build.lock", "requirements/foreign-servers.lock")
TOOLS = ("sh", "cat", "grep", "dirname")
PIP = ".venv/bin/python -m pip"
UV = "uv pip"


@pytest.fixture(params=[UV, PIP])
def installer(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def checkout(tmp_path: Path, installer: str) -> Path:
    """Copies the script and the locks, and writes stand-ins that record how they are called."""
    for name in (".ci/setup", *LOCKS):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    programs = tmp_path / "programs"
    programs.mkdir()
    for tool in TOOLS:
        (programs / tool).symlink_to(shutil.which(tool) or pytest.fail(f"{tool} is missing"))
    for venv in (".venv", ".venv-providers"):
        write_program(tmp_path / venv / "bin" / "python")
    if installer == UV:
        write_program(programs / "uv")
    return tmp_path


def write_program(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('#!/bin/sh\necho "${0##*/programs/}" "$@" >> calls\n')
    path.chmod(0o755)


def installs(checkout: Path, installer: str, part: str, *, output: int, ci: str = "") -> list[str]:
    """Runs the script with its output there, and returns the calls that install."""
    subprocess.run(  # noqa: S603 - our own script
        ["/bin/sh", ".ci/setup", part],
        cwd=checkout,
        env={"PATH": str(checkout / "programs"), "CI": ci},
        stdout=output,
        stderr=output,
        check=True,
    )
    calls = (checkout / "calls").read_text().splitlines()
    return [call for call in calls if call.startswith(f"{installer} install ")]


@pytest.mark.parametrize(("ci", "shown"), [("", True), ("true", False)])
def test_progress_is_shown_on_a_terminal_and_not_in_ci(checkout: Path, installer: str, ci: str, *, shown: bool) -> None:
    terminal, output = os.openpty()
    try:
        calls = installs(checkout, installer, "run", output=output, ci=ci)
    finally:
        os.close(output)
        os.close(terminal)
    assert len(calls) == 2
    assert ["--quiet" in call for call in calls] == [not shown] * 2


def test_output_that_goes_into_a_file_has_no_progress(checkout: Path, installer: str) -> None:
    with (checkout / "output").open("wb") as output:
        calls = installs(checkout, installer, "all", output=output.fileno())
    assert all("--quiet" in call for call in calls)
    assert (checkout / "output").read_text().startswith("Installing ")


def test_the_servers_of_other_projects_are_installed_without_this_project(checkout: Path, installer: str) -> None:
    there = installer.replace(".venv/", ".venv-providers/")
    (call,) = installs(checkout, there, "providers", output=subprocess.DEVNULL)
    assert call.endswith("--require-hashes -r requirements/foreign-servers.lock")
