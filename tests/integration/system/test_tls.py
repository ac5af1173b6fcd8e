"""Stores that accept TLS alone, with certificates of a private authority, as on AWS and in many companies."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trustme
from pydantic import SecretStr
from pymongo.errors import PyMongoError
from redis.exceptions import RedisError

from app.broker.celery_config import build_celery
from app.broker.connections import connect_for_commands, redis_command
from app.errors import BrokerUnavailable
from app.settings import BrokerSettings, ExecutionSettings, StoreSettings
from app.storage.mongo import connect
from tests.support.proxy import running_proxy
from tests.support.servers import HOST, broker_server, store_server
from tests.support.stack import Plan, running_stack


@dataclass(frozen=True)
class Fronts:
    """The stores' addresses by TLS, and the file with the trusted authority."""

    mongo_uri: str
    redis_url: str
    trusted: Path


@pytest.fixture(scope="module")
def fronts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fronts]:
    authority = trustme.CA()
    trusted = tmp_path_factory.mktemp("tls") / "ca.pem"
    authority.cert_pem.write_to_path(str(trusted))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(HOST).configure_cert(tls)
    with store_server() as store, broker_server() as broker:
        mongo, redis = (int(urlsplit(server.url).port or 0) for server in (store, broker))
        with running_proxy(HOST, mongo, tls=tls) as mongo_front, running_proxy(HOST, redis, tls=tls) as redis_front:
            yield Fronts(
                f"mongodb://{HOST}:{mongo_front.port}/?directConnection=true&tls=true",
                f"rediss://{HOST}:{redis_front.port}/0",
                trusted,
            )


@pytest.mark.parametrize("named_in", ["the environment", "the connection strings"])
def test_tasks_run_with_both_stores_behind_tls(fronts: Fronts, named_in: str) -> None:
    if named_in == "the environment":
        settings = {"MONGO_URI": fronts.mongo_uri, "REDIS_URL": fronts.redis_url, "SSL_CERT_FILE": str(fronts.trusted)}
    else:
        settings = {
            "MONGO_URI": f"{fronts.mongo_uri}&tlsCAFile={fronts.trusted}",
            "REDIS_URL": f"{fronts.redis_url}?ssl_ca_certs={fronts.trusted}",
        }
    with running_stack(Plan(settings=settings)) as stack:
        task = stack.wait(stack.submit("Write a Python function that reverses a list.")["task_id"])
        assert task["status"] == "completed"


async def test_mongodb_with_an_untrusted_certificate_is_refused(fronts: Fronts) -> None:
    mongo = connect(StoreSettings(uri=SecretStr(fronts.mongo_uri), timeout_seconds=2))
    with pytest.raises(PyMongoError, match="certificate verify failed"):
        await mongo.admin.command("ping")
    mongo.close()


@pytest.mark.parametrize("wrong", ["nobody", "another authority", "another name"])
async def test_redis_with_a_wrong_certificate_is_refused(fronts: Fronts, wrong: str, tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    url = {
        "nobody": fronts.redis_url,
        "another authority": f"{fronts.redis_url}?ssl_ca_certs={tmp_path / 'ca.pem'}",
        "another name": f"{fronts.redis_url}?ssl_ca_certs={fronts.trusted}".replace(HOST, "localhost"),
    }[wrong]
    redis = connect_for_commands(SecretStr(url))
    with pytest.raises(BrokerUnavailable):
        async with redis_command("ping"):
            await redis.execute_command("PING")
    await redis.aclose()

    settings = BrokerSettings(redis_url=SecretStr(url), celery_result_backend=SecretStr(url))
    celery = build_celery(settings, ExecutionSettings(), publisher=True)
    with celery.connection_for_write() as tickets, pytest.raises(RedisError, match="certificate verify failed"):
        tickets.connect()
    with pytest.raises(RedisError, match="certificate verify failed"):
        celery.backend.client.ping()
