"""A small world for the operator: objects as the Kubernetes API keeps them, and tasks as the REST API does.

The operator may be killed in any call: before the call takes effect, or just after. `tests/cluster` runs it with real
servers; here the order of the calls counts.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent_operator.kube.cluster import ClusterError, HasChanged, NotAllowed, NotThere
from agent_operator.rest.rest_client import KeyTaken, RestRefused, RestUnavailable
from agent_operator.rest.task_state import ChangesAnswer, LookupAnswer, TaskSource, TaskState
from app.domain.task import TERMINAL, TaskStatus
from tests.support.doubles import ManualClock

NOW = ManualClock().now()
NAMESPACE = "team"
NAMESPACE_UID = "00000000-0000-4000-9000-000000000001"


class Killed(BaseException):
    """The effect of SIGKILL: no code of the operator runs any more."""


@dataclass
class Fate:
    """The call in which the operator is killed, before or after it takes effect; None: the operator lives."""

    call: int | None = None
    after: bool = False
    _calls: itertools.count[int] = field(default_factory=itertools.count)

    def strike(self) -> bool:
        """Returns whether the operator dies after this call. Raises Killed if it dies before."""
        mine = next(self._calls) == self.call
        if mine and not self.after:
            raise Killed
        return mine


@dataclass
class World:
    """The state of all servers: `objects` by name, `tasks` by idempotency key, `forbidden` namespaces.

    `namespace_uids` and `leases` are by namespace. `failing` calls are those such as "list team" and "put team".
    `terminating` namespaces are being deleted.

    `bodies` are those that were submitted; a submission of the text `never_taken` fails as in an outage.
    """

    fate: Fate = field(default_factory=Fate)
    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    tasks: dict[str, TaskState] = field(default_factory=dict)
    submissions: list[str] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    unavailable: RestUnavailable | None = None
    refusal: RestRefused | None = None
    forbidden: set[str] = field(default_factory=set)
    failing: dict[str, ClusterError] = field(default_factory=dict)
    terminating: set[str] = field(default_factory=set)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    never_taken: str | None = None
    namespace_uids: dict[str, str] = field(default_factory=lambda: {NAMESPACE: NAMESPACE_UID})
    leases: dict[str, dict[str, Any]] = field(default_factory=dict)
    _versions: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def add(self, name: str, **spec: Any) -> dict[str, Any]:
        number = next(self._versions)
        body = {
            "metadata": {
                "name": name,
                "namespace": NAMESPACE,
                "uid": f"00000000-0000-4000-8000-{number:012d}",
                "generation": 1,
                "resourceVersion": str(number),
            },
            "spec": {"task": "Write a poem.", "ttlSecondsAfterFinished": 60, **spec},
        }
        self.objects[name] = body
        return body

    def change(self, name: str, **spec: Any) -> None:
        body = self.objects[name]
        body["spec"].update(spec)
        body["metadata"]["generation"] += 1
        self._touch(body)

    def key_of(self, name: str) -> str:
        """Returns the uid of the object, which is its task's idempotency key."""
        return str(self.objects[name]["metadata"]["uid"])

    def ask_to_delete(self, name: str) -> None:
        """Deletes the object as the API server does: at once, or when the last finalizer is gone."""
        metadata = self.objects[name]["metadata"]
        if metadata.get("finalizers"):
            metadata["deletionTimestamp"] = NOW.strftime("%Y-%m-%dT%H:%M:%SZ")
            self._touch(self.objects[name])
        else:
            del self.objects[name]

    def end(self, key: str, status: TaskStatus = TaskStatus.COMPLETED) -> None:
        """Ends the task as a worker does, unless it has ended already."""
        task = self.tasks[key]
        if task.status not in TERMINAL:
            self._move(key, status=status, completed_at=NOW, attempts=1, selected_agent="ContentAgent")

    def arrive(self, body: Mapping[str, Any]) -> None:
        """Makes the task of an object, as a submission does that was under way for a long time."""
        metadata = body["metadata"]
        source = TaskSource(cluster="here", namespace=NAMESPACE, name=metadata["name"], uid=metadata["uid"])
        self.tasks[metadata["uid"]] = _queued(metadata["uid"], NAMESPACE, source)

    def _move(self, key: str, **changes: Any) -> None:
        task = self.tasks[key]
        self.tasks[key] = task.model_copy(update={"rev": task.rev + 1, **changes})

    def _touch(self, body: dict[str, Any]) -> None:
        body["metadata"]["resourceVersion"] = str(next(self._versions))


@dataclass(frozen=True)
class FakeCluster:
    """A double of `agent_operator.kube.cluster.Cluster`, for AgentTasks of one namespace."""

    world: World

    async def list(self, path: str, **query: str) -> AsyncIterator[dict[str, Any]]:
        dies = self.world.fate.strike()
        namespace = path.partition("/namespaces/")[2].partition("/")[0]
        if namespace in self.world.forbidden:
            raise NotAllowed("Forbidden", f"cannot list agenttasks in the namespace {namespace}")
        self._fail("list", namespace)
        name = query.get("fieldSelector", "").removeprefix("metadata.name=")
        found = [
            body
            for body in self.world.objects.values()
            if name in ("", body["metadata"]["name"]) and namespace in ("", body["metadata"]["namespace"])
        ]
        if dies:
            raise Killed
        for body in found:
            yield copy.deepcopy(body)

    async def get(self, path: str) -> dict[str, Any]:
        """Reads a namespace or its Lease."""
        if self.world.fate.strike():
            raise Killed
        namespace = self._allowed(path)
        self._fail("get", namespace)
        if path.endswith(f"/namespaces/{namespace}"):
            if namespace not in self.world.namespace_uids:
                raise NotThere("NotFound", namespace)
            metadata = {"name": namespace, "uid": self.world.namespace_uids[namespace]}
            ending = {"deletionTimestamp": "2026-01-01T00:00:00Z"} if namespace in self.world.terminating else {}
            return {"metadata": {**metadata, **ending}}
        if namespace not in self.world.leases:
            raise NotThere("NotFound", path)
        return copy.deepcopy(self.world.leases[namespace])

    async def put(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Creates a Lease."""
        dies = self.world.fate.strike()
        namespace = self._allowed(path)
        self._fail("put", namespace)
        if namespace in self.world.leases:
            raise ClusterError("Invalid", "must be specified for an update")
        version = str(next(self.world._versions))
        metadata = {**body["metadata"], "uid": f"lease-{version}", "resourceVersion": version}
        self.world.leases[namespace] = copy.deepcopy({**body, "metadata": metadata})
        if dies:
            raise Killed
        return copy.deepcopy(self.world.leases[namespace])

    def _patch_lease(self, path: str, change: Mapping[str, Any]) -> dict[str, Any]:
        namespace = self._allowed(path)
        lease = self.world.leases.get(namespace)
        if lease is None:
            raise NotThere("NotFound", path)
        if change["metadata"]["resourceVersion"] != lease["metadata"]["resourceVersion"]:
            raise HasChanged("Conflict", path)
        changed = _merged(lease, change)
        changed["metadata"]["resourceVersion"] = str(next(self.world._versions))
        self.world.leases[namespace] = changed
        return {"metadata": copy.deepcopy(changed["metadata"])}

    def _fail(self, verb: str, namespace: str) -> None:
        if (error := self.world.failing.get(f"{verb} {namespace}")) is not None:
            raise error

    def _allowed(self, path: str) -> str:
        namespace = path.partition("/namespaces/")[2].partition("/")[0]
        if namespace in self.world.forbidden:
            raise NotAllowed("Forbidden", f"cannot use {path}")
        return namespace

    async def patch(self, path: str, change: Mapping[str, Any]) -> dict[str, Any]:
        dies = self.world.fate.strike()
        if "/leases/" in path:
            return self._patch_lease(path, change)
        name = path.removesuffix("/status").rpartition("/")[2]
        body = self.world.objects.get(name)
        if body is None:
            raise NotThere("NotFound", name)
        metadata = dict(change.get("metadata", {}))
        for field_name in ("uid", "resourceVersion"):
            if field_name in metadata and metadata.pop(field_name) != body["metadata"][field_name]:
                raise HasChanged("Conflict", field_name)
        if path.endswith("/status"):
            body["status"] = _merged(body.get("status", {}), change["status"])
        else:
            body["metadata"] = _merged(body["metadata"], metadata)
        self.world._touch(body)
        if "deletionTimestamp" in body["metadata"] and not body["metadata"].get("finalizers"):
            del self.world.objects[name]
        if dies:
            raise Killed
        return {"metadata": copy.deepcopy(body["metadata"])}

    async def create(self, path: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        dies = self.world.fate.strike()
        self.world.events.append(dict(body))
        if dies:
            raise Killed
        return body

    async def delete(self, path: str, *, uid: str) -> None:
        dies = self.world.fate.strike()
        name = path.rpartition("/")[2]
        body = self.world.objects.get(name)
        if body is None or body["metadata"]["uid"] != uid:
            raise NotThere("NotFound", name)
        self.world.ask_to_delete(name)
        if dies:
            raise Killed


@dataclass(frozen=True)
class FakeRest:
    """A double of `agent_operator.rest.rest_client.RestClient`."""

    world: World

    async def submit(self, body: Mapping[str, Any], *, tenant: str, key: str) -> str:
        dies = self._call()
        self.world.submissions.append(key)
        self.world.bodies.append(dict(body))
        if body["task"] == self.world.never_taken:
            raise RestUnavailable("STORE_UNAVAILABLE", "MongoDB failed.", retry_seconds=5)
        if self.world.refusal is not None:
            raise self.world.refusal
        if key not in self.world.tasks:
            self.world.tasks[key] = _queued(key, tenant, TaskSource(**body["source"]))
        elif body["task"] != "Write a poem.":
            raise KeyTaken("IDEMPOTENCY_CONFLICT", "another body", task_id=self.world.tasks[key].task_id)
        if dies:
            raise Killed
        return self.world.tasks[key].task_id

    async def cancel(self, task_id: str, *, tenant: str) -> None:
        dies = self._call()
        for key, task in self.world.tasks.items():
            if task.task_id == task_id:
                self.world.end(key, TaskStatus.CANCELLED)
        if dies:
            raise Killed

    async def find(self, task_ids: Sequence[str]) -> Sequence[TaskState]:
        return self._answer([task for task in self.world.tasks.values() if task.task_id in task_ids])

    async def find_by_key(self, key: str, *, tenant: str) -> TaskState | None:
        found = self._answer([task for task in self.world.tasks.values() if task.idempotency_key == key])
        return next(iter(found), None)

    async def find_unfinished(self, cluster: str, cursor: str | None = None) -> LookupAnswer:
        open_ones = [task for task in self.world.tasks.values() if task.status not in TERMINAL]
        return LookupAnswer(items=tuple(self._answer(open_ones)))

    async def read_changes(self, cursor: str | None, *, limit: int, wait_seconds: float) -> ChangesAnswer:
        return ChangesAnswer(items=tuple(self._answer(list(self.world.tasks.values()))), cursor="c", more=False)

    def _call(self) -> bool:
        dies = self.world.fate.strike()
        if self.world.unavailable is not None:
            raise self.world.unavailable
        return dies

    def _answer(self, tasks: Sequence[TaskState]) -> Sequence[TaskState]:
        if self._call():
            raise Killed
        return tasks


def _queued(key: str, tenant: str, source: TaskSource) -> TaskState:
    return TaskState(
        task_id=f"task-of-{key}",
        tenant=tenant,
        rev=1,
        status=TaskStatus.QUEUED,
        idempotency_key=key,
        source=source,
        queued_at=NOW,
    )


def _merged(before: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """Applies a JSON merge patch."""
    after = dict(before)
    for name, value in change.items():
        if value is None:
            after.pop(name, None)
        elif isinstance(value, Mapping) and isinstance(after.get(name), Mapping):
            after[name] = _merged(after[name], value)
        else:
            after[name] = copy.deepcopy(value)
    return after
