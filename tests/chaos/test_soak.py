"""The soak on a small scale: after two thousand tasks and twenty SIGKILLs, nothing is lost, repeated or left behind.

Redis is full once meanwhile, and some results are large.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from app.errors import AttemptsExhausted
from tests.soak.__main__ import soak
from tests.soak.evidence import page
from tests.soak.plan import FULL_REDIS, Progress, SoakPlan
from tests.soak.stores import embedded_store

PLAN = SoakPlan(
    tasks=2_000,
    waves=2,
    kills={"worker": 15, "broker": 2, "store": 2, "api": 1},
    fills=1,
    fill_seconds=5,
    large_every=250,
)


@pytest.mark.timeout(900)
def test_two_thousand_tasks_survive_twenty_kills(tmp_path: Path) -> None:
    with embedded_store(tmp_path / "store") as store:
        progress = soak(PLAN, store, tmp_path)

    assert progress.total("violations") == []
    assert progress.total("tasks") == PLAN.tasks
    assert sum(progress.total("kills").values()) == 20
    assert progress.total("fills") == 1
    ends = progress.total("ends")
    assert sum(ends.values()) == PLAN.tasks
    # With a kill for every hundred tasks, one task may be hit in each of its attempts.
    assert set(ends) <= {"completed", AttemptsExhausted.code}
    # Nearly all: one of the eight may have failed.
    assert progress.total("large") >= 6
    assert f"completed {ends['completed']}" in page(progress)


def test_a_soak_goes_on_where_it_was_broken_off(tmp_path: Path) -> None:
    progress = Progress(PLAN)
    state = tmp_path / "progress.json"
    progress.save(state)

    assert list(Progress.load(state, PLAN).remaining()) == [0, 1]
    with pytest.raises(ValueError, match="another soak"):
        Progress.load(state, SoakPlan(tasks=1, waves=1, kills={}))


def test_all_faults_of_a_plan_fall_into_its_waves() -> None:
    struck = [fault for wave in range(PLAN.waves) for fault in PLAN.faults_of_wave(wave)]

    assert sum(PLAN.wave_sizes()) == PLAN.tasks
    assert Counter(fault for _, fault in struck) == {**PLAN.kills, FULL_REDIS: PLAN.fills}
    assert all(moment < max(PLAN.wave_sizes()) for moment, _ in struck)
    assert [number for number in range(1, 601) if PLAN.is_large(number)] == [250, 500]
