"""Calls that are joined into batches."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from app.storage.batching import Batches


class Server:
    """A server that answers each number with its double, once the test lets it."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.asked = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.down = False

    async def send(self, numbers: Sequence[int]) -> Sequence[int | Exception]:
        self.batches.append(list(numbers))
        self.asked.set()
        await self.may_answer.wait()
        if self.down:
            raise ConnectionError("the server is away")
        return [ValueError("odd") if number % 2 else number * 2 for number in numbers]


async def test_calls_that_come_during_a_request_go_together_into_the_next_one() -> None:
    server = Server()
    batches = Batches(server.send, most=3)
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


async def test_an_error_of_the_request_is_that_of_all_its_callers_and_of_no_later_one() -> None:
    server = Server()
    server.may_answer.set()
    server.down = True
    batches = Batches(server.send, most=3)

    errors = await asyncio.gather(batches.join(2), batches.join(4), return_exceptions=True)
    server.down = False

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
