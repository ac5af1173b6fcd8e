"""kopf, set up to watch AgentTasks that have not finished: it lists, watches, reconnects and logs in.

What an event asks for is not done here: the handler takes note and hands the object's uid to the work queue, which
retries without writing its progress into the objects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain, repeat
from typing import Any

import kopf

from agent_operator.agenttasks.objects import GROUP, PLURAL, VERSION
from agent_operator.agenttasks.register import FINISHED_LABEL, Register
from agent_operator.agenttasks.workqueue import WorkQueue
from agent_operator.kube.access import CONNECT_SECONDS, REQUEST_SECONDS, ClusterAccess

PAGE_ITEMS = 100
IDLE_SECONDS = 0.1
EXIT_SECONDS = 2.0
DELETED = "DELETED"


class Backoffs:
    """Seconds between two tries. kopf gives up after the last: there is none, a server may be back at any moment."""

    def __iter__(self) -> Iterator[float]:
        return chain((0.5, 1.0, 2.0), repeat(3.0))


class NothingToCompare(kopf.DiffBaseStorage):
    """What objects were before: kopf builds and compares it for handlers of changes, of which there are none here."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        return kopf.BodyEssence()

    def fetch(self, **_: Any) -> kopf.BodyEssence | None:
        return None

    def store(self, **_: Any) -> None:
        """Nothing is written into objects by kopf."""


def watch_settings() -> kopf.OperatorSettings:
    """kopf's settings. It looks out for no namespaces and kinds that come later, which would need further rights."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.scanning.disabled = True
    settings.networking.request_timeout = REQUEST_SECONDS
    settings.networking.connect_timeout = CONNECT_SECONDS
    settings.networking.error_backoffs = Backoffs()
    settings.watching.connect_timeout = CONNECT_SECONDS
    settings.watching.chunk_size = PAGE_ITEMS
    settings.watching.label_selectors[f"{PLURAL}.{GROUP}"] = f"!{FINISHED_LABEL}"
    settings.persistence.diffbase_storage = NothingToCompare()
    settings.queueing.idle_timeout = IDLE_SECONDS
    settings.queueing.exit_timeout = EXIT_SECONDS
    return settings


def watch_registry(
    access: ClusterAccess, register: Register, work: WorkQueue, *, noted: Callable[[], None]
) -> kopf.OperatorRegistry:
    """The handlers; `noted` is called for each event."""
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    async def login(**_: Any) -> kopf.AiohttpSession:
        return access.login()

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)
    async def see(event: kopf.RawEvent, **_: Any) -> None:
        noted()
        body = event["object"]
        if event["type"] == DELETED:
            entry = register.get(body["metadata"]["uid"])
            if entry is not None:
                entry.gone = True
        else:
            entry = register.note(body)
        if entry is not None:
            work.add(entry.uid)

    return registry
