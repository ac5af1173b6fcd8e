"""The tour on an API whose tasks all end alike: it stops only if no model can be reached."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from app.cli.demo import tour
from app.cli.demo.scenes import SCENES, Trick
from app.cli.embedded.state import StackStatus
from tests.support.scripted_api import scripted_api
from tests.unit.cli.rendered import rendered_task

ERRORS = ("LLM_UNAVAILABLE", "LLM_AUTH_FAILED", "LLM_QUOTA_EXCEEDED", "LLM_MODEL_NOT_FOUND")


def failed_task(error: str) -> dict[str, Any]:
    usage = {"total_tokens": 0, "cost_usd": 0}
    return rendered_task(
        task_id="t",
        session_id="s",
        status="failed",
        selected_agent=None,
        routing=None,
        result=None,
        error={"type": error, "message": "No model gave a usable answer."},
        usage=usage,
        updated_at="now",
        created_at="2026-01-01T00:00:00Z",
        completed_at="2026-01-01T00:00:01Z",
    )


def tasks_of_a_tour(monkeypatch: pytest.MonkeyPatch, error: str) -> int:
    """Plays the tour with real providers, whose tasks all fail with this error. Returns how many it submitted."""

    @contextmanager
    def stack(_: Path | None, __: Console) -> Iterator[StackStatus]:
        yield StackStatus(supervisor_pid=1, phase="running", api_url=api.url)

    with scripted_api((202, {}, failed_task(error))) as api:
        monkeypatch.setattr(tour, "_stack", stack)
        assert tour.run_tour(Path("unused")) == 1
        return [method for method, _, _ in api.asked].count("POST")


@pytest.mark.parametrize("error", ERRORS)
def test_without_a_model_the_tour_ends_after_its_first_task(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: str
) -> None:
    assert tasks_of_a_tour(monkeypatch, error) == 1
    assert "The other scenes are left out: no model answers" in capsys.readouterr().out


def test_after_a_failure_of_another_kind_the_tour_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    # The outage is left out with real providers, and the last scene submits its task twice.
    played = [2 if scene.trick is Trick.TWICE else 1 for scene in SCENES if scene.trick is not Trick.OUTAGE]
    assert tasks_of_a_tour(monkeypatch, "AGENT_FAULT") == sum(played)
