"""The workers' Deployment and its pods in Kubernetes: a reader, and the two changes that the autoscaler may make.

A scale is changed only if it is still what it was when the fleet was read. Kubernetes chooses the pods that it removes:
first those that are not ready, then those with the lowest deletion cost.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

from agent_operator.kube.cluster import Cluster, ClusterError, NotThere, Object

COST_ANNOTATION = "controller.kubernetes.io/pod-deletion-cost"
DRAINED_COST = "-1000"
SLOTS_VARIABLE = "AGENT_WORKER_CONCURRENCY"
USUAL_SLOTS = 64  # the default of that variable


@dataclass(frozen=True)
class Pod:
    """A pod that is not being deleted. `started`: it runs, or has run. `cheap`: it is marked to be removed first."""

    name: str
    ready: bool
    started: bool
    cheap: bool


@dataclass(frozen=True)
class Fleet:
    """The state of the Deployment and its pods. `fresh`: it was just read, and is not from memory."""

    replicas: int
    rolling_out: bool
    slots_per_pod: int
    annotations: Mapping[str, str]
    pods: Sequence[Pod]
    uid: str
    selector: str
    fresh: bool = True


@dataclass(frozen=True)
class Deployment:
    """The Deployment `namespace`/`name`."""

    cluster: Cluster
    namespace: str
    name: str

    @property
    def path(self) -> str:
        return f"{self._path('apps/v1', 'deployments')}/{self.name}"

    def reference(self, fleet: Fleet) -> dict[str, str]:
        """Returns the reference to the Deployment in a Kubernetes event."""
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "namespace": self.namespace,
            "name": self.name,
            "uid": fleet.uid,
        }

    async def read(self) -> Fleet:
        """Reads the Deployment and its pods. Raises ClusterError: NotThere if there is no such Deployment."""
        body = await self.cluster.get(self.path)
        labels = body["spec"]["selector"].get("matchLabels")
        if not labels:
            raise ClusterError("NoMatchLabels", f"Deployment {self.name} selects its pods without matchLabels")
        selector = ",".join(f"{name}={value}" for name, value in sorted(labels.items()))
        pods = [pod async for pod in self.cluster.list(self._path("v1", "pods"), labelSelector=selector)]
        staying = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"] and not _is_over(pod)]
        return Fleet(
            replicas=body["spec"].get("replicas", 1),
            rolling_out=_is_rolling_out(body),
            slots_per_pod=_slots(body),
            annotations=body["metadata"].get("annotations", {}),
            pods=[_pod(pod) for pod in staying],
            uid=body["metadata"]["uid"],
            selector=selector,
        )

    def watching(self) -> AbstractAsyncContextManager[AsyncIterator[str]]:
        """Opens a watch on the Deployment. Raises ClusterError, also later."""
        # With this selector the right to watch this one Deployment suffices.
        return self.cluster.watching(self._path("apps/v1", "deployments"), fieldSelector=f"metadata.name={self.name}")

    def watching_pods(self, selector: str) -> AbstractAsyncContextManager[AsyncIterator[str]]:
        """Opens a watch on the pods of the Deployment. Raises ClusterError, also later."""
        return self.cluster.watching(self._path("v1", "pods"), labelSelector=selector)

    async def scale(self, *, before: int, after: int) -> None:
        """Sets the replicas. Raises HasScaled if there are not `before` of them, and ClusterError.

        HasChanged is among the latter: something else has changed the scale in this moment.
        """
        path = f"{self.path}/scale"
        scale = await self.cluster.get(path)
        if scale["spec"].get("replicas", 0) != before:
            raise HasScaled(f"there are {scale['spec'].get('replicas', 0)} replicas, not {before}")
        metadata = {"resourceVersion": scale["metadata"]["resourceVersion"]}
        await self.cluster.patch(path, {"metadata": metadata, "spec": {"replicas": after}})

    async def mark(self, pod: str, *, cheap: bool) -> None:
        """Gives the pod a low deletion cost, or none. Raises ClusterError."""
        annotations = {COST_ANNOTATION: DRAINED_COST if cheap else None}
        await self.cluster.patch(f"{self._path('v1', 'pods')}/{pod}", {"metadata": {"annotations": annotations}})

    async def other_scaler(self) -> str | None:
        """Reads which HorizontalPodAutoscaler or ScaledObject scales this Deployment, if any. Raises ClusterError."""
        for kind, api in (("HorizontalPodAutoscaler", "autoscaling/v2"), ("ScaledObject", "keda.sh/v1alpha1")):
            plural = f"{kind.lower()}s"
            try:
                async for body in self.cluster.list(self._path(api, plural)):
                    target = body["spec"].get("scaleTargetRef", {})
                    if (target.get("kind", "Deployment"), target.get("name")) == ("Deployment", self.name):
                        return f"{kind} {body['metadata']['name']}"
            except NotThere:
                continue  # KEDA is not installed
        return None

    def _path(self, api: str, plural: str) -> str:
        root = "/api" if api == "v1" else "/apis"
        return f"{root}/{api}/namespaces/{self.namespace}/{plural}"


class HasScaled(Exception):
    """The number of replicas is not the one that the decision was based on."""


def _is_over(pod: Object) -> bool:
    return pod.get("status", {}).get("phase") in ("Succeeded", "Failed")


def _pod(pod: Object) -> Pod:
    status = pod.get("status", {})
    ready = any(found["type"] == "Ready" and found["status"] == "True" for found in status.get("conditions") or ())
    annotations = pod["metadata"].get("annotations") or {}
    started = ready or any(_has_run(container) for container in status.get("containerStatuses") or ())
    return Pod(pod["metadata"]["name"], ready, started, annotations.get(COST_ANNOTATION) == DRAINED_COST)


# A pod that was ready, or whose container runs or has ended, may have claimed tasks, even if it is not ready now.
def _has_run(container: Mapping[str, Any]) -> bool:
    state = container.get("state", {})
    return container.get("restartCount", 0) > 0 or "running" in state or "terminated" in state


def _is_rolling_out(body: Object) -> bool:
    """Checks whether there are pods of two versions, or will be because Kubernetes has not seen the last change."""
    status: Mapping[str, Any] = body.get("status", {})
    seen = status.get("observedGeneration", 0) >= body["metadata"]["generation"]
    return not seen or status.get("updatedReplicas", 0) < status.get("replicas", 0)


def _slots(body: Object) -> int:
    """Reads the slots of a worker from the pods' environment, for as long as no worker publishes them."""
    for container in body["spec"]["template"]["spec"]["containers"]:
        for variable in container.get("env") or ():
            if variable["name"] == SLOTS_VARIABLE and str(variable.get("value", "")).isdigit():
                return int(variable["value"])
    return USUAL_SLOTS
