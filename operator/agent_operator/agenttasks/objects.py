"""AgentTasks in Kubernetes: the reads and writes that the operator makes. Each write names the object's uid.

The operator may list, watch, patch and delete, but not get: it reads a single object as a list of one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from agent_operator.agenttasks.register import END_ANNOTATION, FINALIZER, FINISHED_LABEL, KEY_ANNOTATION, Entry
from agent_operator.kube.cluster import Cluster, HasChanged, NotAllowed, NotThere, Object
from app.telemetry.logs import get_logger

GROUP = "agentorchestrator.dev"
VERSION = "v1alpha1"
PLURAL = "agenttasks"
_ALL = f"/apis/{GROUP}/{VERSION}/{PLURAL}"
# A conflict needs another writer between a read and the patch after it; five in a row would be a fight over the object.
CONFLICT_TRIES = 5

_log = get_logger(__name__)


@dataclass(frozen=True)
class AgentTasks:
    """The AgentTasks of the served `namespaces`; empty means all. `finalizer`: whether unfinished ones have one."""

    cluster: Cluster
    namespaces: tuple[str, ...] = ()
    finalizer: bool = True

    async def check(self) -> AgentTasks:
        """Checks that the operator can list the objects; returns those of the namespaces in which it can.

        A namespace may have been deleted, and its Role with it: that must not stop the work for the others. Raises
        NotThere if the CRD is not installed, NotAllowed if no namespace may be listed, and ClusterError.
        """
        kinds = await self.cluster.get(f"/apis/{GROUP}/{VERSION}")
        if PLURAL not in {kind.get("name") for kind in kinds.get("resources", ())}:
            raise NotThere("NotFound", f"{PLURAL}.{GROUP} is not served")
        if not self.namespaces:
            await self._touch(_ALL)
            return self
        refusals = {namespace: await self._refusal(namespace) for namespace in self.namespaces}
        served = tuple(namespace for namespace, refusal in refusals.items() if refusal is None)
        for namespace, refusal in refusals.items():
            if refusal is not None and not served:
                raise refusal
            if refusal is not None:
                _log.error("namespace_not_served", namespace=namespace, reason=refusal.reason)
        return replace(self, namespaces=served)

    async def may_list(self, namespace: str) -> bool:
        """Checks whether the operator may list the objects of the namespace. Raises ClusterUnavailable."""
        return await self._refusal(namespace) is None

    async def _refusal(self, namespace: str) -> NotAllowed | NotThere | None:
        try:
            await self._touch(_path(namespace))
        except (NotAllowed, NotThere) as refusal:
            return refusal
        return None

    async def _touch(self, path: str) -> None:
        async for _ in self.cluster.list(path):
            break

    async def read_all(self, *, unreadable: set[str]) -> AsyncIterator[Object]:
        """Reads every object of the served namespaces. Raises ClusterError.

        A namespace that may no longer be listed is skipped, and added to `unreadable`.
        """
        if not self.namespaces:
            async for body in self.cluster.list(_ALL):
                yield body
        for namespace in self.namespaces:
            try:
                async for body in self.cluster.list(_path(namespace)):
                    yield body
            except (NotAllowed, NotThere) as refusal:
                _log.warning("namespace_not_served", namespace=namespace, reason=refusal.reason)
                unreadable.add(namespace)

    async def read(self, namespace: str, name: str) -> Object | None:
        """Reads the object that has this name now; None if there is none. Raises ClusterError."""
        async for body in self.cluster.list(_path(namespace), fieldSelector=f"metadata.name={name}"):
            return body
        return None

    async def write_status(self, entry: Entry, change: Mapping[str, Any]) -> None:
        """Applies a merge patch to the status.

        Raises ClusterError: NotThere if the object is gone, HasChanged if another object has its name now.
        """
        # No resourceVersion: only the operator writes the status, so a user's change of the spec is no conflict.
        body = await self.cluster.patch(
            _path(entry.namespace, entry.name, "status"), {"metadata": {"uid": entry.uid}, "status": change}
        )
        entry.record_metadata(body["metadata"])

    async def protect(self, entry: Entry) -> None:
        """Adds the idempotency key, and the finalizer, so a deletion waits for the operator from now on.

        Raises ClusterError.
        """
        key_record = entry.build_key_record()

        def change() -> dict[str, Any]:
            metadata: dict[str, Any] = {}
            if self.finalizer and FINALIZER not in entry.finalizers:
                metadata["finalizers"] = [*entry.finalizers, FINALIZER]
            if entry.key_record != key_record:
                metadata["annotations"] = {KEY_ANNOTATION: key_record}
            return metadata

        await self._change(entry, change)

    async def release(self, entry: Entry, *, finished: bool) -> None:
        """Removes the finalizer. Raises ClusterError.

        The label of a `finished` object takes it out of the watch; its annotation shows that a restored copy is one.
        """

        def change() -> dict[str, Any]:
            metadata: dict[str, Any] = {}
            if FINALIZER in entry.finalizers:
                metadata["finalizers"] = [found for found in entry.finalizers if found != FINALIZER]
            if finished and not entry.labelled:
                metadata["labels"] = {FINISHED_LABEL: "true"}
                metadata["annotations"] = {END_ANNOTATION: entry.build_end_record(), KEY_ANNOTATION: None}
            return metadata

        await self._change(entry, change)

    async def watch_again(self, entry: Entry) -> None:
        """Removes the marks of an end from an object that has not finished, such as a copy. Raises ClusterError."""

        def change() -> dict[str, Any]:
            metadata: dict[str, Any] = {"labels": {FINISHED_LABEL: None}} if entry.labelled else {}
            return metadata if entry.end_record is None else {**metadata, "annotations": {END_ANNOTATION: None}}

        await self._change(entry, change)

    async def delete(self, namespace: str, name: str, uid: str) -> None:
        """Deletes the object, unless another one has its name by now. Raises ClusterError."""
        await self.cluster.delete(_path(namespace, name), uid=uid)

    async def _change(self, entry: Entry, change: Callable[[], dict[str, Any]]) -> None:
        """Patches the metadata with the result of `change`; after a conflict reads the object and tries again."""
        for _ in range(CONFLICT_TRIES):
            metadata = change()
            if not metadata:
                return
            # A merge patch replaces the whole list of finalizers. Without the resourceVersion it would remove one that
            # another controller has added meanwhile.
            expected = {"uid": entry.uid, "resourceVersion": entry.resource_version}
            try:
                body = await self.cluster.patch(
                    _path(entry.namespace, entry.name), {"metadata": {**expected, **metadata}}
                )
            except HasChanged:
                found = await self.read(entry.namespace, entry.name)
                if found is None or found["metadata"]["uid"] != entry.uid:
                    raise NotThere("NotFound", "the object is gone") from None
                entry.record_metadata(found["metadata"])
            else:
                entry.record_metadata(body["metadata"])
                return
        raise HasChanged("Conflict", f"the object was changed {CONFLICT_TRIES} times between a read and a patch")


def _path(namespace: str, name: str = "", subresource: str = "") -> str:
    parts = ["", "apis", GROUP, VERSION, "namespaces", namespace, PLURAL, name, subresource]
    return "/".join(parts).rstrip("/")
