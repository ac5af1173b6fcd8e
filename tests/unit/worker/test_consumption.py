"""The consumer is paused while there is a reason not to fetch."""

from __future__ import annotations

from worker.consumption import Consumption, PauseReason


class RecordingConsumer:
    def __init__(self) -> None:
        self.calls: list[str] = []

    def pause(self) -> None:
        self.calls.append("pause")

    def resume(self) -> None:
        self.calls.append("resume")


def test_the_last_reason_that_is_withdrawn_resumes() -> None:
    consumption, consumer = Consumption(), RecordingConsumer()
    consumption.attach(consumer)

    consumption.block(PauseReason.DRAINED)
    consumption.block(PauseReason.STORE_UNAVAILABLE)
    consumption.block(PauseReason.STORE_UNAVAILABLE)
    consumption.unblock(PauseReason.DRAINED)
    assert (consumer.calls, consumption.paused) == (["pause"], True)

    consumption.unblock(PauseReason.STORE_UNAVAILABLE)
    assert (consumer.calls, consumption.paused) == (["pause", "resume"], False)


def test_withdrawing_a_reason_that_was_never_given_changes_nothing() -> None:
    consumption, consumer = Consumption(), RecordingConsumer()
    consumption.attach(consumer)

    consumption.unblock(PauseReason.STORE_UNAVAILABLE)

    assert consumer.calls == []


def test_a_consumer_that_comes_later_is_paused_at_once() -> None:
    consumption, consumer = Consumption(), RecordingConsumer()
    consumption.block(PauseReason.STORE_UNAVAILABLE)

    consumption.attach(consumer)

    assert consumer.calls == ["pause"]
