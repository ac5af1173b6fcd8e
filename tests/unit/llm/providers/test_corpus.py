"""Every shape of the corpus gives its answer, read from a socket and wherever the network cuts it."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import settings

from tests.support.corpus import PROTOCOLS, Shape, outcome_of, read_corpus
from tests.support.model_server import Reply, adapting, serving

SHAPES = read_corpus()
# Longer ones are cut at random only: each byte is a turn of the event loop.
_BYTE_BY_BYTE = 6 * settings().max_examples
_RANDOM_CUTS = 3


def test_the_corpus_covers_every_protocol() -> None:
    assert len(SHAPES) >= 80
    assert {shape.protocol for shape in SHAPES} == set(PROTOCOLS)
    assert len({shape.name for shape in SHAPES}) == len(SHAPES)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
async def test_a_shape_gives_the_same_answer_wherever_it_is_cut(shape: Shape) -> None:
    replies = [_sending(shape, pieces) for pieces in _cut(shape)]
    async with serving(*replies) as server, adapting(server.url, provider=shape.provider) as adapter:
        outcomes = [await outcome_of(shape, adapter) for _ in replies]
    assert outcomes == [shape.expected] * len(replies)


def _cut(shape: Shape) -> Iterator[list[bytes]]:
    body = shape.body
    yield [body]
    if len(body) <= _BYTE_BY_BYTE:
        yield [body[at : at + 1] for at in range(len(body))]
    # The same cuts in every run.
    chance = random.Random(shape.name)
    for _ in range(_RANDOM_CUTS if len(body) > 1 else 0):
        places = [0, *sorted(chance.sample(range(1, len(body)), min(5, len(body) - 1))), len(body)]
        yield [body[begin:end] for begin, end in itertools.pairwise(places)]


def _sending(shape: Shape, pieces: Sequence[bytes]) -> Reply:
    async def send(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(shape.response())
        for piece in pieces:
            writer.write(piece)
            await _let_the_client_read()

    return send


async def _let_the_client_read() -> None:
    """Gives the client, which runs in the same loop, the turns that it needs to read what was sent."""
    for _ in range(4):
        await asyncio.sleep(0)
