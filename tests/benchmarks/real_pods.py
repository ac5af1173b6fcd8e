"""The product on the cluster of the end-to-end tests (`E2E_CLUSTER`), for the benchmarks with real pods.

The embedded database has no indexes and is slow with thousands of tasks, so these benchmarks can use one beside the
cluster. `--store` names a folder whose `up.sh` starts it on this machine; `--reached-at` is the address at which pods
reach this machine.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pymongo.uri_parser import parse_uri

from tests.benchmarks.own_database import own_database
from tests.chart.rendering import over
from tests.e2e.installation import Installation, installed
from tests.e2e.provider import cluster_of, named_provider
from tests.soak.stores import scripted_store
from tests.support.proxy import running_proxy


def parse_options(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> argparse.Namespace:
    """Parses the arguments, with the two options for the database added to the parser's own."""
    parser.add_argument("--store", type=Path, help="a folder whose up.sh starts a MongoDB-compatible server")
    parser.add_argument("--reached-at", help="the address of this machine, as pods reach it")
    chosen = parser.parse_args(arguments)
    if (chosen.store is None) is not (chosen.reached_at is None):
        parser.error("--store needs --reached-at, and --reached-at needs --store")
    return chosen


@contextmanager
def installed_for(name: str, values: Mapping[str, Any], chosen: argparse.Namespace) -> Iterator[Installation]:
    """Installs the product under the name, with these values of the chart and the chosen database."""
    with (
        cluster_of(named_provider()) as kubectl,
        _store_values(chosen) as stores,
        installed(kubectl, name, over(values, stores)) as installation,
    ):
        yield installation


@contextmanager
def _store_values(chosen: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yields the chart's values that name the database, or none if the release shall have its own.

    The cluster must be up, because its network has the address. A proxy listens there, because the database listens on
    loopback alone.
    """
    if chosen.store is None:
        yield {}
        return
    with scripted_store(chosen.store) as server, own_database(server) as name:
        ((host, port), *_) = parse_uri(server.url)["nodelist"]
        with running_proxy(host, port, listen=chosen.reached_at) as proxy:
            uri = f"mongodb://{chosen.reached_at}:{proxy.port}/?directConnection=true"
            yield {"env": {"MONGO_DB_NAME": name}, "secrets": {"inline": {"stores": {"MONGO_URI": uri}}}}
