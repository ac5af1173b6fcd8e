"""kopf, configured to watch AgentTasks that have not finished: it lists, watches, reconnects and logs in.

The handler does no work. It records the object and adds its uid to the work queue, whose retries write nothing into the
objects, unlike those of kopf's handlers.
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
# kopf has a task for each object with recent events. The handler takes no time, so there is no need to keep these tasks
# for kopf's default of 5 s: under a flood they would be thousands.
IDLE_SECONDS = 0.1
# The time that kopf gives its handlers after SIGTERM; these only record the object and return.
EXIT_SECONDS = 2.0
DELETED = "DELETED"


class Backoffs:
    """The pauses between two tries, in seconds, without an end.

    kopf gives up after the last pause of a list, and its watch ends. It accepts an iterable without a length as well.
    """

    def __iter__(self) -> Iterator[float]:
        return chain((0.5, 1.0, 2.0), repeat(3.0))


class NothingToCompare(kopf.DiffBaseStorage):
    """A storage of kopf that keeps nothing.

    kopf compares each object with its last state, for handlers of changes. There are none here, and the copies would
    take memory for every object.
    """

    def build(self, **_: Any) -> kopf.BodyEssence:
        return kopf.BodyEssence()

    def fetch(self, **_: Any) -> kopf.BodyEssence | None:
        return None

    def store(self, **_: Any) -> None:
        """Does nothing: kopf must not write annotations into the objects."""


def watch_settings() -> kopf.OperatorSettings:
    """Returns kopf's settings."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False  # the operator emits its own events, with a bound
    settings.peering.standalone = True  # a second operator is harmless: submissions are idempotent
    # kopf would watch for new namespaces and kinds, which the account may not list: 54 s of retries at each start.
    settings.scanning.disabled = True
    settings.networking.request_timeout = REQUEST_SECONDS
    settings.networking.connect_timeout = CONNECT_SECONDS
    settings.networking.error_backoffs = Backoffs()
    settings.watching.connect_timeout = CONNECT_SECONDS
    settings.watching.chunk_size = PAGE_ITEMS
    # No field selector: an object that leaves one with a finalizer on it would stay in Terminating.
    settings.watching.label_selectors[f"{PLURAL}.{GROUP}"] = f"!{FINISHED_LABEL}"
    settings.persistence.diffbase_storage = NothingToCompare()
    settings.queueing.idle_timeout = IDLE_SECONDS
    settings.queueing.exit_timeout = EXIT_SECONDS
    return settings


def watch_registry(
    access: ClusterAccess, register: Register, work: WorkQueue, *, on_event: Callable[[], None]
) -> kopf.OperatorRegistry:
    """Returns the registry with the handlers, which call `on_event` for each event."""
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    async def login(**_: Any) -> kopf.AiohttpSession:
        return access.login()

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)
    async def on_change(event: kopf.RawEvent, **_: Any) -> None:
        on_event()
        body = event["object"]
        if event["type"] == DELETED:
            entry = register.get(body["metadata"]["uid"])
            if entry is not None:
                entry.gone = entry.seen_deleted = True
        else:
            entry = register.record(body)
        if entry is not None:
            work.add(entry.uid)

    return registry
