"""Calls that are joined into batches."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

import pytest
from pymongo.errors import NetworkTimeout, NotPrimaryError, OperationFailure

from app.errors import StoreFault, StoreUnavailable
from app.storage.batching import Batches


class Server:
    """A server that answers each number with its double, once the test lets it."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.asked = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.down: Exception | None = None

    async def send(self, numbers: Sequence[int]) -> Sequence[int | Exception]:
        self.batches.append(list(numbers))
        self.asked.set()
        await self.may_answer.wait()
        if self.down is not None:
            raise self.down
        return [ValueError("odd") if number % 2 else number * 2 for number in numbers]


class HangingServer:
    """A server that answers no batch until the test sets the answer, which it gives to each item, or the error."""

    def __init__(self) -> None:
        self.batches: list[tuple[list[int], asyncio.Future[int]]] = []

    async def send(self, numbers: Sequence[int]) -> Sequence[int]:
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.batches.append((list(numbers), answer))
        return [await answer] * len(numbers)

    @property
    def sent(self) -> list[list[int]]:
        return [numbers for numbers, _ in self.batches]


async def turn() -> None:
    """Lets the tasks go on as far as they can; none here needs more turns of the loop."""
    for _ in range(5):
        await asyncio.sleep(0)


async def start(batches: Batches[int, int], numbers: Iterable[int]) -> list[asyncio.Task[int]]:
    """Starts a call for each number, one after the other."""
    calls = []
    for number in numbers:
        calls.append(asyncio.create_task(batches.join(number)))
        await turn()
    return calls


async def test_calls_that_come_during_a_request_go_together_into_the_next_one() -> None:
    server = Server()
    batches = Batches(server.send, most=3, at_once=1)
    async with asyncio.TaskGroup() as group:
        first = group.create_task(batches.join(0))
        await server.asked.wait()
        others = [group.create_task(batches.join(number)) for number in (2, 4, 6, 8)]
        await asyncio.sleep(0)
        server.may_answer.set()

    assert [first.result(), *(other.result() for other in others)] == [0, 4, 8, 12, 16]
    assert server.batches == [[0], [2, 4, 6], [8]]


async def test_each_caller_gets_its_own_answer_or_error() -> None:
    server = Server()
    server.may_answer.set()
    batches = Batches(server.send, most=3)

    answers = await asyncio.gather(*(batches.join(number) for number in (2, 3)), return_exceptions=True)

    assert answers[0] == 4
    assert isinstance(answers[1], ValueError)
    assert server.batches == [[2, 3]]


async def test_a_call_that_comes_right_after_an_answer_is_sent() -> None:
    server = Server()
    server.may_answer.set()
    batches = Batches(server.send, most=3, at_once=1)

    async def call_twice() -> list[int]:
        return [await batches.join(2), await batches.join(4)]

    async with asyncio.timeout(5):
        assert await call_twice() == [4, 8]


async def test_an_error_of_the_request_is_that_of_all_its_callers_and_of_no_later_one() -> None:
    server = Server()
    server.may_answer.set()
    server.down = ConnectionError("connection refused")
    batches = Batches(server.send, most=3)

    errors = await asyncio.gather(batches.join(2), batches.join(4), return_exceptions=True)
    server.down = None

    assert [type(error) for error in errors] == [ConnectionError, ConnectionError]
    assert await batches.join(6) == 12


async def test_a_caller_that_gives_up_leaves_the_others_their_answers() -> None:
    server = Server()
    batches = Batches(server.send, most=3)
    one, other = asyncio.create_task(batches.join(2)), asyncio.create_task(batches.join(4))
    await server.asked.wait()
    one.cancel()
    server.may_answer.set()

    assert await other == 8
    with pytest.raises(asyncio.CancelledError):
        await one


async def test_requests_without_an_answer_hold_up_no_other_until_a_few_are_under_way() -> None:
    server = HangingServer()
    batches = Batches(server.send, most=3, at_once=2)
    calls = await start(batches, range(6))

    assert server.sent == [[0], [1]]

    server.batches[1][1].set_result(7)
    await turn()
    assert server.sent == [[0], [1], [2, 3, 4]]

    server.batches[2][1].set_result(8)
    await turn()
    server.batches[3][1].set_result(9)
    assert await asyncio.gather(*calls[1:]) == [7, 8, 8, 8, 9]
    assert not calls[0].done()
    server.batches[0][1].set_result(6)
    assert await calls[0] == 6


@pytest.mark.parametrize(
    "outage",
    [NetworkTimeout("timed out"), NotPrimaryError("stepped down"), OperationFailure("", 11600), StoreUnavailable("")],
)
async def test_an_outage_is_at_once_the_answer_to_all_that_wait(outage: Exception) -> None:
    server = HangingServer()
    batches = Batches(server.send, most=2, at_once=1)
    calls = await start(batches, range(6))

    server.batches[0][1].set_exception(outage)

    assert await asyncio.gather(*calls, return_exceptions=True) == [outage] * 6
    assert server.sent == [[0]]


async def test_a_connection_that_broke_while_another_one_worked_is_no_answer_to_those_that_wait() -> None:
    server = HangingServer()
    batches = Batches(server.send, most=1, at_once=2)
    calls = await start(batches, range(4))
    outage = NetworkTimeout("timed out")

    server.batches[1][1].set_result(5)
    await turn()
    server.batches[0][1].set_exception(outage)
    await turn()
    assert server.sent == [[0], [1], [2], [3]]
    server.batches[2][1].set_result(6)
    server.batches[3][1].set_result(7)

    assert await asyncio.gather(*calls, return_exceptions=True) == [outage, 5, 6, 7]


@pytest.mark.parametrize("fault", [OperationFailure("refused", 2), StoreFault("")])
async def test_another_error_of_a_request_is_no_answer_to_those_that_wait(fault: Exception) -> None:
    server = HangingServer()
    batches = Batches(server.send, most=2, at_once=1)
    calls = await start(batches, range(2))

    server.batches[0][1].set_exception(fault)
    await turn()
    server.batches[1][1].set_result(5)

    assert await asyncio.gather(*calls, return_exceptions=True) == [fault, 5]


async def test_an_item_whose_caller_was_cancelled_is_not_sent() -> None:
    server = HangingServer()
    batches = Batches(server.send, most=2, at_once=1)
    calls = await start(batches, range(4))

    calls[1].cancel()
    await turn()
    server.batches[0][1].set_result(0)
    await turn()

    assert server.sent == [[0], [2, 3]]
    server.batches[1][1].set_result(1)
    assert [await calls[2], await calls[3]] == [1, 1]


async def test_the_end_of_the_loop_cancels_all_callers_and_leaves_nothing_waiting() -> None:
    server = HangingServer()
    batches = Batches(server.send, most=1, at_once=1)
    calls = await start(batches, range(3))

    for sender in batches._senders:
        sender.cancel()
    await turn()

    assert [call.cancelled() for call in calls] == [True] * 3
    assert batches._waiting == []
    after = await start(batches, [3])
    server.batches[1][1].set_result(4)
    assert await after[0] == 4
    assert server.sent == [[0], [3]]


async def test_a_wrong_number_of_answers_is_an_error_of_every_caller() -> None:
    async def send(numbers: Sequence[int]) -> Sequence[int]:
        return [1] * (len(numbers) + 1)

    batches = Batches(send, most=3)

    errors = await asyncio.gather(batches.join(2), batches.join(4), return_exceptions=True)

    assert [type(error) for error in errors] == [RuntimeError, RuntimeError]
