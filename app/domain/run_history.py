"""The journal of a task for readers: one run per finished step."""

from __future__ import annotations

from app.domain.run import AgentRun
from app.domain.task import Step, Task


def agent_run(task: Task, step: Step) -> AgentRun:
    """Builds the run of a step. Its id is the same each time, so that projecting it again changes nothing."""
    return AgentRun(
        id=f"{task.id}:{step.key}",
        tenant=task.tenant,
        task_id=task.id,
        session_id=task.session_id,
        request_id=task.request_id,
        step=step.key,
        node=step.node,
        agent_name=step.agent_name,
        output=step.output,
        attempts=step.attempts,
        usage=step.usage,
        started_at=step.started_at,
        finished_at=step.finished_at,
        duration_ms=(step.finished_at - step.started_at).total_seconds() * 1000,
    )


def agent_runs(task: Task) -> list[AgentRun]:
    """Builds the task's runs, in the order in which they finished."""
    return [agent_run(task, step) for step in task.ordered_steps()]
