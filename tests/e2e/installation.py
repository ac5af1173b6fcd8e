"""A release of the chart in its own namespace, with access to its API, its objects and its database.

HTTP goes through `kubectl proxy`, because the pods behind a Service may change. The database has another protocol and
is reached through `kubectl port-forward`, because its pod stays the same.
"""

from __future__ import annotations

import base64
import json
import re
import subprocess
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from pymongo import MongoClient

from app.domain.run import EventName
from app.domain.task import TERMINAL
from app.settings import StoreSettings
from tests.chart.rendering import CHART, NAME, RELEASE, helm, over
from tests.e2e.provider import TAG
from tests.support.invariants import Document, violations
from tests.support.kubernetes import Kubectl, agent_task

USER = 54_321
INSTALL_SECONDS = 180
DELETE_SECONDS = 120
POLL_SECONDS = 0.2
AGENT_TASKS = "apis/agentorchestrator.dev/v1alpha1/agenttasks"
DEPLOYMENTS = "apis/apps/v1/deployments"
PODS = "api/v1/pods"
HARMLESS = ("debug", "info", "warning")
VALUES: Mapping[str, Any] = {
    "images": {"tag": TAG},
    "podSecurityContext": {"runAsUser": USER},
    "env": {"API_RATE_LIMIT_PER_MINUTE": 1_000_000, "AGENT_EXPECTED_SERVICE_SECONDS": 1},
    "dev": {
        "valkey": {"enabled": True, "image": f"agent-orchestrator-valkey:{TAG}"},
        "mongodb": {"enabled": True, "image": f"agent-orchestrator-mongodb:{TAG}"},
        "simulator": {"enabled": True, "image": f"agent-orchestrator-api:{TAG}"},
    },
}


@dataclass(frozen=True)
class Installation:
    """An installed release. `cluster` is a client of the API server, which is much cheaper for many reads than kubectl;
    `tasks` is a client of the API, and `simulator` a client of the simulator of the providers.

    Implements `tests.support.invariants.Witness`.
    """

    kubectl: Kubectl
    namespace: str
    cluster: httpx.Client
    tasks: httpx.Client
    simulator: httpx.Client
    mongo_uri: str
    database_name: str
    opened_at: datetime

    def upgrade(self, values: Mapping[str, Any], *options: str) -> None:
        """Upgrades the release with further values, and waits until all pods are replaced.

        Raises AssertionError with the error of Helm if it fails.
        """
        _helm(self.kubectl, "upgrade", self.namespace, values, CHART, "--reset-then-reuse-values", *options)

    def helm(self, verb: str, *options: str) -> str:
        """Runs Helm on the release and returns its output. Raises subprocess.CalledProcessError."""
        return helm(verb, RELEASE, "--namespace", self.namespace, *options, kubeconfig=self.kubectl.kubeconfig)

    def create(self, name: str, text: str, **spec: Any) -> None:
        """Creates an AgentTask. Raises httpx.HTTPStatusError if the API server refuses it."""
        self.cluster.post(self._path(AGENT_TASKS), json=agent_task(name, text, **spec)).raise_for_status()

    def agent_tasks(self) -> dict[str, Any]:
        """Returns all AgentTasks by name."""
        return {body["metadata"]["name"]: body for body in self._get(AGENT_TASKS)["items"]}

    def phases(self, names: Sequence[str]) -> dict[str, str]:
        found = self.agent_tasks()
        return {name: found[name].get("status", {}).get("phase", "") for name in names}

    def pods(self, component: str, *, leaving: bool = False) -> list[dict[str, Any]]:
        """Returns the pods of a component that are not being deleted or, if `leaving`, those that are."""
        found = self._get(PODS, labelSelector=f"app.kubernetes.io/component={component}")
        return [pod for pod in found["items"] if ("deletionTimestamp" in pod["metadata"]) is leaving]

    def ready(self, component: str) -> list[str]:
        """Returns the names of the ready pods."""
        return [pod["metadata"]["name"] for pod in self.pods(component) if is_ready(pod)]

    def replicas(self) -> int:
        """Returns the wanted number of workers."""
        return int(self._get(DEPLOYMENTS, f"{NAME}-worker")["spec"]["replicas"])

    def workers(self) -> list[dict[str, Any]]:
        """Returns the presence of each worker."""
        metrics = self.tasks.get("/v1/system/metrics").raise_for_status().json()
        found: list[dict[str, Any]] = metrics["workers"] or []
        return found

    def running(self) -> int:
        """Returns the number of tasks that the workers run."""
        return sum(worker["running"] for worker in self.workers())

    def decisions(self) -> list[dict[str, Any]]:
        """Returns the decisions of the autoscaler, newest first."""
        found: list[dict[str, Any]] = self.tasks.get("/v1/system/autoscaler").raise_for_status().json()["decisions"]
        return found

    def execute(self, pod: str, code: str, *, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Runs Python code in the pod."""
        return self.kubectl.run("exec", "-n", self.namespace, pod, "--", "python", "-c", code, check=check)

    def refresh_files(self, pods: Iterable[str]) -> None:
        """Has the kubelet write the files of changed Secrets into these pods now, as it does whenever a pod changes.

        By itself it takes about a minute.
        """
        for pod in pods:
            change = f"agentorchestrator.dev/refreshed={time.time_ns()}"
            self.kubectl.run("annotate", "pod", pod, "-n", self.namespace, "--overwrite", change)

    @contextmanager
    def database(self) -> Iterator[Any]:
        with MongoClient[dict[str, Any]](self.mongo_uri, tz_aware=True) as client:
            yield client[self.database_name]

    def calls(self, task_id: str | None = None) -> Any:
        query = {"task_id": task_id} if task_id else {}
        return self.simulator.get("/simulator/calls", params=query).raise_for_status().json()

    @contextmanager
    def script(self, rule: Mapping[str, Any]) -> Iterator[None]:
        """Sets a fault of the simulator, and removes it at the end of the block."""
        self.simulator.post("/simulator/faults", json=dict(rule)).raise_for_status()
        try:
            yield
        finally:
            self.simulator.delete("/simulator/faults").raise_for_status()

    def reckon(self, names: Sequence[str], *, seconds: float = 120) -> list[Document]:
        """Waits until these AgentTasks are Completed and have no finalizer, checks their tasks, and returns these."""
        give_up_at = time.monotonic() + seconds
        while waiting := self._unfinished(names):
            assert time.monotonic() < give_up_at, f"{len(waiting)} of {len(names)} are not completed: {waiting[:5]}"
            time.sleep(POLL_SECONDS)
        found = self.agent_tasks()
        task_ids = [found[name]["status"]["taskId"] for name in names]
        assert len(set(task_ids)) == len(names)
        uids = [found[name]["metadata"]["uid"] for name in names]
        with self.database() as db:
            of_objects = [task["_id"] for task in db["tasks"].find({"source.uid": {"$in": uids}}, {"_id": 1})]
        assert sorted(of_objects) == sorted(task_ids), "the tasks of the AgentTasks are not those in their statuses"
        return self.judge(task_ids)

    def _unfinished(self, names: Sequence[str]) -> list[tuple[str, str, bool]]:
        """Returns the unfinished AgentTasks: name, phase, and True if a finalizer is left."""
        found = self.agent_tasks()
        states = [
            (name, found[name].get("status", {}).get("phase", ""), "finalizers" in found[name]["metadata"])
            for name in names
        ]
        return [state for state in states if state[1:] != ("Completed", False)]

    def judge(self, task_ids: Sequence[str], *, seconds: float = 90) -> list[Document]:
        """Waits until these tasks have ended and are projected, checks all invariants, and returns the tasks."""
        give_up_at = time.monotonic() + seconds
        done = {"_id": {"$in": list(task_ids)}, "status": {"$in": list(TERMINAL)}, "unprojected": {"$ne": True}}
        with self.database() as db:
            while (missing := len(set(task_ids)) - db["tasks"].count_documents(done)) > 0:
                assert time.monotonic() < give_up_at, f"{missing} have not ended, or are not projected"
                time.sleep(POLL_SECONDS)
            documents = {task["_id"]: task for task in db["tasks"].find({"_id": {"$in": list(task_ids)}})}
        broken = violations(self, task_ids)
        assert not broken, "\n".join(broken[:20])
        return [documents[task_id] for task_id in task_ids]

    def logged_errors(self) -> list[dict[str, Any]]:
        """Returns all log lines of the remaining pods at level error or above, and all lines without a format.

        It leaves out lines of libraries from the time in which the servers that they connect to were still starting.
        """
        found = []
        for component in ("api", "worker", "operator"):
            for pod in self.ready(component):
                found += [
                    line for line in self.logged(pod) if line["level"] not in HARMLESS and not self._of_the_start(line)
                ]
        return found

    def _of_the_start(self, line: Mapping[str, Any]) -> bool:
        library = str(line.get("logger")).partition(".")[0] in ("celery", "kopf")
        return library and datetime.fromisoformat(line["timestamp"]) < self.opened_at

    def restarts(self) -> dict[str, int]:
        """Returns the number of restarts of each existing pod that was restarted."""
        pods = self._get(PODS)["items"]
        counts = {
            pod["metadata"]["name"]: sum(status["restartCount"] for status in pod["status"]["containerStatuses"])
            for pod in pods
            if "containerStatuses" in pod["status"]
        }
        return {name: count for name, count in counts.items() if count}

    def _get(self, collection: str, name: str = "", **query: str) -> Any:
        return self.cluster.get(self._path(collection, name), params=query).raise_for_status().json()

    def _path(self, collection: str, name: str = "") -> str:
        group, _, plural = collection.rpartition("/")
        return f"/{group}/namespaces/{self.namespace}/{plural}/{name}".rstrip("/")

    def logged(self, pod: str) -> Iterator[dict[str, Any]]:
        """Yields the log lines of a pod, or nothing if the pod no longer exists."""
        done = self.kubectl.run("logs", pod, "-n", self.namespace, check=False)
        if done.returncode and "NotFound" not in done.stderr:
            raise AssertionError(f"kubectl logs {pod}: {done.stderr}")
        for line in done.stdout.splitlines():
            yield json.loads(line) if line.startswith("{") else {"level": "unstructured", "message": line}


def revisions(installation: Installation) -> list[dict[str, str]]:
    """Returns the revisions of the release, oldest first."""
    found: list[dict[str, str]] = json.loads(installation.helm("history", "--output", "json"))
    return found


def is_ready(pod: Mapping[str, Any]) -> bool:
    conditions = pod["status"].get("conditions") or ()
    return any(found["type"] == "Ready" and found["status"] == "True" for found in conditions)


def interruptions(tasks: Sequence[Document]) -> list[tuple[str, list[str]]]:
    """Returns id and events of each task that was not run exactly once, by one worker."""
    histories = [(str(task["_id"]), [str(event["name"]) for event in task["events"]]) for task in tasks]
    return [(task_id, names) for task_id, names in histories if not _ran_once(names)]


def _ran_once(names: Sequence[str]) -> bool:
    return names.count(EventName.CLAIMED) == 1 and EventName.REQUEUED not in names


@contextmanager
def installed(kubectl: Kubectl, name: str, values: Mapping[str, Any], *, chart: Path = CHART) -> Iterator[Installation]:
    """Installs a release with these values over `VALUES`, in a namespace with the restricted pod security level."""
    with namespace_for(kubectl, name) as namespace:
        all_values = over(VALUES, values)
        install(kubectl, namespace, all_values, chart=chart)
        with opened(kubectl, namespace, all_values) as installation:
            yield installation


def install(kubectl: Kubectl, namespace: str, values: Mapping[str, Any], *options: str, chart: Path = CHART) -> None:
    """Installs a release and waits until all pods are ready.

    The CRD belongs to the cluster: it remains after a release is uninstalled, and the next release takes it over.

    Raises AssertionError with the error of Helm if it fails.
    """
    _helm(kubectl, "install", namespace, values, chart, "--take-ownership", *options)


@contextmanager
def namespace_for(kubectl: Kubectl, name: str) -> Iterator[str]:
    """Creates a namespace for one release, and deletes the release and its AgentTasks at the end."""
    namespace = f"{name}-{uuid.uuid4().hex[:8]}"
    kubectl.run("create", "namespace", namespace)
    try:
        kubectl.run("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
        yield namespace
    finally:
        # AgentTasks are deleted first, because only the operator removes their finalizer.
        kubectl.run("delete", "agenttasks", "--all", "-n", namespace, f"--timeout={DELETE_SECONDS}s", check=False)
        helm("uninstall", RELEASE, "--namespace", namespace, "--ignore-not-found", kubeconfig=kubectl.kubeconfig)
        kubectl.run("delete", "namespace", namespace, "--wait=false")


def _helm(kubectl: Kubectl, verb: str, namespace: str, values: Mapping[str, Any], chart: Path, *options: str) -> None:
    waiting = ["--wait", f"--timeout={INSTALL_SECONDS}s"]
    try:
        helm(
            verb, RELEASE, str(chart), "--namespace", namespace, *waiting, *options,
            values=values, kubeconfig=kubectl.kubeconfig,
        )  # fmt: skip
    except subprocess.CalledProcessError as failure:
        pods = kubectl.run("get", "pods", "-n", namespace, "-o", "wide").stdout
        raise AssertionError(f"helm {verb}: {failure.stderr}\n{pods}") from failure


@contextmanager
def opened(kubectl: Kubectl, namespace: str, values: Mapping[str, Any]) -> Iterator[Installation]:
    """Opens clients of a release that is already installed with these values."""
    with ExitStack() as cleanup:
        proxy = cleanup.enter_context(_serving(kubectl, "proxy", "--port=0", pattern=r"127\.0\.0\.1:(\d+)"))
        named = values.get("secrets", {}).get("inline", {}).get("stores", {}).get("MONGO_URI")
        mongo_uri = named or cleanup.enter_context(_forwarded(kubectl, namespace))
        root = f"http://127.0.0.1:{proxy}"
        services = f"{root}/api/v1/namespaces/{namespace}/services"
        secret = kubectl.get(f"secret/{NAME}-keys", "-n", namespace)["data"]["service-key"]
        headers = {"X-API-Key": base64.b64decode(secret).decode(), "X-Tenant": namespace}

        def client(url: str, **options: Any) -> httpx.Client:
            return cleanup.enter_context(httpx.Client(base_url=url, timeout=30, trust_env=False, **options))

        yield Installation(
            kubectl,
            namespace,
            client(root),
            client(f"{services}/{NAME}-api:http/proxy", headers=headers),
            client(f"{services}/{NAME}-simulator:server/proxy"),
            mongo_uri,
            values["env"].get("MONGO_DB_NAME", StoreSettings().database),
            datetime.now(UTC),
        )


@contextmanager
def _forwarded(kubectl: Kubectl, namespace: str) -> Iterator[str]:
    """Forwards a local port to the database of the release, and yields its address."""
    to = ("-n", namespace, f"service/{NAME}-mongodb", ":27017")
    with _serving(kubectl, "port-forward", *to, pattern=r"127\.0\.0\.1:(\d+) ->") as port:
        yield f"mongodb://127.0.0.1:{port}/?directConnection=true"


@contextmanager
def _serving(kubectl: Kubectl, *arguments: str, pattern: str) -> Iterator[int]:
    """Runs kubectl in the background, and yields the port that it listens on, as its output names it."""
    process = subprocess.Popen(  # noqa: S603  kubectl, with arguments of this module
        kubectl.command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        line = process.stdout.readline() if process.stdout else ""
        found = re.search(pattern, line)
        if found is None:
            raise AssertionError(f"kubectl {' '.join(arguments)} printed: {line!r}")
        yield int(found[1])
    finally:
        process.terminate()
        process.communicate()
