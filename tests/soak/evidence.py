"""The evidence of a soak: a line for each wave while it runs, and a page with its figures at the end."""

from __future__ import annotations

import platform
from datetime import UTC, datetime

import psutil

from tests.soak.plan import VICTIMS, Progress, SoakPlan, Wave

COLUMNS = (
    "wave", "tasks", "s", "tasks/s", "completed", "other ends", "kills", "Redis full", "large results", "reruns",
    "calls unrecorded", "violations",
)  # fmt: skip
HEADER = f"| {' | '.join(COLUMNS)} |"
RULE = "|---" * len(COLUMNS) + "|"


def line(wave: Wave) -> str:
    completed = wave.ends.get("completed", 0)
    kills = " ".join(f"{victim} {wave.kills[victim]}" for victim in VICTIMS if wave.kills.get(victim))
    rate = wave.tasks / wave.seconds if wave.seconds else 0
    unrecorded = wave.calls - wave.calls_recorded
    return (
        f"| {wave.number + 1} | {wave.tasks} | {wave.seconds:.0f} | {rate:.0f} | {completed} | "
        f"{wave.tasks - completed} | {kills} | {wave.fills} | {wave.large} | {wave.reruns} | {unrecorded} | "
        f"{len(wave.violations)} |"
    )


def page(progress: Progress) -> str:
    """Builds the whole evidence, in Markdown."""
    figures = {
        "tasks accepted": progress.total("tasks"),
        "ends": _counts(progress.total("ends")),
        "SIGKILLs": _counts(progress.total("kills")),
        f"times that Redis was full, for {progress.plan.fill_seconds:g} s each": progress.total("fills"),
        "results of 1 MiB or more": progress.total("large"),
        "lost, committed twice, or otherwise against the promise": len(progress.total("violations")),
        "runs beyond each task's first": progress.total("reruns"),
        "of these after crashes": progress.total("crashes"),
        "model calls": progress.total("calls"),
        "of these recorded": progress.total("calls_recorded"),
        "hours": f"{progress.total('seconds') / 3600:.2f}",
        "command": f"`{_command(progress.plan)}`",
        "commit": ", ".join(sorted({f"`{wave.commit}`" for wave in progress.waves})),
        "machine": f"{psutil.cpu_count()} cores, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}",
        "finished": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }
    table = ["| figure | value |", "|---|---|", *(f"| {name} | {value} |" for name, value in figures.items())]
    waves = [HEADER, RULE, *map(line, progress.waves)]
    broken = [f"- {violation}" for violation in progress.total("violations")]
    return "\n".join([*table, "", *waves, *(["", *broken] if broken else []), ""])


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))


def _command(plan: SoakPlan) -> str:
    kills = " ".join(f"--{victim}-kills {plan.kills[victim]}" for victim in VICTIMS)
    others = f"--fills {plan.fills} --fill-seconds {plan.fill_seconds:g} --large-every {plan.large_every}"
    return f"python -m tests.soak --tasks {plan.tasks} --waves {plan.waves} {kills} {others} --seed {plan.seed}"
