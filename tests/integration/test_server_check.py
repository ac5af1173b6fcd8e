"""Servers of a kind that can never work: no process starts with one, and the sentence names the setting."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from pydantic import SecretStr
from redis import Redis

from app.broker.clients import Broker
from app.errors import BrokerUnavailable, BrokerUnsuitable, ConfigurationError, StoreUnavailable, StoreUnsuitable
from app.server_check import check_broker, check_store, refuse_unsuitable
from app.services.dependency_health import HealthService, HealthStatus
from app.settings import BrokerSettings, StoreSettings, load_settings
from app.storage.mongo import connect, database
from app.storage.system import MongoSystemRepository
from app.system_clock import SystemClock
from tests.integration.cli.command import clean_environment
from tests.support.mongos import running_mongos
from tests.support.servers import HOST, broker_server, free_port, sentinel_server
from tests.support.waiting import wait_for

CLUSTER = "Redis Cluster is not supported: let REDIS_URL (and CELERY_BROKER_URL) name a server with cluster mode off."


@contextmanager
def redis_cluster(*, of_one_node: bool) -> Iterator[str]:
    """Starts a cluster with one node, which has all slots, or a node that has none of them yet."""
    with broker_server("--cluster-enabled", "yes", "--cluster-port", str(free_port())) as server:
        if of_one_node:
            with Redis.from_url(server.url) as node:
                node.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16_383)
                wait_for(lambda: "cluster_state:ok" in str(node.execute_command("CLUSTER", "INFO")), what="the cluster")
        yield server.url


def nobody() -> str:
    return f"mongodb://{HOST}:{free_port()}/"


@pytest.mark.parametrize("of_one_node", [True, False])
async def test_a_redis_cluster_is_recognised(of_one_node: bool) -> None:
    with redis_cluster(of_one_node=of_one_node) as url, pytest.raises(BrokerUnsuitable) as refused:
        await check_broker(SecretStr(url))
    assert refused.value.message == CLUSTER


async def test_a_sentinel_is_recognised() -> None:
    with sentinel_server() as sentinel, pytest.raises(BrokerUnsuitable, match="every Sentinel"):
        await check_broker(SecretStr(sentinel.url))


async def test_a_sharded_mongodb_is_recognised() -> None:
    with running_mongos() as uri, pytest.raises(StoreUnsuitable, match="MONGO_URI name a replica set"):
        await check_store(StoreSettings(uri=SecretStr(uri)))


async def test_a_usual_server_passes(mongo_uri: str, redis_url: str) -> None:
    await check_store(StoreSettings(uri=SecretStr(mongo_uri)))
    await check_broker(SecretStr(redis_url))


async def test_a_server_that_does_not_answer_is_no_reason_to_refuse() -> None:
    store, url = StoreSettings(uri=SecretStr(nobody())), SecretStr(f"redis://{HOST}:{free_port()}/0")
    with pytest.raises(StoreUnavailable):
        await check_store(store)
    with pytest.raises(BrokerUnavailable):
        await check_broker(url)

    await refuse_unsuitable(load_settings(store=store, broker=BrokerSettings(redis_url=url)))


async def test_the_redis_of_the_tickets_is_checked_too(redis_url: str) -> None:
    with redis_cluster(of_one_node=True) as url:
        broker = BrokerSettings(redis_url=SecretStr(redis_url), celery_broker_url=SecretStr(url))
        with pytest.raises(ConfigurationError, match="CELERY_BROKER_URL"):
            await refuse_unsuitable(load_settings(store=StoreSettings(uri=SecretStr(nobody())), broker=broker))


@pytest.mark.parametrize("module", ["app.main", "worker"])
def test_a_process_ends_with_the_sentence_alone(module: str) -> None:
    with redis_cluster(of_one_node=True) as url:
        done = subprocess.run(  # noqa: S603 - our own process
            [sys.executable, "-m", module],
            env={**clean_environment(), "REDIS_URL": url, "MONGO_URI": nobody()},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stderr) == (2, f"{CLUSTER}\n")


async def test_readiness_names_a_sharded_mongodb_and_a_redis_cluster() -> None:
    with running_mongos() as uri, redis_cluster(of_one_node=True) as url:
        store, redis = StoreSettings(uri=SecretStr(uri)), BrokerSettings(redis_url=SecretStr(url))
        client, broker = connect(store), Broker(load_settings(broker=redis), SystemClock())
        system = MongoSystemRepository(database(client, store))
        servers = await HealthService(system, broker.queue, SystemClock()).servers()
        await broker.close()
        client.close()

    assert {name: health.status for name, health in servers.items()} == dict.fromkeys(servers, HealthStatus.DOWN)
    assert "MONGO_URI" in (servers["mongodb"].detail or "")
    assert servers["redis"].detail == CLUSTER
