"""The indexes: those that queries use are created, those of earlier versions that none uses are dropped."""

from __future__ import annotations

from app.storage.mongo import INDEXES, SPARED_INDEXES, UNUSED_INDEXES, Database, ensure_indexes


async def index_names(db: Database, collection: str) -> set[str]:
    return set(await db[collection].index_information()) - {"_id_"}


async def test_indexes_that_no_query_uses_are_dropped_and_the_others_stay(database: Database) -> None:
    for collection, names in UNUSED_INDEXES.items():
        for name in names:
            await database[collection].create_index([("tenant", 1), (name, 1)], name=name)

    for _ in range(2):
        await ensure_indexes(database)

    for collection in {*INDEXES, *UNUSED_INDEXES}:
        wanted = {str(index.document["name"]) for index in INDEXES.get(collection, [])}
        assert await index_names(database, collection) == wanted


async def test_a_small_installation_does_without_some_indexes_and_gets_them_back(database: Database) -> None:
    everything = {str(index.document["name"]) for index in INDEXES["tasks"]}

    for few, wanted in ((False, everything), (True, everything - set(SPARED_INDEXES["tasks"])), (False, everything)):
        await ensure_indexes(database, few=few)
        assert await index_names(database, "tasks") == wanted
