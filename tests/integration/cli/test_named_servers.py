"""`up` with servers that the settings name and that cannot be used: one line says which and why, and nothing starts."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trustme
from redis import Redis

from tests.integration.cli.command import Shell
from tests.support.proxy import running_proxy
from tests.support.servers import HOST, broker_server, free_port, store_server


def refusal(folder: Path, settings: Mapping[str, str]) -> list[str]:
    """Runs `up`, which has to refuse, and returns the lines of standard error."""
    shell = Shell(folder, settings)
    done = shell.run("up", "--detach")
    assert (done.returncode, done.stdout) == (4, "")
    assert shell.run("status").returncode == 4, "nothing runs"
    return done.stderr.splitlines()


@pytest.mark.parametrize("variable", ["REDIS_URL", "MONGO_URI"])
def test_a_certificate_that_is_not_trusted_is_told_before_anything_starts(tmp_path: Path, variable: str) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert(HOST).configure_cert(tls)
    with broker_server() if variable == "REDIS_URL" else store_server() as server:
        port = int(urlsplit(server.url).port or 0)
        with running_proxy(HOST, port, tls=tls) as front:
            at_front = server.url.replace(f":{port}", f":{front.port}")
            secured = at_front.replace("redis:", "rediss:") if variable == "REDIS_URL" else f"{at_front}&tls=true"
            told, end = refusal(tmp_path, {variable: secured})

    assert told.startswith(f"{variable}: no connection to the server: its certificate is not trusted")
    assert end == "Nothing was started."


def test_every_server_that_does_not_answer_is_named(tmp_path: Path) -> None:
    nobody = f"{HOST}:{free_port()}"
    named = {"MONGO_URI": f"mongodb://user:secret@{nobody}/", "REDIS_URL": f"redis://:secret@{nobody}/0"}
    told = refusal(tmp_path, named)

    nothing_listens = "no connection to the server: nothing listens at this address."
    assert told == [f"MONGO_URI: {nothing_listens}", f"REDIS_URL: {nothing_listens}", "Nothing was started."]


def test_a_wrong_password_is_told_without_it(tmp_path: Path) -> None:
    with broker_server() as server, Redis.from_url(server.url) as administrator:
        administrator.config_set("requirepass", "right-one")
        told, _ = refusal(tmp_path, {"REDIS_URL": server.url.replace("//", "//:wrong-one@")})

    assert told == "REDIS_URL: no connection to the server: it refuses the user or the password."


def test_a_redis_cluster_is_told_with_the_advice_of_the_processes(tmp_path: Path) -> None:
    with broker_server("--cluster-enabled", "yes", "--cluster-port", str(free_port())) as server:
        told, _ = refusal(tmp_path, {"REDIS_URL": server.url})

    assert told.startswith("REDIS_URL: Redis Cluster is not supported")
