"""Workers whose clocks are wrong: times that decide are the database's or monotonic."""

from __future__ import annotations

from tests.chaos.lab import Lab, fault, reckon, statuses, submit_many, wait_for_calls
from tests.chaos.switches import Switch

TASKS = 10


@fault({Switch.SERVER_CLOCK: r"did not end .*processing \(queued claimed"}, quick=[300, -300])
def the_clocks_of_workers_are_wrong(lab: Lab, seconds: float) -> None:
    worker = ["--clock-offset", str(seconds)]
    with lab.stack(workers=2, worker=worker, simulator=["--latency-ms", "4000"]) as stack:
        stack.parts["worker-2"].stop()
        tasks = submit_many(stack, TASKS)
        wait_for_calls(stack, TASKS)
        stack.kill("worker")
        stack.parts["worker-2"].start()
        tasks += submit_many(stack, TASKS)
        ended = reckon(stack, tasks, skew_seconds=seconds)
        assert statuses(ended) == {"completed"}
        assert {task["attempts"] for task in ended[:TASKS]} == {2}
        assert {task.get("crashes", 0) for task in ended[TASKS:]} == {0}
