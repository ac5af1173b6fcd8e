"""A database outside the cluster, for the benchmarks with real pods: the embedded one has no indexes, and is slow with
thousands of tasks. `--store` names a folder whose `up.sh` starts one on this machine, `--reached-at` the address by
which pods reach this machine.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.uri_parser import parse_uri

from tests.soak.stores import scripted_store
from tests.support.proxy import running_proxy


def parse(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> argparse.Namespace:
    """What was chosen, with the two options for the database."""
    parser.add_argument("--store", type=Path, help="a folder whose up.sh starts a MongoDB-compatible server")
    parser.add_argument("--reached-at", help="the address of this machine, as pods reach it")
    chosen = parser.parse_args(arguments)
    if (chosen.store is None) is not (chosen.reached_at is None):
        parser.error("--store and --reached-at go together")
    return chosen


@contextmanager
def store_values(chosen: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The chart's values that name the database, with a name of its own in it; none, for the release's own.

    The cluster has to be up: its network has the address. A proxy listens there, because the database does on loopback.
    """
    if chosen.store is None:
        yield {}
        return
    with scripted_store(chosen.store) as server:
        ((host, port), *_) = parse_uri(server.url)["nodelist"]
        with running_proxy(host, port, listen=chosen.reached_at) as proxy:
            uri = f"mongodb://{chosen.reached_at}:{proxy.port}/?directConnection=true"
            name = f"benchmark_{int(time.time())}"
            try:
                yield {"env": {"MONGO_DB_NAME": name}, "secrets": {"inline": {"stores": {"MONGO_URI": uri}}}}
            finally:
                with MongoClient[dict[str, Any]](server.url) as client:
                    client.drop_database(name)
