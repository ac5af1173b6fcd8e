"""The consumer is paused while anything speaks against fetching."""

from __future__ import annotations

from worker.consumption import Consumption, Objection


class Consumer:
    def __init__(self) -> None:
        self.told: list[str] = []

    def pause(self) -> None:
        self.told.append("pause")

    def resume(self) -> None:
        self.told.append("resume")


def test_the_last_objection_that_goes_resumes() -> None:
    consumption, consumer = Consumption(), Consumer()
    consumption.control(consumer)

    consumption.object(Objection.DRAINED)
    consumption.object(Objection.STORE_AWAY)
    consumption.object(Objection.STORE_AWAY)
    consumption.withdraw(Objection.DRAINED)
    assert (consumer.told, consumption.paused) == (["pause"], True)

    consumption.withdraw(Objection.STORE_AWAY)
    assert (consumer.told, consumption.paused) == (["pause", "resume"], False)


def test_withdrawing_what_was_never_said_changes_nothing() -> None:
    consumption, consumer = Consumption(), Consumer()
    consumption.control(consumer)

    consumption.withdraw(Objection.STORE_AWAY)

    assert consumer.told == []


def test_a_consumer_that_comes_later_is_paused_at_once() -> None:
    consumption, consumer = Consumption(), Consumer()
    consumption.object(Objection.STORE_AWAY)

    consumption.control(consumer)

    assert consumer.told == ["pause"]
