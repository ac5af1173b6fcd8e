"""The tour: on the stack that is already up, or on one that lives only as long as the tour.

Every scene is a task over REST like any other; nothing is staged except the outage, which the simulator plays.
"""

from __future__ import annotations

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
from app.cli.stack import prepare

Task = Mapping[str, Any]


def run_tour(state: Path) -> int:
    """Shows every scene; returns 1 if one of them did not end as promised."""
    console = Console(highlight=False)
    folder = StateFolder(state.absolute())
    with _stack(folder, console) as status, ApiClient(status.api_url) as client:
        stage = Stage(console)
        stage.print_introduction(status)
        tour = Tour(client, stage, status)
        for number, scene in enumerate(SCENES, start=1):
            tour.play(scene, number)
        stage.table(tour.finished, simulated=bool(status.simulated))
        stage.print_note(
            "Start it for yourself: make up" if tour.good else "Something was not as promised: see ✗ above."
        )
    return 0 if tour.good else 1


@contextmanager
def _stack(folder: StateFolder, console: Console) -> Iterator[StackStatus]:
    """Uses the running stack and leaves it running, or starts one that ends with the tour, even if that is killed."""
    running = folder.read_status()
    if running is not None:
        yield running
        return
    plan = prepare(folder, port=None, workers=1)
    with console.status(Text("Starting the system")) as line:
        supervisor = launch.start_supervisor(folder, plan, tethered=True)
        try:
            status = launch.wait_until_ready(
                folder, supervisor, on_status=lambda status: line.update(_progress(status))
            )
        except (launch.StackFailed, KeyboardInterrupt):
            launch.stop_stack(folder)
            raise
    try:
        yield status
    finally:
        with console.status(Text("Stopping the system; its data stays")):
            launch.stop_stack(folder)


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
