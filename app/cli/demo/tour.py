"""The tour: on a stack of its own, which is gone at the end, or on one that somebody names.

Every scene is a task over REST like any other; nothing is staged except the outage, which the simulator plays.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from app.cli.client import ApiClient
from app.cli.demo.model_outage import answering_model, model_outage
from app.cli.demo.scenes import SCENES, Scene, Trick
from app.cli.demo.stage import Stage
from app.cli.embedded import launch
from app.cli.embedded.state import StackStatus, StateFolder
from app.cli.failure import CommandFailed
from app.cli.invocation import pasteable
from app.cli.stack import prepare

DEMO_FOLDER = Path(".agent-orchestrator-demo")
# After one of these every further scene would fail for the same reason, each after minutes of retries.
_NO_MODEL = frozenset({"LLM_UNAVAILABLE", "LLM_AUTH_FAILED", "LLM_QUOTA_EXCEEDED", "LLM_MODEL_NOT_FOUND"})

Task = Mapping[str, Any]


def run_tour(state: Path | None) -> int:
    """Shows every scene; returns 1 if one of them did not end as promised.

    Raises CommandFailed if another demo runs in this folder.
    """
    console = Console(highlight=False)
    with _stack(state, console) as status, ApiClient(status.api_url) as client:
        stage = Stage(console)
        stage.print_introduction(status)
        tour = Tour(client, stage, status)
        for number, scene in enumerate(SCENES, start=1):
            tour.play(scene, number)
            if tour.hopeless:
                stage.print_note(
                    "The other scenes are left out: no model answers, so they would end alike.", style="red"
                )
                break
        stage.table(tour.finished, simulated=bool(status.simulated))
        if tour.good:
            stage.print_hint(f"Start it for yourself: {pasteable('up')}")
        else:
            stage.print_note("Something was not as promised: see ✗ above.")
    if state is None and tour.good:  # otherwise the logs may be of use
        shutil.rmtree(DEMO_FOLDER, ignore_errors=True)
    return 0 if tour.good else 1


@contextmanager
def _stack(state: Path | None, console: Console) -> Iterator[StackStatus]:
    """Yields the stack in the named folder, which it leaves running if it ran before.

    Without a name it is one in a folder of its own: the demo takes a model down, and neither the breakers nor the tasks
    of that belong into anybody's stack.
    """
    if state is not None:
        running = StateFolder(state.absolute()).read_status()
        if running is not None:
            yield running
            return
        with _started(StateFolder(state.absolute()), console) as status:
            yield status
        return
    own = StateFolder(DEMO_FOLDER.absolute())
    if own.running():
        raise CommandFailed("Another demo runs in this folder; wait for its end, or use another folder.")
    shutil.rmtree(own.path, ignore_errors=True)
    with _started(own, console, alone=True) as status:
        yield status


@contextmanager
def _started(folder: StateFolder, console: Console, *, alone: bool = False) -> Iterator[StackStatus]:
    """Starts a stack that ends with the tour, even if that is killed. `alone`: with stores and a port of its own."""
    plan = prepare(folder, port=None, workers=1, alone=alone)
    with console.status(Text("Starting the system")) as line:
        supervisor = launch.start_supervisor(folder, plan, tethered=True)
        try:
            status = launch.wait_until_ready(
                folder, supervisor, on_status=lambda status: line.update(_progress(status))
            )
        except (launch.StackFailed, KeyboardInterrupt):
            launch.end_supervisor(folder, supervisor)
            raise
    try:
        yield status
    finally:
        with console.status(Text("Stopping the system")):
            launch.end_supervisor(folder, supervisor)


def _progress(status: StackStatus) -> Text:
    line = Text("Starting ")
    for process in status.processes:
        line.append(f" {process.name}", style="green" if process.ready else "dim")
    return line


class Tour:
    """The scenes under way: plays them one after the other and keeps the finished tasks."""

    def __init__(self, client: ApiClient, stage: Stage, status: StackStatus) -> None:
        self.finished: list[tuple[str, Task]] = []
        self.good = True
        self.hopeless = False
        self._client = client
        self._stage = stage
        self._status = status

    def play(self, scene: Scene, number: int) -> None:
        self._stage.scene(number, len(SCENES), scene.title, scene.task)
        if scene.trick is Trick.OUTAGE and self._status.simulator_url is None:
            self._stage.print_note("Left out: a real provider cannot be taken down from here.")
            return
        task = self._perform(scene)
        self._stage.outcome(task, with_attempts=scene.trick is Trick.OUTAGE)
        if scene is SCENES[0] and task["result"] is not None and not task["result"]["citations"]:
            self._stage.print_note("No sources: web search needs a key, TAVILY_API_KEY.")
        shortfall = scene.shortfall(task)
        self._stage.verdict(shortfall, good=_summary(task))
        self.good = self.good and shortfall is None
        self.hopeless = shortfall is not None and task["error"] is not None and task["error"]["type"] in _NO_MODEL
        self.finished.append((scene.label, task))

    def _perform(self, scene: Scene) -> Task:
        if scene.trick is Trick.FOLLOW_UP:
            session_id = self.finished[0][1]["session_id"]
            self._stage.print_note(f"in session {session_id}")
            return self._run({"task": scene.task, "session_id": session_id})
        if scene.trick is Trick.OUTAGE and self._status.simulator_url is not None:
            # The model that answered the first scene is the first hop of the chain: its outage reaches the second hop.
            model = answering_model(self.finished[0][1])
            self._stage.print_note(f"{model} is taken down: every call of it fails with 503")
            with model_outage(self._status.simulator_url, model):
                return self._run({"task": scene.task})
        if scene.trick is Trick.TWICE:
            return self._run_twice({"task": scene.task})
        return self._run({"task": scene.task})

    def _run(self, body: Mapping[str, object]) -> Task:
        accepted = self._client.submit(body)
        return self._follow(accepted["task_id"])

    def _run_twice(self, body: Mapping[str, object]) -> Task:
        key = str(uuid.uuid4())
        first, second = (self._client.submit(body, idempotency_key=key)["task_id"] for _ in range(2))
        self._stage.print_note(f"first answer:  task {first}\nsecond answer: task {second}")
        if first != second:
            self._stage.print_note("two tasks were made of one key", style="red")
            self.good = False
        return self._follow(second)

    def _follow(self, task_id: str) -> Task:
        return self._stage.follow(self._client.follow(task_id))


def _summary(task: Task) -> str:
    if task["error"] is not None:
        return f"turned down with {task['error']['type']}, as it should be"
    runs = "1 run" if task["attempts"] == 1 else f"{task['attempts']} runs"
    return f"{task['status']} after {runs}"
