"""A release of the chart in a namespace of its own, and the ways to look into it.

HTTP goes through `kubectl proxy`, so that a pod behind a Service may come and go; the database, which has another
protocol, through `kubectl port-forward`, because its pod stays.
"""

from __future__ import annotations

import base64
import json
import re
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from pymongo import MongoClient

from app.domain.run import EventName
from app.settings import StoreSettings
from tests.chart.rendering import CHART, NAME, RELEASE, helm, over
from tests.e2e.provider import TAG
from tests.support.invariants import Document, violations
from tests.support.kubernetes import Kubectl, agent_task
from tests.support.stack import TERMINAL

USER = 54_321
INSTALL_SECONDS = 180
DELETE_SECONDS = 120
LOOK_SECONDS = 0.2
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
    """`cluster` is the API server, which answers many looks for the price of one kubectl; `tasks` is the API and
    `simulator` the stand-in for the providers, as a client reaches them from outside.

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
        """With further values over those it was installed with; waits until all is rolled out.

        Raises AssertionError with what Helm says where it fails.
        """
        _helm(self.kubectl, "upgrade", self.namespace, values, CHART, "--reset-then-reuse-values", *options)

    def helm(self, verb: str, *options: str) -> str:
        """What Helm prints of the release. Raises subprocess.CalledProcessError."""
        return helm(verb, RELEASE, "--namespace", self.namespace, *options, kubeconfig=self.kubectl.kubeconfig)

    def create(self, name: str, text: str, **spec: Any) -> None:
        """An AgentTask, by the API server's own answer there or refused. Raises httpx.HTTPStatusError."""
        self.cluster.post(self._path(AGENT_TASKS), json=agent_task(name, text, **spec)).raise_for_status()

    def agent_tasks(self) -> dict[str, Any]:
        """All of them, by name."""
        return {body["metadata"]["name"]: body for body in self._get(AGENT_TASKS)["items"]}

    def phases(self, names: Sequence[str]) -> dict[str, str]:
        found = self.agent_tasks()
        return {name: found[name].get("status", {}).get("phase", "") for name in names}

    def pods(self, component: str, *, leaving: bool = False) -> list[dict[str, Any]]:
        """Those that stay, or are on their way out."""
        found = self._get(PODS, labelSelector=f"app.kubernetes.io/component={component}")
        return [pod for pod in found["items"] if ("deletionTimestamp" in pod["metadata"]) is leaving]

    def ready(self, component: str) -> list[str]:
        """The names of the pods that are ready."""
        return [pod["metadata"]["name"] for pod in self.pods(component) if is_ready(pod)]

    def replicas(self) -> int:
        """How many workers are wanted."""
        return int(self._get(DEPLOYMENTS, f"{NAME}-worker")["spec"]["replicas"])

    def workers(self) -> list[dict[str, Any]]:
        """What the workers that speak say of themselves."""
        metrics = self.tasks.get("/v1/system/metrics").raise_for_status().json()
        found: list[dict[str, Any]] = metrics["workers"] or []
        return found

    def running(self) -> int:
        """How many tasks are in the workers' hands."""
        return sum(worker["running"] for worker in self.workers())

    def decisions(self) -> list[dict[str, Any]]:
        """The autoscaler's, newest first."""
        found: list[dict[str, Any]] = self.tasks.get("/v1/system/autoscaler").raise_for_status().json()["decisions"]
        return found

    def execute(self, pod: str, code: str, *, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Python, run in the pod."""
        return self.kubectl.run("exec", "-n", self.namespace, pod, "--", "python", "-c", code, check=check)

    @contextmanager
    def database(self) -> Iterator[Any]:
        with MongoClient[dict[str, Any]](self.mongo_uri, tz_aware=True) as client:
            yield client[self.database_name]

    def calls(self, task_id: str | None = None) -> Any:
        query = {"task_id": task_id} if task_id else {}
        return self.simulator.get("/simulator/calls", params=query).raise_for_status().json()

    @contextmanager
    def script(self, rule: Mapping[str, Any]) -> Iterator[None]:
        """A fault of the simulator for as long as the block lasts."""
        self.simulator.post("/simulator/faults", json=dict(rule)).raise_for_status()
        try:
            yield
        finally:
            self.simulator.delete("/simulator/faults").raise_for_status()

    def reckon(self, names: Sequence[str], *, seconds: float = 120) -> list[Document]:
        """Waits until these AgentTasks say Completed and nothing holds them, checks their tasks, and gives these."""
        give_up_at = time.monotonic() + seconds
        while waiting := self._unfinished(names):
            assert time.monotonic() < give_up_at, f"{len(waiting)} of {len(names)} are not completed: {waiting[:5]}"
            time.sleep(LOOK_SECONDS)
        found = self.agent_tasks()
        task_ids = [found[name]["status"]["taskId"] for name in names]
        assert len(set(task_ids)) == len(names)
        uids = [found[name]["metadata"]["uid"] for name in names]
        with self.database() as db:
            of_objects = [task["_id"] for task in db["tasks"].find({"source.uid": {"$in": uids}}, {"_id": 1})]
        assert sorted(of_objects) == sorted(task_ids), "an object has another task than the one it names"
        return self.judge(task_ids)

    def _unfinished(self, names: Sequence[str]) -> list[tuple[str, str, bool]]:
        """Each with its phase, and whether a finalizer is left."""
        found = self.agent_tasks()
        states = [
            (name, found[name].get("status", {}).get("phase", ""), "finalizers" in found[name]["metadata"])
            for name in names
        ]
        return [state for state in states if state[1:] != ("Completed", False)]

    def judge(self, task_ids: Sequence[str], *, seconds: float = 90) -> list[Document]:
        """Waits until these tasks have ended and are projected, checks every invariant of them, and gives them."""
        give_up_at = time.monotonic() + seconds
        done = {"_id": {"$in": list(task_ids)}, "status": {"$in": list(TERMINAL)}, "unprojected": {"$ne": True}}
        with self.database() as db:
            while (missing := len(set(task_ids)) - db["tasks"].count_documents(done)) > 0:
                assert time.monotonic() < give_up_at, f"{missing} have not ended, or are not projected"
                time.sleep(LOOK_SECONDS)
            documents = {task["_id"]: task for task in db["tasks"].find({"_id": {"$in": list(task_ids)}})}
        broken = violations(self, task_ids)
        assert not broken, "\n".join(broken[:20])
        return [documents[task_id] for task_id in task_ids]

    def logged_errors(self) -> list[dict[str, Any]]:
        """What the product's pods that stay have told at level error, or worse, and what is no log line at all.

        But not what libraries told that were started beside the servers they connect to.
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
        """Of the pods that are there, those whose container was started again, and how often."""
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
        """Nothing of a pod that has gone meanwhile."""
        told = self.kubectl.run("logs", pod, "-n", self.namespace, check=False)
        if told.returncode and "NotFound" not in told.stderr:
            raise AssertionError(f"kubectl logs {pod}: {told.stderr}")
        for line in told.stdout.splitlines():
            yield json.loads(line) if line.startswith("{") else {"level": "unstructured", "message": line}


def revisions(installation: Installation) -> list[dict[str, str]]:
    """Of the release, oldest first."""
    found: list[dict[str, str]] = json.loads(installation.helm("history", "--output", "json"))
    return found


def is_ready(pod: Mapping[str, Any]) -> bool:
    conditions = pod["status"].get("conditions") or ()
    return any(found["type"] == "Ready" and found["status"] == "True" for found in conditions)


def interruptions(tasks: Sequence[Document]) -> list[tuple[str, list[str]]]:
    """Of each task that was not run once, from its beginning to its end, by one worker: its id and its events."""
    told = [(str(task["_id"]), [str(event["name"]) for event in task["events"]]) for task in tasks]
    return [(task_id, names) for task_id, names in told if not _ran_once(names)]


def _ran_once(names: Sequence[str]) -> bool:
    return names.count(EventName.CLAIMED) == 1 and EventName.REQUEUED not in names


@contextmanager
def installed(kubectl: Kubectl, name: str, values: Mapping[str, Any], *, chart: Path = CHART) -> Iterator[Installation]:
    """A release with these values over `VALUES`, in a namespace that enforces the restricted level of pod security."""
    with namespace_for(kubectl, name) as namespace:
        all_values = over(VALUES, values)
        install(kubectl, namespace, all_values, chart=chart)
        with opened(kubectl, namespace, all_values) as installation:
            yield installation


def install(kubectl: Kubectl, namespace: str, values: Mapping[str, Any], *options: str, chart: Path = CHART) -> None:
    """Waits until all is ready. The CRD is the whole cluster's: it stays when a release goes, and the next takes it.

    Raises AssertionError with what Helm says where it fails.
    """
    _helm(kubectl, "install", namespace, values, chart, "--take-ownership", *options)


@contextmanager
def namespace_for(kubectl: Kubectl, name: str) -> Iterator[str]:
    """A namespace for one release, which goes with it, and with its AgentTasks."""
    namespace = f"{name}-{uuid.uuid4().hex[:8]}"
    kubectl.run("create", "namespace", namespace)
    try:
        kubectl.run("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
        yield namespace
    finally:
        # While their operator is there: it lets them go.
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
    """The release that is there, installed with these values."""
    with ExitStack() as cleanup:
        proxy = cleanup.enter_context(_serving(kubectl, "proxy", "--port=0", says=r"127\.0\.0\.1:(\d+)"))
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
    """Where the release's own database is reached from outside."""
    to = ("-n", namespace, f"service/{NAME}-mongodb", ":27017")
    with _serving(kubectl, "port-forward", *to, says=r"127\.0\.0\.1:(\d+) ->") as port:
        yield f"mongodb://127.0.0.1:{port}/?directConnection=true"


@contextmanager
def _serving(kubectl: Kubectl, *arguments: str, says: str) -> Iterator[int]:
    """The port that a kubectl that goes on running has said it listens on."""
    process = subprocess.Popen(  # noqa: S603  kubectl, with arguments of this module
        kubectl.command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        line = process.stdout.readline() if process.stdout else ""
        found = re.search(says, line)
        if found is None:
            raise AssertionError(f"kubectl {' '.join(arguments)} said: {line!r}")
        yield int(found[1])
    finally:
        process.terminate()
        process.communicate()
