"""Leases in Kubernetes: the reads and writes of one Lease in each namespace, and the sign that one has run out.

No clocks are compared. A Lease has run out if it was not renewed between `READS_WITHOUT_RENEWAL` reads in a row, each
of them `RENEW_SECONDS` after the one before. An outage of the API server, in which nobody can renew, does not count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from agent_operator.kube.cluster import Cluster, ClusterError, HasChanged, NotThere
from app.ports import Clock

NAME = "agent-orchestrator-operator"
RENEW_SECONDS = 15.0
TOLERANCE_SECONDS = 1.0  # of a timer
READS_WITHOUT_RENEWAL = 5
LEASE_SECONDS = int(RENEW_SECONDS) * (READS_WITHOUT_RENEWAL - 1)
ANNOTATION = "agentorchestrator.dev/shifts"


@dataclass(frozen=True)
class Lease:
    """The Lease of a namespace, as the API server shows it."""

    body: Mapping[str, Any]

    @property
    def holder(self) -> str:
        return str(self.body.get("spec", {}).get("holderIdentity") or "")

    @property
    def version(self) -> str:
        return str(self.body["metadata"]["resourceVersion"])

    @property
    def note(self) -> str:
        """The text that the holder keeps with the Lease."""
        return str((self.body["metadata"].get("annotations") or {}).get(ANNOTATION, ""))

    @property
    def reference(self) -> dict[str, str]:
        """The reference to the Lease in a Kubernetes event."""
        metadata = self.body["metadata"]
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "uid": metadata["uid"],
        }


@dataclass(frozen=True)
class Leases:
    """The operator's Leases, one in each namespace, held by the release of the name `identity`."""

    cluster: Cluster
    identity: str

    async def read(self, namespace: str) -> Lease | None:
        """Reads the Lease; None if there is none. Raises ClusterError."""
        try:
            return Lease(await self.cluster.get(_path(namespace)))
        except NotThere:
            return None

    async def write(self, namespace: str, before: Lease | None, *, note: str, now: datetime) -> Lease:
        """Creates the Lease, or takes or renews the one that was read before. Raises ClusterError.

        NotThere and HasChanged are among them: the Lease is gone, or somebody has written or created it meanwhile.
        """
        at = now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = {"holderIdentity": self.identity, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": at}
        if before is None or before.holder != self.identity:
            spec["acquireTime"] = at
        annotations = {ANNOTATION: note}
        if before is None:
            return await self._create(namespace, annotations, spec)
        change = {"metadata": {"resourceVersion": before.version, "annotations": annotations}, "spec": spec}
        written = await self.cluster.patch(_path(namespace), change)
        return Lease({"metadata": written["metadata"], "spec": spec})

    async def _create(self, namespace: str, annotations: Mapping[str, str], spec: Mapping[str, Any]) -> Lease:
        metadata = {"name": NAME, "namespace": namespace, "annotations": annotations}
        body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
        try:
            # Not POST: the right to create by it cannot be limited to one name.
            return Lease(await self.cluster.put(_path(namespace), body))
        except ClusterError as refusal:
            # The answer to a write without a resourceVersion, if there is a Lease by now.
            if refusal.reason == "Invalid":
                raise HasChanged(refusal.reason, str(refusal)) from refusal
            raise


class Sightings:
    """The reads of Leases that others hold: how many times in a row each was seen without a renewal."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: dict[str, tuple[str, int, float]] = {}

    def has_run_out(self, namespace: str, lease: Lease) -> bool:
        """Counts this read, unless the last one was just before, and returns whether the Lease has run out."""
        now = self._clock.monotonic()
        version, count, at = self._seen.get(namespace, ("", 0, now))
        if version != lease.version:
            self._seen[namespace] = (lease.version, 1, now)
            return False
        if now - at >= RENEW_SECONDS - TOLERANCE_SECONDS:
            count, at = count + 1, now
            self._seen[namespace] = (version, count, at)
        return count >= READS_WITHOUT_RENEWAL

    def forget(self, namespace: str) -> None:
        self._seen.pop(namespace, None)


def _path(namespace: str) -> str:
    return f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{NAME}"
