"""The API that a command uses: never another one than the person named."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.cli.embedded.state import StackStatus, StateFolder
from app.cli.failure import CommandRefused, ExitCode
from app.cli.target import DEFAULT_API, NoStack, find_target
from tests.unit.cli.calls import called_as


@pytest.fixture(autouse=True)
def _called(monkeypatch: pytest.MonkeyPatch) -> None:
    called_as(monkeypatch, "./agent-orchestrator")


def running_stack(folder: Path) -> StackStatus:
    return StackStatus(supervisor_pid=1, phase="running", api_url="http://127.0.0.1:9", simulated=("openai",))


def test_the_address_that_was_asked_for_wins(tmp_path: Path) -> None:
    target = find_target("http://api.example/", tmp_path)

    assert target.url == "http://api.example"
    assert target.hint("watch x") == "./agent-orchestrator watch x --api http://api.example/"


def test_a_named_folder_without_a_stack_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NoStack, match=r"with: \./agent-orchestrator up --state") as failure:
        find_target(None, tmp_path / "my stack")

    assert failure.value.exit_code is ExitCode.UNREACHABLE
    assert "'" in str(failure.value), "a folder with a space is quoted, so that the hint can be pasted"


def test_the_stack_of_the_folder_is_used_and_named_in_hints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    named, usual = StateFolder(tmp_path / "b"), StateFolder(tmp_path / ".agent-orchestrator")
    assert find_target(None, None).url == DEFAULT_API
    for folder in (named, usual):
        folder.create()
    with named.lock() or pytest.fail("the lock is free"), usual.lock() or pytest.fail("the lock is free"):
        for folder in (named, usual):
            folder.write_status(running_stack(folder.path))

        assert find_target(None, Path("b")).hint("watch x") == "./agent-orchestrator watch x --state b"
        assert find_target(None, None).hint("watch x") == "./agent-orchestrator watch x"
        assert find_target(None, None).simulated == ("openai",)


@pytest.mark.parametrize("api", ["localhost:8080", "http://[::1", "ftp://x", "http://", "http://h:0", "http://h:99999"])
def test_what_is_no_address_is_refused(api: str) -> None:
    with pytest.raises(CommandRefused, match="needs http://") as failure:
        find_target(api, None)

    assert failure.value.exit_code is ExitCode.REFUSED
