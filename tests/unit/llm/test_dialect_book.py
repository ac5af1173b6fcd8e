from __future__ import annotations

import json
from typing import Any

import pytest

from app.llm.dialect_book import DialectBook
from app.llm.server_dialect import FULL, Dialect, Feature
from tests.support.doubles import ManualClock
from tests.unit.llm.doubles import MemoryRedis

NAME = "openai:m"
LESSON = FULL.without(Feature.STREAMING)


def book(redis: Any = None, clock: ManualClock | None = None, *addresses: str) -> DialectBook:
    return DialectBook(redis=redis, clock=clock or ManualClock(), addresses=addresses)


async def test_without_redis_it_is_unknown_what_others_have_learned() -> None:
    redis = MemoryRedis()
    assert await book().read(NAME) is None
    assert await book(redis).read(NAME) == FULL
    await book(redis).learn(NAME, LESSON)
    assert await book(redis).read(NAME) == LESSON


async def test_nothing_is_known_of_a_new_model_and_lessons_add_up() -> None:
    one = book()
    assert await one.of(NAME) == FULL
    await one.learn(NAME, LESSON)
    await one.learn(NAME, Dialect(max_output_tokens=500))
    assert await one.of(NAME) == Dialect(frozenset({Feature.STREAMING}), 500)
    assert await one.of("openai:other") == FULL


async def test_another_worker_knows_within_a_minute() -> None:
    redis, clock = MemoryRedis(), ManualClock()
    one, two = book(redis), book(redis, clock)
    assert await two.of(NAME) == FULL
    await one.learn(NAME, LESSON)
    clock.advance(60)
    assert await two.of(NAME) == LESSON


async def test_two_workers_that_learn_side_by_side_lose_nothing() -> None:
    redis = MemoryRedis()
    one, two = book(redis), book(redis)
    await one.learn(NAME, LESSON)
    await two.learn(NAME, FULL.without(Feature.EFFORT))
    assert await book(redis).of(NAME) == LESSON.without(Feature.EFFORT)


async def test_another_address_is_another_server() -> None:
    redis = MemoryRedis()
    await book(redis, None, "http://one.test").learn(NAME, LESSON)
    assert await book(redis, None, "http://two.test").of(NAME) == FULL
    assert await book(redis, None, "http://one.test").of(NAME) == LESSON


@pytest.mark.parametrize("value", ["no json", "[]", "{}", json.dumps({"refused": 7, "max_output_tokens": None})])
async def test_a_page_that_cannot_be_read_counts_as_empty(value: str) -> None:
    redis = MemoryRedis()
    await book(redis).learn(NAME, LESSON)
    redis.stored = dict.fromkeys(redis.stored, value)
    assert await book(redis).of(NAME) == FULL


async def test_a_feature_of_another_version_is_left_out() -> None:
    redis = MemoryRedis()
    await book(redis).learn(NAME, LESSON)
    (key,) = redis.stored
    redis.stored[key] = json.dumps({"refused": ["streaming", "telepathy"], "max_output_tokens": None})
    assert await book(redis).of(NAME) == LESSON
