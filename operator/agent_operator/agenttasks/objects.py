"""AgentTasks in Kubernetes: the reads and writes that the operator makes, each with what it expects to find.

Its rights are list, watch, patch and delete: a single object is read as a list of one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from agent_operator.agenttasks.register import FINALIZER, FINISHED_LABEL, Entry
from agent_operator.kube.cluster import Cluster, HasChanged, NotThere, Object

GROUP = "agentorchestrator.dev"
VERSION = "v1alpha1"
PLURAL = "agenttasks"
LOOKS = 5


@dataclass(frozen=True)
class AgentTasks:
    """`namespaces` are those that are served; empty: all."""

    cluster: Cluster
    namespaces: tuple[str, ...] = ()

    async def check(self) -> None:
        """Raises NotThere where the CRD is not installed, NotAllowed where not all may be listed, ClusterError."""
        kinds = await self.cluster.get(f"/apis/{GROUP}/{VERSION}")
        if PLURAL not in {kind.get("name") for kind in kinds.get("resources", ())}:
            raise NotThere("NotFound", f"{PLURAL}.{GROUP} is not served")
        for path in self._paths():
            async for _ in self.cluster.list(path):
                break

    async def all(self) -> AsyncIterator[Object]:
        """Every object of the served namespaces. Raises ClusterError."""
        for path in self._paths():
            async for body in self.cluster.list(path):
                yield body

    def _paths(self) -> list[str]:
        return [_path(namespace) for namespace in self.namespaces] or [f"/apis/{GROUP}/{VERSION}/{PLURAL}"]

    async def look(self, namespace: str, name: str) -> Object | None:
        """The object that has this name now. Raises ClusterError."""
        async for body in self.cluster.list(_path(namespace), fieldSelector=f"metadata.name={name}"):
            return body
        return None

    async def write_status(self, entry: Entry, change: Mapping[str, Any]) -> None:
        """A merge patch of the status. Raises ClusterError: NotThere, HasChanged where it is another object by now."""
        body = await self.cluster.patch(
            _path(entry.namespace, entry.name, "status"), {"metadata": {"uid": entry.uid}, "status": change}
        )
        entry.saw(body["metadata"])

    async def protect(self, entry: Entry) -> None:
        """Deletion waits for us from now on. Raises ClusterError."""
        if FINALIZER not in entry.finalizers:
            await self._change(entry, lambda: {"finalizers": [*entry.finalizers, FINALIZER]})

    async def release(self, entry: Entry, *, finished: bool) -> None:
        """Deletion no longer waits for us; one that has finished is no longer watched. Raises ClusterError."""

        def change() -> dict[str, Any]:
            metadata: dict[str, Any] = {}
            if FINALIZER in entry.finalizers:
                metadata["finalizers"] = [found for found in entry.finalizers if found != FINALIZER]
            if finished and not entry.labelled:
                metadata["labels"] = {FINISHED_LABEL: "true"}
            return metadata

        await self._change(entry, change)

    async def watch_again(self, entry: Entry) -> None:
        """Takes the label away that somebody gave to an object that has not finished. Raises ClusterError."""
        await self._change(entry, lambda: {"labels": {FINISHED_LABEL: None}} if entry.labelled else {})

    async def delete(self, namespace: str, name: str, uid: str) -> None:
        """Only this very object. Raises ClusterError."""
        await self.cluster.delete(_path(namespace, name), uid=uid)

    async def _change(self, entry: Entry, change: Any) -> None:
        """Patches the metadata as `change` says, anew for as long as somebody else is faster."""
        for _ in range(LOOKS):
            metadata = change()
            if not metadata:
                return
            expected = {"uid": entry.uid, "resourceVersion": entry.resource_version}
            try:
                body = await self.cluster.patch(
                    _path(entry.namespace, entry.name), {"metadata": {**expected, **metadata}}
                )
            except HasChanged:
                found = await self.look(entry.namespace, entry.name)
                if found is None or found["metadata"]["uid"] != entry.uid:
                    raise NotThere("NotFound", "the object is gone") from None
                entry.saw(found["metadata"])
            else:
                entry.saw(body["metadata"])
                return
        raise HasChanged("Conflict", f"the object was changed {LOOKS} times in between")


def _path(namespace: str, name: str = "", subresource: str = "") -> str:
    parts = ["", "apis", GROUP, VERSION, "namespaces", namespace, PLURAL, name, subresource]
    return "/".join(parts).rstrip("/")
