"""The evidence of a soak: a line for each wave while it runs, and a page with its figures at the end."""

from __future__ import annotations

import platform
from datetime import UTC, datetime

import psutil

from tests.soak.plan import VICTIMS, Progress, SoakPlan, Wave

HEADER = "| wave | tasks | s | tasks/s | completed | other ends | kills | reruns | calls unrecorded | violations |"
RULE = "|---" * 10 + "|"


def line(wave: Wave) -> str:
    completed = wave.ends.get("completed", 0)
    kills = " ".join(f"{victim} {wave.kills[victim]}" for victim in VICTIMS if wave.kills.get(victim))
    rate = wave.tasks / wave.seconds if wave.seconds else 0
    unrecorded = wave.calls - wave.calls_recorded
    return (
        f"| {wave.number + 1} | {wave.tasks} | {wave.seconds:.0f} | {rate:.0f} | {completed} | "
        f"{wave.tasks - completed} | {kills} | {wave.reruns} | {unrecorded} | {len(wave.violations)} |"
    )


def page(progress: Progress) -> str:
    """Builds the whole evidence, in Markdown."""
    figures = {
        "tasks accepted": progress.total("tasks"),
        "ends": _counts(progress.total("ends")),
        "SIGKILLs": _counts(progress.total("kills")),
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
    return f"python -m tests.soak --tasks {plan.tasks} --waves {plan.waves} {kills} --seed {plan.seed}"
