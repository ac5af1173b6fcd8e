"""The register: events that it ignores, and texts that it has no room for."""

from __future__ import annotations

from agent_operator.agenttasks.register import ECHO_SECONDS, Register
from tests.support.doubles import ManualClock
from tests.unit.kubernetes_operator.crew import Crew
from tests.unit.kubernetes_operator.world import World


async def test_texts_that_do_not_fit_are_read_again_when_their_turn_comes(world: World) -> None:
    world.add("long", task="x" * 10_000)
    crew = Crew(world, register=Register(ManualClock(), spec_bytes=5_000))
    crew.see_all()
    (entry,) = crew.register
    assert entry.spec is None

    await crew.reconcile_all()

    assert len(world.submissions) == 1
    assert world.objects["long"]["status"]["phase"] == "Queued"


def test_the_echo_of_a_finished_object_makes_no_entry_for_a_minute(world: World) -> None:
    clock, body = ManualClock(), world.add("poem")
    register = Register(clock)
    entry = register.record(body)
    assert entry is not None
    register.record_finished(entry)

    clock.advance(ECHO_SECONDS)
    assert register.record(body) is None
    clock.advance(1)
    assert register.record(body) is not None


def test_an_event_that_is_older_than_the_entry_changes_nothing(world: World) -> None:
    register, old = Register(ManualClock()), world.add("poem")
    newer = {**old, "spec": {**old["spec"], "cancel": True}, "metadata": {**old["metadata"], "resourceVersion": "9"}}
    register.record(newer)

    entry = register.record(old)

    assert entry is not None
    assert (entry.cancel, entry.resource_version) == (True, "9")
