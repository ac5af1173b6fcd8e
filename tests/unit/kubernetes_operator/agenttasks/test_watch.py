"""The settings of kopf for the watch on AgentTasks."""

from __future__ import annotations

from itertools import islice

from agent_operator.agenttasks.register import FINISHED_LABEL
from agent_operator.agenttasks.watch import Backoffs, watch_settings


def test_finished_objects_are_not_watched() -> None:
    selectors = watch_settings().watching.label_selectors

    assert selectors["agenttasks.agentorchestrator.dev"] == f"!{FINISHED_LABEL}"


def test_the_watch_never_gives_up_and_soon_tries_every_three_seconds() -> None:
    assert list(islice(Backoffs(), 6)) == [0.5, 1.0, 2.0, 3.0, 3.0, 3.0]
    assert list(islice(Backoffs(), 1_000))[-1] == 3.0
