"""Tickets, presence and channels on a real Valkey."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from app.broker.celery_config import build_celery
from app.broker.channels import SNAPSHOT_KEY, WORKERS_KEY, worker_key
from app.broker.clients import Broker
from app.broker.connections import COMMAND_SECONDS
from app.broker.queue import CeleryTaskQueue
from app.broker.worker_presence import forget_silent_workers, publish_presence, read_presences, withdraw_presence
from app.domain.ticket import Ticket
from app.errors import BrokerUnavailable
from app.settings import BrokerSettings, ExecutionSettings, load_settings
from app.system_clock import SystemClock
from tests.support.doubles import presence
from tests.support.proxy import running_proxy
from tests.support.servers import HOST, broker_server
from tests.support.tasks import TENANT, new_task


@asynccontextmanager
async def open_queue(url: str) -> AsyncIterator[CeleryTaskQueue]:
    broker = Broker(load_settings(broker=BrokerSettings(redis_url=SecretStr(url))), SystemClock())
    try:
        yield broker.queue
    finally:
        await broker.close()


def new_ticket() -> Ticket:
    return Ticket(task_id=new_task().id, dispatch_seq=1, request_id="r")


def _address(url: str) -> tuple[str, int]:
    address = urlsplit(url)
    return str(address.hostname), int(address.port or 0)


@pytest.fixture
async def queue(redis_url: str, redis_client: Redis) -> AsyncIterator[CeleryTaskQueue]:
    async with open_queue(redis_url) as queue:
        yield queue


async def test_the_queue_is_counted_where_celery_keeps_it(redis_url: str, redis_client: Redis) -> None:
    elsewhere = SecretStr(f"{redis_url.rpartition('/')[0]}/1")
    broker = Broker(
        load_settings(broker=BrokerSettings(redis_url=SecretStr(redis_url), celery_broker_url=elsewhere)), SystemClock()
    )
    task = new_task()
    try:
        await broker.queue.publish([Ticket(task_id=task.id, dispatch_seq=1, request_id="r", traceparent=None)])

        assert await broker.queue.length() == 1
        assert await broker.queue.listed() == {task.id}
        assert await redis_client.execute_command("LLEN", "agent_tasks") == 0
    finally:
        await redis_client.execute_command("FLUSHALL")
        await broker.close()


async def test_a_ticket_holds_an_id_and_trace_headers_and_nothing_else(
    queue: CeleryTaskQueue, redis_client: Redis
) -> None:
    task = new_task("the secret text")

    await queue.publish([Ticket(task_id=task.id, dispatch_seq=3, request_id="req-1", traceparent="00-a-b-01")])

    assert await queue.length() == 1
    assert await queue.listed() == {task.id}
    (raw,) = await redis_client.execute_command("LRANGE", "agent_tasks", 0, -1)
    message = json.loads(raw)
    assert message["headers"]["id"] == f"{task.id}:3"
    assert (message["headers"]["request_id"], message["headers"]["traceparent"]) == ("req-1", "00-a-b-01")
    assert "secret" not in raw


async def test_a_stopped_broker_is_an_error_not_an_empty_queue() -> None:
    with broker_server() as server:
        async with open_queue(server.url) as queue:
            assert await queue.length() == 0
            server.stop()
            for command in (
                queue.length,
                queue.listed,
                queue.presences,
                lambda: queue.kick(TENANT),
                queue.check,
                queue.forget_silent_workers,
                queue.snapshot,
            ):
                with pytest.raises(BrokerUnavailable):
                    await command()
            with pytest.raises(BrokerUnavailable):
                await queue.kick(TENANT)
            with pytest.raises(BrokerUnavailable):
                await queue.publish([new_ticket()])


async def test_a_frozen_broker_is_soon_an_error() -> None:
    with broker_server() as server:
        async with open_queue(server.url) as queue:
            assert await queue.length() == 0
            server.send_signal(signal.SIGSTOP)
            try:
                async with asyncio.timeout(2 * COMMAND_SECONDS):
                    with pytest.raises(BrokerUnavailable):
                        await queue.length()
            finally:
                server.send_signal(signal.SIGCONT)


@pytest.mark.parametrize("foreign", ["no json", "{}", "[1]", '{"headers": null}', b"\xff\xfe"])
async def test_an_entry_that_is_no_ticket_does_not_hide_the_others(
    queue: CeleryTaskQueue, redis_client: Redis, foreign: str | bytes
) -> None:
    task = new_task()
    await redis_client.execute_command("LPUSH", "agent_tasks", foreign)
    await queue.publish([Ticket(task_id=task.id, dispatch_seq=1, request_id="r")])

    assert await queue.listed() == {task.id}


async def test_an_unreadable_presence_does_not_hide_the_others(redis_client: Redis) -> None:
    await publish_presence(redis_client, presence())
    await redis_client.execute_command("SADD", WORKERS_KEY, "w0")
    await redis_client.set(worker_key("w0"), '{"worker_id": 7}')

    assert [one.worker_id for one in await read_presences(redis_client)] == ["w1"]


async def test_presence_is_read_back_and_silent_workers_are_forgotten(redis_client: Redis) -> None:
    first = presence(running=("a",))
    second = replace(first, worker_id="w2")
    await publish_presence(redis_client, first)
    await publish_presence(redis_client, second)
    assert {one.worker_id for one in await read_presences(redis_client)} == {"w1", "w2"}

    await redis_client.delete(worker_key("w1"))
    assert await read_presences(redis_client) == [second]
    assert await redis_client.execute_command("SCARD", WORKERS_KEY) == 2

    await forget_silent_workers(redis_client)
    assert await redis_client.execute_command("SMEMBERS", WORKERS_KEY) == {"w2"}
    await withdraw_presence(redis_client, "w2")
    assert await read_presences(redis_client) == []


@pytest.mark.parametrize(
    ("setting", "value", "reason"),
    [
        ("maxmemory", "1mb", "it is full"),
        ("min-replicas-to-write", "1", "fewer replicas than min-replicas-to-write"),
    ],
)
async def test_a_broker_that_refuses_writes_says_why_and_can_be_read(setting: str, value: str, reason: str) -> None:
    with broker_server() as server:
        async with open_queue(server.url) as queue:
            await queue.check()
            async with Redis.from_url(server.url) as administrator:
                await administrator.config_set(setting, value)
            for write in (queue.check, lambda: queue.add_arrivals(1), lambda: queue.publish([new_ticket()])):
                with pytest.raises(BrokerUnavailable, match=f"refused .*{reason}"):
                    await write()
            assert await queue.length() == 0
            assert await queue.presences() == []


async def test_a_broker_that_became_a_replica_is_left_for_the_primary_of_now() -> None:
    """Demotes a server behind one address, and leaves the connections to it open."""
    with broker_server() as before, broker_server() as after:
        (old, old_port), (new, new_port) = _address(before.url), _address(after.url)
        with running_proxy(old, old_port) as proxy:
            async with open_queue(f"redis://{HOST}:{proxy.port}/0") as queue, Redis.from_url(before.url) as demoted:
                await queue.check()
                await queue.publish([new_ticket()])
                proxy.redirect(new, new_port)
                await demoted.execute_command("REPLICAOF", new, new_port)
                await queue.check()
                await queue.publish_snapshot({"waiting": 1})
                assert await queue.presences() == []
                # Celery's connection is another one: the first ticket finds out, and is sent again by the dispatcher.
                with pytest.raises(BrokerUnavailable, match="it is a replica"):
                    await queue.publish([new_ticket()])
                await queue.publish([new_ticket()])
                async with Redis.from_url(after.url) as primary:
                    assert await primary.exists(SNAPSHOT_KEY) == 1
                    assert await primary.execute_command("LLEN", "agent_tasks") == 1


async def test_a_kick_wakes_the_listener_also_after_a_restart_of_the_broker() -> None:
    with broker_server() as server:
        async with open_queue(server.url) as queue:
            received: asyncio.Queue[str] = asyncio.Queue()

            async def listen() -> None:
                async for text in queue.kicks():
                    received.put_nowait(text)

            listener = asyncio.create_task(listen())
            await _kick_until_received(queue, received)
            await asyncio.to_thread(server.restart)
            await _kick_until_received(queue, received)
            listener.cancel()
            await asyncio.gather(listener, return_exceptions=True)


async def _kick_until_received(queue: CeleryTaskQueue, received: asyncio.Queue[str]) -> None:
    """Repeats the kick, because a kick that comes before the subscription is lost."""
    while not received.empty():
        received.get_nowait()
    async with asyncio.timeout(20):
        while True:
            try:
                await queue.kick(TENANT)
                async with asyncio.timeout(0.1):
                    await received.get()
                    return
            except (TimeoutError, BrokerUnavailable):
                continue


async def test_the_snapshot_is_read_back(queue: CeleryTaskQueue) -> None:
    await queue.publish_snapshot({"waiting": 3, "arrival_rate": 0.5})

    assert await queue.snapshot() == {"waiting": "3", "arrival_rate": "0.5"}


async def test_arrivals_add_up(queue: CeleryTaskQueue) -> None:
    before = await queue.arrivals()
    await queue.add_arrivals(3)
    await queue.add_arrivals(2)

    assert await queue.arrivals() == before + 5


def test_a_ticket_outlives_the_longest_task() -> None:
    app = build_celery(BrokerSettings(), ExecutionSettings(deadline_seconds=7200))

    assert app.conf.broker_transport_options["visibility_timeout"] == 2 * 7200 + 300
