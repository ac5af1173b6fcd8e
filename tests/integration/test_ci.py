"""The plugin of CI on a suite of a few lines: it repeats stories that fail, lists the flaky ones, and fails skips."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FLAKY = "flaky: passed at the second try; mend these first"
TWO_PROCESSES = ("-n", "2", "--dist", "loadfile")
SUITE = """
from pathlib import Path

import pytest

TRIED = Path(__file__).with_suffix(".tried")

def test_passes_at_its_second_try():
    if not TRIED.exists():
        TRIED.touch()
        raise AssertionError("the first try")

def test_never_passes():
    first = not TRIED.with_suffix(".again").exists()
    TRIED.with_suffix(".again").touch()
    raise AssertionError("the cause" if first else "what follows from it")

@pytest.mark.skip(reason="no server")
def test_is_skipped():
    pass
"""


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """Writes the same tests as stories and as others."""
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    for name in ("chaos/test_story.py", "unit/test_other.py"):
        path = tmp_path / "tests" / name
        path.parent.mkdir(parents=True)
        path.write_text(SUITE)
    return tmp_path


def run(suite: Path, *options: str, ci: str) -> str:
    """Runs the suite, which has to fail, and returns the output."""
    plugins = ("-p", "tests.ci", "-p", "no:valkey", "-p", "no:langsmith_plugin")
    outside = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(  # noqa: S603  pytest, on files of this test
        [sys.executable, "-P", "-m", "pytest", "-q", "-rfE", *plugins, *options, "tests"],
        cwd=suite,
        env={**outside, "CI": ci, "PYTHONPATH": str(ROOT), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("options", [(), TWO_PROCESSES], ids=["one process", "two processes"])
def test_a_story_that_passes_at_its_second_try_is_listed_with_its_first_failure(
    suite: Path, options: tuple[str, ...]
) -> None:
    output = run(suite, *options, ci="true")

    flaky = output.partition(FLAKY)[2].partition("short test summary")[0]
    assert "tests/chaos/test_story.py::test_passes_at_its_second_try\n    AssertionError: the first try" in flaky
    flaky, _, first_failures = flaky.partition("first failure of ")
    assert "test_never_passes" not in flaky
    assert "test_other.py" not in flaky
    assert first_failures.startswith("tests/chaos/test_story.py::test_never_passes")
    assert "AssertionError: the cause" in first_failures


@pytest.mark.parametrize("options", [(), TWO_PROCESSES], ids=["one process", "two processes"])
def test_all_other_failures_and_every_skip_fail_the_run(suite: Path, options: tuple[str, ...]) -> None:
    output = run(suite, *options, ci="true")

    # A skip is raised before the test itself, and so counts as an error.
    failed = {line.split()[1] for line in output.splitlines() if line.startswith(("FAILED ", "ERROR "))}
    assert failed == {
        "tests/chaos/test_story.py::test_never_passes",
        "tests/chaos/test_story.py::test_is_skipped",
        "tests/unit/test_other.py::test_passes_at_its_second_try",
        "tests/unit/test_other.py::test_never_passes",
        "tests/unit/test_other.py::test_is_skipped",
    }
    assert "which CI does not allow: Skipped: no server" in output


def test_outside_of_ci_nothing_is_repeated_and_a_skip_is_a_skip(suite: Path) -> None:
    output = run(suite, ci="")

    assert FLAKY not in output
    assert "4 failed, 2 skipped" in output
