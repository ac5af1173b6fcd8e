"""The scenes of the tour, and their judgement of a finished task."""

from __future__ import annotations

from typing import Any

import pytest

from app.cli.demo.scenes import SCENES, Trick, answered_by_fallback, completed, ran_once, turned_down, with_code
from tests.unit.cli.rendered import rendered_steps, rendered_task


@pytest.mark.parametrize(
    ("judge", "task", "as_promised"),
    [
        (completed, rendered_task(), True),
        (completed, rendered_task(status="failed", error={"type": "AGENT_FAULT"}), False),
        (with_code, rendered_task(result={"code_language": "python"}), True),
        (with_code, rendered_task(), False),
        (turned_down, rendered_task(status="failed", error={"type": "UNKNOWN_TASK_TYPE"}), True),
        (turned_down, rendered_task(), False),
        (answered_by_fallback, rendered_task(steps=rendered_steps("error", "ok")), True),
        (answered_by_fallback, rendered_task(steps=rendered_steps("ok")), False),
        (ran_once, rendered_task(), True),
        (ran_once, rendered_task(attempts=2), False),
    ],
)
def test_scene_reports_a_task_that_is_not_as_promised(judge: Any, task: dict[str, Any], as_promised: bool) -> None:
    assert (judge(task) is None) is as_promised


def test_first_scene_is_one_that_the_follow_up_can_use() -> None:
    assert SCENES[0].trick is None
    assert [scene.trick for scene in SCENES if scene.trick] == [Trick.FOLLOW_UP, Trick.OUTAGE, Trick.TWICE]
