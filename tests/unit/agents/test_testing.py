"""The doubles for authors of agents: no process needs them, and they need no test framework."""

from __future__ import annotations

import subprocess
import sys

import pytest

from app.agents.testing import ManualClock, ScriptedLLM
from app.llm.interface import ChatMessage, ModelRole


def test_the_doubles_import_no_test_framework() -> None:
    script = "import sys, app.agents.testing; sys.exit(bool({'pytest', 'hypothesis', 'tests'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0  # noqa: S603 - our own code


def test_both_times_of_the_clock_move_together() -> None:
    clock = ManualClock()
    before, began_at = clock.now(), clock.monotonic()
    clock.advance(2.5)
    assert (clock.now() - before).total_seconds() == clock.monotonic() - began_at == 2.5


async def test_a_call_beyond_the_script_fails_with_its_number() -> None:
    llm = ScriptedLLM("one")
    await llm.chat([ChatMessage("user", "first")], role=ModelRole.PRIMARY)
    with pytest.raises(AssertionError, match=r"no reply left for call 2 \(role primary\)"):
        await llm.chat([ChatMessage("user", "second")], role=ModelRole.PRIMARY)
