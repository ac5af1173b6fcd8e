"""The operator's memory of the AgentTasks that are under way: as it last saw them, and as it last wrote them.

An object that has ended is forgotten, so the memory in use follows the number of objects under way. Texts of tasks are
kept only until they are submitted, and only up to a bound: a text that does not fit is read again when it is submitted.
After a start the operator builds the register from the objects.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2s
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, ValidationError

from agent_operator.agenttasks.status import Phase, Status, phase_of
from app.ports import Clock

FINALIZER = "agentorchestrator.dev/cancel"
FINISHED_LABEL = "agentorchestrator.dev/finished"
END_ANNOTATION = "agentorchestrator.dev/end"
KEY_ANNOTATION = "agentorchestrator.dev/key"
# The operator's memory limit is 128 Mi; the rest is for Python, kopf and the entries.
SPEC_BYTES = 16 * 2**20
# The watch shows the operator's last writes of a finished object a moment later. The minute covers a watch that is slow
# or was cut; an event that comes later makes a new entry, and the reconcile loop finishes it once more.
ECHO_SECONDS = 60.0

Body = Mapping[str, Any]


class ObjectRecord(BaseModel):
    """An object as its own metadata keeps it. Metadata outlives a backup, which drops the status."""

    model_config = ConfigDict(frozen=True)

    namespace: str
    name: str
    spec_hash: str

    def describes(self, metadata: Mapping[str, Any], spec_hash: str) -> bool:
        """Checks whether this is the object, and not a copy with another name or another task."""
        here = (metadata["namespace"], metadata["name"], spec_hash)
        return here == (self.namespace, self.name, self.spec_hash)


class KeyRecord(ObjectRecord):
    """The idempotency key under which the object was submitted: its uid, which a backup changes."""

    uid: UUID


class EndRecord(ObjectRecord):
    """The end of the object's task."""

    uid: str
    phase: Phase
    task_id: str | None = None


@dataclass(eq=False)
class Entry:
    """One AgentTask. `rev` is the revision of its task that the status shows; `writing` keeps the writes in order.

    `key` is the idempotency key of its task: its uid, or that of the object that it was restored from. `spec` is None
    if it was not kept. `gone`: Kubernetes no longer shows the object; `seen_deleted`: the watch has shown its deletion,
    so somebody deleted it. `stopped`: the API was asked to cancel the task.
    `uncertain_since`: the last time at which a submission ended without an answer, so that the API may have it;
    `submit_failed_at` that of the last one that failed in any way. `misses`: how many times in a row, since
    `missing_since`, the API had no such task.
    """

    uid: str
    key: str
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
    created_at: str = ""
    spec_hash: str = ""
    end_record: str | None = None
    key_record: str | None = None
    deleting: bool = False
    deletion_seen_at: float | None = None
    gone: bool = False
    seen_deleted: bool = False
    stopped: bool = False
    uncertain_since: float | None = None
    submit_failed_at: float | None = None
    rev: int = 0
    failures: int = 0
    misses: int = 0
    missing_since: float | None = None
    recorded_at: float = 0.0
    writing: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def task_id(self) -> str | None:
        return self.status.get("taskId")

    @property
    def ended(self) -> bool:
        phase = phase_of(self.status)
        return phase is not None and phase.terminal

    def build_end_record(self) -> str:
        """Builds the record, for the object's metadata, that this object's task has ended."""
        record = EndRecord(
            uid=self.uid,
            namespace=self.namespace,
            name=self.name,
            spec_hash=self.spec_hash,
            phase=Phase(self.status["phase"]),
            task_id=self.task_id,
        )
        return record.model_dump_json(exclude_none=True)

    def build_key_record(self) -> str:
        """Builds the text that keeps the idempotency key in the object's metadata."""
        record = KeyRecord(uid=UUID(self.key), namespace=self.namespace, name=self.name, spec_hash=self.spec_hash)
        return record.model_dump_json()

    @property
    def restored(self) -> bool:
        """True if the object was restored from a backup of one that had been submitted, or was about to be."""
        return self.key != self.uid

    @property
    def restored_end(self) -> EndRecord | None:
        """The end of the object that this one was restored from; None for every other object."""
        if self.end_record is None or self.status.get("phase") is not None:
            return None
        try:
            end = EndRecord.model_validate_json(self.end_record)
        except ValidationError:  # somebody has edited it
            return None
        same = end.describes({"namespace": self.namespace, "name": self.name}, self.spec_hash)
        return end if same and end.uid != self.uid and end.phase.terminal else None

    @property
    def reference(self) -> dict[str, str]:
        """The reference to the object in a Kubernetes event."""
        return {
            "apiVersion": "agentorchestrator.dev/v1alpha1",
            "kind": "AgentTask",
            "namespace": self.namespace,
            "name": self.name,
            "uid": self.uid,
        }

    def record_metadata(self, metadata: Mapping[str, Any]) -> None:
        """Records what an answer of the API server or an event shows of the object."""
        self.generation = max(self.generation, metadata.get("generation", 1))
        self.resource_version = metadata.get("resourceVersion", "")
        self.created_at = metadata.get("creationTimestamp", "")
        self.finalizers = tuple(metadata.get("finalizers") or ())
        annotations = metadata.get("annotations") or {}
        self.end_record, self.key_record = annotations.get(END_ANNOTATION), annotations.get(KEY_ANNOTATION)
        self.labelled = FINISHED_LABEL in (metadata.get("labels") or {})
        self.deleting = "deletionTimestamp" in metadata

    def is_newer_than(self, metadata: Mapping[str, Any]) -> bool:
        """Checks whether the operator has seen a later version of the object than this one."""
        # By its contract a resourceVersion is opaque. etcd's is a growing number, and servers that use others get
        # False here: then an older version may be recorded, and the next event or survey corrects that.
        known, shown = self.resource_version, metadata.get("resourceVersion", "")
        return known.isdigit() and shown.isdigit() and int(known) > int(shown)


class Register:
    """The entries by the object's uid, which is also the task's idempotency key."""

    def __init__(self, clock: Clock, *, spec_bytes: int = SPEC_BYTES) -> None:
        self._clock = clock
        self._entries: dict[str, Entry] = {}
        self._restored: dict[str, str] = {}
        self._finished: dict[str, float] = {}
        self._fresh: set[str] = set()
        # Keys of objects that went while the API was unavailable: the survey cancels their tasks.
        self.owed_cancels: set[str] = set()
        self._room = spec_bytes

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(list(self._entries.values()))  # a copy: entries come and go while a caller awaits between two

    def get(self, uid: str | None) -> Entry | None:
        return None if uid is None else self._entries.get(uid)

    def of_key(self, key: str | None) -> Entry | None:
        """Returns the entry of the object whose task has this idempotency key."""
        return None if key is None else self._entries.get(self._restored.get(key, key))

    def record(self, body: Body) -> Entry | None:
        """Records an object as Kubernetes shows it, and returns its entry.

        An entry keeps its status: the operator wrote it, so it is newer than the one that Kubernetes shows. Returns
        None for an object that has just finished: the event is the echo of the operator's own last writes.
        """
        metadata, spec = body["metadata"], body["spec"]
        entry = self._entries.get(metadata["uid"])
        if entry is None:
            if self._is_echo(metadata["uid"]):
                return None
            entry = self._entries[metadata["uid"]] = Entry(
                uid=metadata["uid"],
                key=key_of(body),
                namespace=metadata["namespace"],
                name=metadata["name"],
                status=dict(body.get("status") or {}),
                recorded_at=self._clock.monotonic(),
            )
            self._fresh.update([entry.uid] if entry.task_id else [])
            if entry.restored:
                self._restored[entry.key] = entry.uid
        entry.gone = entry.seen_deleted = False
        if entry.is_newer_than(metadata):
            return entry
        entry.record_metadata(metadata)
        entry.cancel, entry.suspend = bool(spec.get("cancel")), bool(spec.get("suspend"))
        entry.ttl_seconds = spec.get("ttlSecondsAfterFinished", entry.ttl_seconds)
        entry.spec_hash = entry.spec_hash or _hash(spec)
        self._keep_spec(entry, spec)
        return entry

    def _keep_spec(self, entry: Entry, spec: Mapping[str, Any]) -> None:
        self.drop_spec(entry)
        size = _size(spec)
        if entry.task_id is None and not entry.ended and size <= self._room:
            self._room -= size
            entry.spec = spec

    def take_fresh(self) -> list[Entry]:
        """Returns, once, the entries that had a task when they were first seen: their states may be outdated."""
        fresh, self._fresh = self._fresh, set()
        return [entry for uid in fresh if (entry := self._entries.get(uid)) is not None]

    def drop_spec(self, entry: Entry) -> None:
        """Drops the spec, which is not needed after the submission."""
        if entry.spec is not None:
            self._room += _size(entry.spec)
            entry.spec = None

    def record_finished(self, entry: Entry) -> None:
        """Forgets the entry, and for a while ignores events of its object."""
        self.forget(entry)
        self._finished[entry.uid] = self._clock.monotonic()

    def _is_echo(self, uid: str) -> bool:
        """Checks whether the object finished less than `ECHO_SECONDS` ago."""
        since = self._clock.monotonic() - ECHO_SECONDS
        while self._finished:
            oldest = next(iter(self._finished))  # a dict keeps the order in which its keys were added
            if self._finished[oldest] >= since:
                break
            del self._finished[oldest]
        return uid in self._finished

    def forget(self, entry: Entry) -> None:
        """Removes the entry, unless the object has a newer one."""
        self.drop_spec(entry)
        if self._entries.get(entry.uid) is entry:
            del self._entries[entry.uid]
        if self._restored.get(entry.key) == entry.uid:
            del self._restored[entry.key]


def key_of(body: Body) -> str:
    """Returns the idempotency key of the object's task: the uid under which the object was first submitted."""
    metadata = body["metadata"]
    uid: str = metadata["uid"]
    text = (metadata.get("annotations") or {}).get(KEY_ANNOTATION)
    if text is None:
        return uid
    try:
        record = KeyRecord.model_validate_json(text)
    except ValidationError:  # somebody has edited it
        return uid
    return str(record.uid) if record.describes(metadata, _hash(body["spec"])) else uid


def _size(spec: Mapping[str, Any]) -> int:
    """Estimates the bytes that the spec takes in memory from the lengths of its texts."""
    return 1_024 + 2 * len(spec.get("task", "")) + sum(len(text) for text in (spec.get("metadata") or {}).values())


def _hash(spec: Mapping[str, Any]) -> str:
    """Computes a short hash of the fields that cannot be changed."""
    fixed = {name: value for name, value in spec.items() if name not in ("cancel", "suspend")}
    return blake2s(json.dumps(fixed, sort_keys=True).encode(), digest_size=8).hexdigest()
