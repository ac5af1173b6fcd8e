"""Workers of two versions side by side, as they are during every upgrade."""

from __future__ import annotations

from app.domain.task import TERMINAL
from tests.chaos.lab import ARTICLE, Lab, count_with_steps, fault, reckon, statuses, submit_many
from tests.chaos.newer_version import MARK, NEWER_AGENT
from tests.chaos.switches import Switch

TASKS = 6


@fault({Switch.OTHER_VERSION: r"'failed'.*\} == \{'completed'\}"})
def workers_of_two_versions_share_the_work(lab: Lab, _: float) -> None:
    """The older one goes on where the newer one died, destroys nothing, and leaves alone what only the newer can do."""
    with lab.stack(workers=2, second_worker=["--newer"], simulator=["--latency-ms", "1500"]) as stack:
        stack.parts["worker"].stop()
        begun = submit_many(stack, TASKS, ARTICLE)
        stack.wait_until(lambda: count_with_steps(stack, begun, steps=2) == TASKS, seconds=60)
        stack.kill("worker-2")
        stack.start("worker")
        newer = submit_many(stack, TASKS, agent=NEWER_AGENT)
        with stack.database() as db:
            tried = {"_id": {"$in": newer}, "$or": [{"handbacks": {"$gte": 1}}, {"status": {"$in": list(TERMINAL)}}]}
            stack.wait_until(lambda: db["tasks"].count_documents(tried) == TASKS, seconds=60)
        older_alone = reckon(stack, begun)
        stack.start("worker-2")
        stack.parts["worker"].stop()
        ended = [*older_alone, *reckon(stack, newer, seconds=60)]
        assert statuses(ended) == {"completed"}
        assert {task["attempts"] for task in older_alone} == {2}
        assert all(task["mark"] == MARK for task in ended)
        assert all(sum(step.get("mark") == MARK for step in task["steps"].values()) >= 2 for task in older_alone)
