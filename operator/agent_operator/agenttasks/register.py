"""The AgentTasks that are under way, as they were last seen and as this operator last wrote them.

What has ended is forgotten, so memory follows what runs and not what there ever was. Texts of tasks are kept only while
they wait to be submitted, and only up to a bound: what does not fit is read again when its turn comes. All of it is
rebuilt from the objects when the operator starts.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from agent_operator.agenttasks.status import Status, phase_of

FINALIZER = "agentorchestrator.dev/cancel"
FINISHED_LABEL = "agentorchestrator.dev/finished"
HELD_BYTES = 16 * 2**20
ECHO_SECONDS = 60.0

Body = Mapping[str, Any]


@dataclass(eq=False)
class Entry:
    """One object. `rev` is the newest revision of its task that was seen; `writing` keeps its writes in order.

    `spec` is None where it was not kept. `gone`: Kubernetes no longer shows the object. `stopped`: the API knows that
    its task is to stop. `uncertain_since`: when it was last left open whether the API took the task.
    `looks_in_vain` counts, since `missing_since`, how often the API did not know its task.
    """

    uid: str
    namespace: str
    name: str
    status: Status
    generation: int = 1
    resource_version: str = ""
    finalizers: tuple[str, ...] = ()
    labelled: bool = False
    spec: Mapping[str, Any] | None = None
    cancel: bool = False
    suspend: bool = False
    ttl_seconds: int = 86_400
    deleting: bool = False
    deletion_seen_at: float | None = None
    gone: bool = False
    stopped: bool = False
    uncertain_since: float | None = None
    rev: int = 0
    failures: int = 0
    looks_in_vain: int = 0
    missing_since: float | None = None
    noted_at: float = field(default_factory=time.monotonic)
    writing: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def task_id(self) -> str | None:
        return self.status.get("taskId")

    @property
    def ended(self) -> bool:
        phase = phase_of(self.status)
        return phase is not None and phase.terminal

    @property
    def reference(self) -> dict[str, str]:
        """How a Kubernetes event names the object."""
        return {
            "apiVersion": "agentorchestrator.dev/v1alpha1",
            "kind": "AgentTask",
            "namespace": self.namespace,
            "name": self.name,
            "uid": self.uid,
        }

    def saw(self, metadata: Mapping[str, Any]) -> None:
        """Takes over what an answer or an event tells of the object."""
        self.generation = max(self.generation, metadata.get("generation", 1))
        self.resource_version = metadata.get("resourceVersion", "")
        self.finalizers = tuple(metadata.get("finalizers") or ())
        self.labelled = FINISHED_LABEL in (metadata.get("labels") or {})
        self.deleting = "deletionTimestamp" in metadata

    def is_newer_than(self, metadata: Mapping[str, Any]) -> bool:
        """Whether something later was seen of the object already."""
        known, shown = self.resource_version, metadata.get("resourceVersion", "")
        return known.isdigit() and shown.isdigit() and int(known) > int(shown)


class Register:
    """Found by the object's uid, which is also the task's idempotency key."""

    def __init__(self, held_bytes: int = HELD_BYTES) -> None:
        self._entries: dict[str, Entry] = {}
        self._finished: dict[str, float] = {}
        self._fresh: set[str] = set()
        self._room = held_bytes

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(list(self._entries.values()))

    def get(self, uid: str | None) -> Entry | None:
        return None if uid is None else self._entries.get(uid)

    def note(self, body: Body) -> Entry | None:
        """The entry of an object as Kubernetes shows it now; a status that we wrote is newer than the one it shows.

        None for one that finished a moment ago: that is the echo of our own last writes.
        """
        metadata, spec = body["metadata"], body["spec"]
        entry = self._entries.get(metadata["uid"])
        if entry is None:
            if self._echoes(metadata["uid"]):
                return None
            entry = self._entries[metadata["uid"]] = Entry(
                uid=metadata["uid"],
                namespace=metadata["namespace"],
                name=metadata["name"],
                status=dict(body.get("status") or {}),
            )
            self._fresh.update([entry.uid] if entry.task_id else [])
        entry.gone = False
        if entry.is_newer_than(metadata):
            return entry
        entry.saw(metadata)
        entry.cancel, entry.suspend = bool(spec.get("cancel")), bool(spec.get("suspend"))
        entry.ttl_seconds = spec.get("ttlSecondsAfterFinished", entry.ttl_seconds)
        self._hold(entry, spec)
        return entry

    def _hold(self, entry: Entry, spec: Mapping[str, Any]) -> None:
        self.let_go(entry)
        size = _size(spec)
        if entry.task_id is None and not entry.ended and size <= self._room:
            self._room -= size
            entry.spec = spec

    def take_fresh(self) -> list[Entry]:
        """Those that had a task already when they were first seen: what became of it meanwhile, nobody has told."""
        fresh, self._fresh = self._fresh, set()
        return [entry for uid in fresh if (entry := self._entries.get(uid)) is not None]

    def let_go(self, entry: Entry) -> None:
        """The text is not needed any more."""
        if entry.spec is not None:
            self._room += _size(entry.spec)
            entry.spec = None

    def finished(self, entry: Entry) -> None:
        """Forgets the entry, and for a while what is still heard of it."""
        self.forget(entry)
        self._finished[entry.uid] = time.monotonic()

    def _echoes(self, uid: str) -> bool:
        """Whether the object finished lately; what finished earlier is dropped, the oldest stands first."""
        heard_since = time.monotonic() - ECHO_SECONDS
        while self._finished:
            oldest = next(iter(self._finished))
            if self._finished[oldest] >= heard_since:
                break
            del self._finished[oldest]
        return uid in self._finished

    def forget(self, entry: Entry) -> None:
        self.let_go(entry)
        if self._entries.get(entry.uid) is entry:
            del self._entries[entry.uid]


def _size(spec: Mapping[str, Any]) -> int:
    """About the bytes that the spec takes in memory: those of its texts."""
    return 1_024 + 2 * len(spec.get("task", "")) + sum(len(text) for text in (spec.get("metadata") or {}).values())
