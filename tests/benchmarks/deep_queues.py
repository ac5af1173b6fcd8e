"""`python -m tests.benchmarks.deep_queues [--store DIR]`: the rounds of the leader beside very many waiting tasks.

The baseline of each figure is the same round beside a hundred tasks, in the same run. A fill reads the tenants that
wait, and the tasks of those whose turn it is. `--store` names a folder whose `up.sh` starts a database.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

from pydantic import SecretStr

from app.domain.fairness import TenantPolicy
from app.domain.identity import Tenant
from app.services.backlog import Backlog
from app.services.fair_share import Turns
from app.settings import StoreSettings
from app.storage.dispatch import MongoDispatchRepository
from app.storage.mongo import Database, connect, database, ensure_indexes
from app.storage.queue_counts import MongoQueueCounter
from app.storage.system import MongoSystemRepository
from app.storage.upkeep import MongoUpkeepRepository
from tests.benchmarks.hardware import describe_hardware
from tests.benchmarks.own_database import own_database
from tests.benchmarks.table import Row, render
from tests.soak.stores import embedded_store, scripted_store
from tests.support.tasks import TENANT, waiting_document

SHALLOW = 100
BATCH = 2_000
ROUNDS = 7
FREE_SLOTS = 64
FILL_MS, DELAYED_MS, TENANTS_MS = 100.0, 5.0, 150.0
Round = Callable[[Database], Awaitable[object]]


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.deep_queues", description=__doc__)
    parser.add_argument("--store", type=Path, help="a folder whose up.sh starts a MongoDB-compatible server")
    parser.add_argument("--waiting", type=int, default=1_000_000, help="tasks of one tenant (default: %(default)s)")
    parser.add_argument("--delayed", type=int, default=200_000, help="tasks due tomorrow (default: %(default)s)")
    parser.add_argument("--tenants", type=int, default=1_000, help="tenants with ten tasks each (default: %(default)s)")
    chosen = parser.parse_args(arguments)
    print(describe_hardware(), flush=True)
    with tempfile.TemporaryDirectory(prefix="ao-deep-") as folder:
        store = scripted_store(chosen.store) if chosen.store else embedded_store(Path(folder))
        with store as server, own_database(server) as name:
            settings = StoreSettings(uri=SecretStr(server.url), database=name, timeout_seconds=60.0)
            rows = asyncio.run(_measure(settings, chosen))
    print(render(rows, against=f"{SHALLOW} waiting tasks"))
    return 0


async def _measure(settings: StoreSettings, chosen: argparse.Namespace) -> list[Row]:
    client = connect(settings)
    db = database(client, settings)
    rounds: dict[str, Round] = {
        "fill": _fill,
        "counts": _count,
        "sweep": _sweep,
        "sorting all lanes": _sort,
        "statistics": _summarise,
    }
    try:
        await _load(db, SHALLOW)
        shallow = {name: await _milliseconds(db, act) for name, act in rounds.items()}
        await _load(db, chosen.waiting)
        deep = {name: await _milliseconds(db, act) for name, act in rounds.items()}
        rows = [
            Row(
                f"{name}, {chosen.waiting:,} waiting",
                deep[name],
                "ms",
                FILL_MS if name == "fill" else None,
                shallow[name],
            )
            for name in rounds
        ]
        tomorrow = datetime.now(UTC) + timedelta(days=1)
        later: dict[str, Any] = {"lane": "delayed", "due_at": tomorrow, "delayed_until": tomorrow}
        await _load(db, SHALLOW)
        await _insert(db, chosen.delayed, **later)
        delayed = await _milliseconds(db, _fill)
        rows.append(
            Row(f"fill, {chosen.delayed:,} delayed", delayed, "ms", shallow["fill"] + DELAYED_MS, shallow["fill"])
        )
        await _load(db, 0)
        for number in range(chosen.tenants):
            await _insert(db, 10, tenant=Tenant(f"tenant-{number:05}"))
        tenants = await _milliseconds(db, _fill)
        rows.append(Row(f"fill, {chosen.tenants:,} tenants", tenants, "ms", TENANTS_MS, shallow["fill"]))
        return rows
    finally:
        client.close()


async def _milliseconds(db: Database, act: Round) -> float:
    """Measures the median of some rounds, after one that fills caches."""
    await act(db)
    seconds = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        await act(db)
        seconds.append(time.perf_counter() - began)
    return median(seconds) * 1000


async def _fill(db: Database) -> None:
    backlog, turns = Backlog(MongoDispatchRepository(db)), Turns(lambda _: TenantPolicy())
    await backlog.refresh(turns)
    await backlog.read_next(turns, {}, FREE_SLOTS)


async def _count(db: Database) -> None:
    await MongoQueueCounter(db).counts()


async def _sweep(db: Database) -> None:
    await MongoUpkeepRepository(db, max_crashes=10).sweep()


async def _sort(db: Database) -> None:
    await MongoUpkeepRepository(db, max_crashes=10).sort_all_lanes()


async def _summarise(db: Database) -> None:
    await MongoSystemRepository(db).statistics(None)


async def _load(db: Database, number: int) -> None:
    """Begins anew with this number of waiting tasks."""
    await db["tasks"].drop()
    await ensure_indexes(db)
    await _insert(db, number)


async def _insert(db: Database, number: int, *, tenant: Tenant = TENANT, **fields: Any) -> None:
    for begin in range(0, number, BATCH):
        texts = (f"Write about topic {at}." for at in range(begin, min(number, begin + BATCH)))
        documents = [{**waiting_document(text, tenant=tenant), **fields} for text in texts]
        await db["tasks"].insert_many(documents, ordered=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
