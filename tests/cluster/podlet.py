"""A minimal kubelet: each pod of a Deployment is a real worker process on this machine.

The control plane of the tests has no kubelet. This one starts a process for each pod that the scheduler has bound to
its node, sets the pod Ready when the worker's probe is, sends SIGTERM when the pod is deleted, and removes the pod
after the process has ended. Containers, limits and networks belong to the end-to-end tests.
"""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.chart.rendering import NAME
from tests.cluster.control_plane import ControlPlane
from tests.support.servers import HOST, free_port
from tests.support.stack import Part, Stack

NODE = "laptop"
WORKER = f"{NAME}-worker"
POLL_SECONDS = 0.2


def add_node(plane: ControlPlane) -> None:
    """Creates a node that is always ready."""
    plane.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}})
    room = {"cpu": "100", "memory": "100Gi", "pods": "500"}
    status = {"allocatable": room, "capacity": room, "conditions": [_condition("Ready")]}
    plane.run("patch", "node", NODE, "--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))
    plane.run("patch", "node", NODE, "--type=merge", "-p", json.dumps({"spec": {"taints": None}}))


def worker_deployment(replicas: int, slots: int, **annotations: str) -> dict[str, Any]:
    """Returns a Deployment; `annotations` are settings of the autoscaling policy, with underscores."""
    labels = {"app": WORKER}
    prefix = "autoscaler.agentorchestrator.dev/"
    named = {f"{prefix}{name.replace('_', '-')}": value for name, value in annotations.items()}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": WORKER, "annotations": named},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "terminationGracePeriodSeconds": 120,
                    "tolerations": [{"operator": "Exists"}],
                    "containers": [{"name": "worker", "image": "none", "env": [_slots(slots)]}],
                },
            },
        },
    }


def _slots(count: int) -> dict[str, str]:
    return {"name": "AGENT_WORKER_CONCURRENCY", "value": str(count)}


def _condition(kind: str) -> dict[str, str]:
    return {"type": kind, "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}


class Podlet:
    """The kubelet in its own thread. `ended` are the exit codes of workers that received SIGTERM, by pod."""

    def __init__(self, plane: ControlPlane, stack: Stack, namespace: str, folder: Path) -> None:
        self._plane = plane
        self._stack = stack
        self._namespace = namespace
        self._folder = folder
        self._workers: dict[str, Part] = {}
        self._ready: set[str] = set()
        self._stopped: set[str] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="podlet", daemon=True)
        self.ended: dict[str, int] = {}

    @property
    def ready(self) -> frozenset[str]:
        return frozenset(self._ready)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()
        for part in self._workers.values():
            part.stop(signal.SIGKILL)

    def _run(self) -> None:
        while not self._over.wait(POLL_SECONDS):
            pods = self._plane.get("pods", "-n", self._namespace, "-l", f"app={WORKER}")["items"]
            for pod in pods:
                self._check(pod["metadata"]["name"], pod)

    def _check(self, name: str, pod: dict[str, Any]) -> None:
        part = self._workers.get(name)
        if "deletionTimestamp" in pod["metadata"]:
            self._end(name, part)
        elif part is None and pod["spec"].get("nodeName"):
            self._workers[name] = self._begin(name)
        elif part is not None and name not in self._ready and part.ready:
            self._set_ready(name)

    def _begin(self, name: str) -> Part:
        port = free_port()
        environment = {
            **self._stack.parts["api"].environment,
            "AGENT_METRICS_PORT": str(port),
            "AGENT_WORKER_NAME": name,
            "AGENT_WORKER_CONCURRENCY": "4",
            "AGENT_WORKER_GRACE_SECONDS": "100",
        }
        part = Part(name, ["worker"], environment, f"http://{HOST}:{port}/health", self._folder / f"{name}.log")
        part.launch()
        return part

    def _set_ready(self, name: str) -> None:
        status = {"phase": "Running", "conditions": [_condition("Ready"), _condition("ContainersReady")]}
        self._plane.run(
            "patch", f"pod/{name}", "-n", self._namespace, "--subresource=status", "--type=merge",
            "-p", json.dumps({"status": status}), check=False,
        )  # fmt: skip
        self._ready.add(name)

    def _end(self, name: str, part: Part | None) -> None:
        if part is not None and part.process is not None:
            if name not in self._stopped:
                self._stopped.add(name)
                part.send_signal(signal.SIGTERM)
            code = part.process.poll()
            if code is None:
                return
            self.ended[name] = code
        self._ready.discard(name)
        self._workers.pop(name, None)
        self._plane.run(
            "delete", f"pod/{name}", "-n", self._namespace, "--grace-period=0", "--force", "--wait=false", check=False
        )


@contextmanager
def running_podlet(plane: ControlPlane, stack: Stack, namespace: str, folder: Path) -> Iterator[Podlet]:
    podlet = Podlet(plane, stack, namespace, folder)
    podlet.start()
    try:
        yield podlet
    finally:
        podlet.stop()


def replicas(plane: ControlPlane, namespace: str) -> int:
    count: int = plane.get(f"deployment/{WORKER}", "-n", namespace)["spec"]["replicas"]
    return count


def sit_through(seconds: float) -> None:
    """Waits for a time in which something must not happen."""
    time.sleep(seconds)
