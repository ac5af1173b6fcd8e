"""The log lines of a local stack as a person reads them, whatever else is in the files."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pytest

from app.cli.embedded.state import StateFolder
from app.cli.failure import CommandRefused
from app.cli.logs import show_logs, to_readable

AT = "2026-01-01T12:00:03.5Z"
ENTRY = {"timestamp": AT, "level": "warning", "message": "worker_drained", "logger": "app.api.system"}


def test_a_json_line_becomes_time_level_message_and_fields() -> None:
    line = json.dumps({**ENTRY, "process": "api", "environment": "dev", "seconds": 5, "worker_id": "w\x1b[2J"})

    at = datetime.fromisoformat(AT).astimezone()
    assert to_readable(line) == f"{at:%H:%M:%S}  warning  worker_drained  seconds=5  worker_id=w[2J"


@pytest.mark.parametrize(
    "line", ['{"timestamp": "2026-', "[1, 2]", "7", "# Server initialized", '{"t": 1}', '{"timestamp": 1}', ""]
)
def test_any_other_line_stays_as_it_is(line: str) -> None:
    assert to_readable(line) == line


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    state = StateFolder(tmp_path)
    state.create()
    for name, text in (("api", "one\ntwo\n"), ("api.1", "old\n"), ("worker-1", "three\n")):
        (state.logs / f"{name}.log").write_text(text)
    return tmp_path


def test_all_processes_are_shown_under_their_names(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show_logs(folder, None, lines=1)
    assert capsys.readouterr().out == "==> api <==\ntwo\n==> worker-1 <==\nthree\n"


def test_one_process_is_shown_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show_logs(folder, "api", lines=5)
    assert capsys.readouterr().out == "one\ntwo\n"


def test_a_process_without_a_log_is_refused_with_the_names(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CommandRefused, match=r"no log of db in .*; there are those of api, worker-1"):
        show_logs(folder, "db", lines=5)
    with pytest.raises(CommandRefused, match="no stack has run there"):
        show_logs(tmp_path / "nowhere", None, lines=5)
